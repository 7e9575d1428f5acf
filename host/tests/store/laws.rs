//! Every store holds what its commits say, as records in memory do.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::disk::folder;
use crate::suite::{STORES, Step, changes, listed, states};

fn key() -> impl Strategy<Value = (usize, u32, u64, u8)> {
    // Few of each, so that changes meet; and positions at both ends.
    let position = prop_oneof![0..4_u64, Just(u64::MAX), Just(1 << 63)];
    (0..3_usize, 0..2_u32, position, 0..3_u8)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (key(), 0..2_000_usize, any::<u8>())
            .prop_map(|(key, bytes, fill)| Step::Write { key, bytes, fill }),
        1 => key().prop_map(Step::Erase),
        1 => key().prop_map(|(sort, epoch, position, _)| Step::EraseBefore((sort, epoch, position))),
    ]
}

/// Commits, each with whether it is made twice and whether the store is opened
/// anew after it.
fn commits() -> impl Strategy<Value = Vec<(Vec<Step>, bool, bool)>> {
    vec((vec(step(), 0..6), any::<bool>(), proptest::bool::weighted(0.2)), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_store_holds_what_was_committed_also_twice_and_after_it_was_opened_anew(
        commits in commits(),
    ) {
        let made: Vec<_> = commits.iter().map(|(steps, ..)| steps.clone()).collect();
        let expected = states(&made);
        for (_, open) in STORES {
            let dir = folder();
            let state = dir.path().join("state");
            let mut store = open(&state);
            for ((steps, twice, anew), expected) in commits.iter().zip(&expected[1..]) {
                for _ in 0..=usize::from(*twice) {
                    store.commit(&changes(steps)).unwrap();
                }
                if *anew {
                    store.close().unwrap();
                    store = open(&state);
                }
                prop_assert_eq!(&listed(&store.load().unwrap()), expected);
            }
        }
    }
}
