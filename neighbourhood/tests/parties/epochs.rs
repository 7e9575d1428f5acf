//! One epoch follows another while all parties run.

use crate::rig::{Watch, agent};
use crate::street::{REGION, Street, bills, is_right, names, sums};
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

/// What `collector epoch show` says once epoch 2 has followed, without `m-1`.
fn assert_epoch_2_is_shown(street: &Street) {
    let shown = street.shown();
    let [first, second] = &shown["epochs"].as_array().unwrap()[..] else { panic!("{shown}") };
    assert_eq!((&first["members"], &second["members"]), (&json!(6), &json!(5)));
    assert_eq!((&first["ends"], &shown["ceremony"]), (&second["begins"], &json!(null)));
    let away = json!({ "m-1": "it was absent when key parts were due" });
    assert_eq!(second["left_out"], away);
}

fn has_left(street: &Street, at: usize) -> bool {
    street.rig.log(&agent(REGION, at)).contains("where epoch 2 begins")
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
    assert_epoch_2_is_shown(&street);
    assert!(has_left(&street, 0));

    street.rig.start("agent", &agent(REGION, 1));
    watch.until("the one that was away", |_| has_left(&street, 1)).await;
    street.ask_for_the_next_epoch();
    members_are_summed(&mut watch, 3, &["m-1", "m-2", "m-3", "m-4", "m-5", "m-6"]).await;
    assert_eq!(street.shown()["epochs"].as_array().unwrap().last().unwrap()["epoch"], 3);
    watch.until("bills of a later epoch", |seen| bills(seen).any(|it| it["epoch"] != 1)).await;
    assert!(bills(&watch.seen).all(|bill| is_right(&bill)));
}
