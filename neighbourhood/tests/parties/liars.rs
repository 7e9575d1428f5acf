//! Members that lie, in the ceremony and after it, over a real broker.

use std::collections::BTreeSet;

use crate::cast::{Cast, Lie};
use crate::rig::{Watch, agent};
use crate::street::{Street, is_right, names, sums};
use collector::{Config, evidence};
use protocol::envelope::Envelope;
use protocol::message::Kind;
use serde_json::json;

const PATIENCE: &str = "patience_s = 4";

/// A liar for every part of the ceremony, with what is said of it.
const LIARS: [(Lie, &str); 7] = [
    (Lie::Absent, "it was absent when key parts were due"),
    (Lie::NoDealing, "it was absent when dealings were due"),
    (Lie::BadShare, "it dealt a share that does not fit"),
    (Lie::BadDealing, "its dealing does not verify"),
    (Lie::TwoDealings, "it signed two different dealings"),
    (Lie::FalseComplaint, "it complained about a share that fits"),
    (Lie::OtherDealings, "it confirmed other dealings than it was sent"),
];

/// The first agents, with liars among the members.
struct Story {
    street: Street,
    watch: Watch,
    cast: Cast,
}

impl Story {
    fn of(honest: usize, lies: &[Lie], more: &str) -> Self {
        let mut street = Street::new();
        let cast = Cast::of(lies, &street.rig.key("collector", "registrar.key"));
        let mut members = street.agents(0..honest);
        members.extend(cast.members());
        street.write(&members, more);
        let watch = street.start(0..honest);
        Self { street, watch, cast }
    }

    async fn until(
        self,
        what: &str,
        done: impl FnMut(&[(String, Vec<u8>)]) -> bool,
    ) -> (Street, Watch) {
        let Self { street, mut watch, cast } = self;
        tokio::select! {
            () = watch.until(what, done) => {}
            never = cast.play(street.rig.port) => match never {},
        }
        (street, watch)
    }
}

fn invitations(seen: &[(String, Vec<u8>)]) -> usize {
    let messages = seen.iter().filter(|(topic, _)| topic.ends_with("/c/keygen"));
    let kind = |message: &[u8]| Envelope::parse(message).unwrap().header().kind;
    let invitations = messages.filter(|(_, message)| kind(message) == Kind::Invitation);
    invitations.map(|(_, message)| message).collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn a_ceremony_goes_on_without_a_liar_in_each_of_its_parts() {
    let story = Story::of(5, &LIARS.map(|(lie, _)| lie), PATIENCE);
    let enough = |seen: &[(String, Vec<u8>)]| sums(seen, 1).len() >= 3;
    let (street, watch) = story.until("sums of the honest", enough).await;
    let honest = ["m-0", "m-1", "m-2", "m-3", "m-4"];
    for sum in sums(&watch.seen, 1) {
        assert!(is_right(&sum) && names(&sum["contributors"]) == honest, "{sum}");
        assert_eq!(sum["uncounted"], json!([]), "{sum}");
    }
    let shown = street.shown();
    let expected = LIARS.map(|(lie, why)| (lie.name(), json!(why)));
    assert_eq!(shown["epochs"][0]["left_out"], json!(serde_json::Map::from_iter(expected)));
    assert_eq!(invitations(&watch.seen), 1 + LIARS.len(), "an attempt for each liar");
    for at in 0..honest.len() {
        assert!(street.rig.log(&agent("north", at)).contains("member of epoch 1"));
    }
    let mut said = Vec::new();
    let config = Config::load(&street.config()).unwrap();
    evidence::show(&config, &evidence::Options::default(), &mut said).unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("x-two-dealings signed two dealings"), "{said}");
}

#[tokio::test]
async fn a_holder_of_a_bad_share_is_named_and_the_sum_opens_without_it() {
    let story = Story::of(3, &[Lie::BadHelp], "max_corrupted = 0");
    let named = |seen: &[(String, Vec<u8>)]| {
        sums(seen, 1).iter().any(|sum| names(&sum["culprits"]) == ["x-bad-help"])
    };
    let (street, watch) = story.until("a culprit", named).await;
    let sums = sums(&watch.seen, 1);
    let sum = sums.iter().find(|sum| sum["culprits"] != json!([])).unwrap();
    assert_eq!(names(&sum["helpers"]), ["m-0", "m-1", "m-2"]);
    assert_eq!(names(&sum["uncounted"]), ["x-bad-help"]);
    assert!(sums.iter().all(is_right), "{sums:?}");
    assert!(street.rig.log("collector").contains("the share of x-bad-help for slot"));
}
