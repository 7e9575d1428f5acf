//! One epoch follows another while all parties run.

use crate::rig::{Watch, agent};
use crate::street::{REGION, Street, is_right, names, sums};
use rustix::process::Signal;
use serde_json::json;

const PATIENCE: &str = "patience_s = 4";

/// Waits for sums of all members of an epoch, and checks all that there are.
async fn members_are_summed(watch: &mut Watch, epoch: u32, members: &[&str]) {
    let whole = |seen: &[(String, Vec<u8>)]| {
        sums(seen, epoch).iter().filter(|sum| names(&sum["contributors"]) == members).count()
    };
    watch.until(&format!("sums of epoch {epoch}"), |seen| whole(seen) >= 2).await;
    for sum in sums(&watch.seen, epoch) {
        let is_member = |name: &&str| members.contains(name);
        assert!(names(&sum["contributors"]).iter().all(is_member) && is_right(&sum), "{sum}");
    }
}

#[tokio::test]
async fn the_next_epoch_has_other_members_and_whoever_was_away_joins_the_one_after() {
    let mut street = Street::new();
    street.write(&street.agents(0..6), PATIENCE);
    let mut watch = street.start(0..7);
    members_are_summed(&mut watch, 1, &["m-0", "m-1", "m-2", "m-3", "m-4", "m-5"]).await;

    street.rig.end(&agent(REGION, 1), Signal::KILL);
    street.write(&street.agents(1..7), PATIENCE);
    let said = street.ask_for_the_next_epoch();
    assert!(said.contains("epoch 2 is asked for, with 6 members"), "{said}");
    members_are_summed(&mut watch, 2, &["m-2", "m-3", "m-4", "m-5", "m-6"]).await;
    let shown = street.shown();
    assert_eq!(
        (&shown["epochs"][0]["members"], &shown["epochs"][1]["members"]),
        (&json!(6), &json!(5))
    );
    assert_eq!(
        (&shown["epochs"][0]["ends"], &shown["ceremony"]),
        (&shown["epochs"][1]["begins"], &json!(null))
    );
    let away = json!({ "m-1": "it was absent when key parts were due" });
    assert_eq!(shown["epochs"][1]["left_out"], away);
    assert!(street.rig.log(&agent(REGION, 0)).contains("where epoch 2 begins"));

    street.rig.start("agent", &agent(REGION, 1));
    let is_outside = |_: &[_]| street.rig.log(&agent(REGION, 1)).contains("where epoch 2 begins");
    watch.until("the one that was away", is_outside).await;
    street.ask_for_the_next_epoch();
    members_are_summed(&mut watch, 3, &["m-1", "m-2", "m-3", "m-4", "m-5", "m-6"]).await;
    assert_eq!(street.shown()["epochs"].as_array().unwrap().len(), 3);
}
