//! What is read where a part of the rule is left out.

use std::collections::BTreeSet;

use protocol::slot::Slot;

use crate::naive::{Naive, Partners, WHOLE};
use crate::published::{Listing, Members, Published, Terms, Window, publish};

/// Two contributors make a sum, two slots a bill, and nobody is corrupted.
fn terms(members: u16) -> Terms {
    Terms { members, min_slots: 2, min_contributors: 2, max_corrupted: 0 }
}

fn window(step: usize, sets: &[&[u16]]) -> Window {
    sets.iter().map(|members| (step, members.iter().copied().collect())).collect()
}

/// Two slots of members 0 and 1, two of members 2 and 3, and one contribution
/// of member 2 to the others'.
fn two_halves_with_a_bridge() -> Window {
    window(0, &[&[0, 1], &[0, 1, 2], &[2, 3], &[2, 3]])
}

fn published(window: &Window, terms: &Terms, rule: Naive) -> Published {
    publish(std::slice::from_ref(window), terms, |counted| rule.open(counted, terms))
}

/// Checks that just this reading follows by the bent rule, and none by the
/// whole one.
fn assert_read(window: &Window, terms: &Terms, bent: Naive, reading: (u16, Slot)) {
    assert_eq!(published(window, terms, bent).read(&Members::new()), [reading]);
    assert_eq!(published(window, terms, WHOLE).read(&Members::new()), []);
}

#[test]
fn without_the_rule_of_appearances_a_meter_dead_after_one_slot_is_read() {
    let bent = Naive { appearances: false, partners: Partners::OfTheSlot };
    assert_read(&window(0, &[&[0, 1, 2], &[0, 1]]), &terms(3), bent, (2, Slot(0)));
}

#[test]
fn without_the_rule_of_partners_one_bridge_between_two_halves_is_read() {
    let bent = Naive { appearances: true, partners: Partners::Unasked };
    assert_read(&two_halves_with_a_bridge(), &terms(4), bent, (2, Slot(1)));
}

#[test]
fn where_partners_need_not_count_the_member_one_bridge_between_two_halves_is_read() {
    let bent = Naive { appearances: true, partners: Partners::OfTheSlot };
    assert_read(&two_halves_with_a_bridge(), &terms(4), bent, (2, Slot(1)));
}

#[test]
fn where_partners_may_share_corrupted_members_one_bridge_between_two_halves_is_read() {
    let corrupted = Members::from([4]);
    let mut window = two_halves_with_a_bridge();
    for (_, members) in &mut window {
        members.extend(&corrupted);
    }
    let terms = Terms { max_corrupted: 1, ..terms(5) };
    let bent = |counted: &Listing| Terms { max_corrupted: 0, ..terms }.open(counted);
    let windows = [window];
    assert_eq!(publish(&windows, &terms, bent).read(&corrupted), [(2, Slot(1))]);
    assert_eq!(publish(&windows, &terms, |counted| terms.open(counted)).read(&corrupted), []);
}

#[test]
fn over_two_steps_at_once_a_meter_counted_once_in_each_is_read() {
    let mut both = window(0, &[&[0, 1, 2], &[0, 1]]);
    both.extend(window(1, &[&[0, 1, 2], &[0, 1]]));
    let listing = both.iter().zip(0..).map(|((_, members), at)| (Slot(at), members.clone()));
    let at_once = terms(3).open(&listing.collect());
    let bent = |counted: &Listing| -> BTreeSet<Slot> {
        counted.keys().copied().filter(|slot| at_once.contains(slot)).collect()
    };
    let windows = [both];
    let read = publish(&windows, &terms(3), bent).read(&Members::new());
    assert_eq!(read, [(2, Slot(0)), (2, Slot(2))]);
    let apart = publish(&windows, &terms(3), |counted| terms(3).open(counted));
    assert_eq!(apart.read(&Members::new()), []);
}
