//! How many slots of a month are withheld from bills, by who drops out and who
//! means to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says so")]
#![allow(clippy::print_stdout, reason = "it prints a table")]

use std::collections::BTreeMap;

use aggregation::Participant;
use protocol::Rng;
use protocol::attendance::{Rule, open};
use protocol::members::MemberSet;
use protocol::slot::Slot;
use rand::{RngExt as _, SeedableRng as _};

const DAYS: usize = 31;
const MEMBERS: usize = 200;

/// With the default threshold of 134 holders 67 members may be corrupted.
const CORRUPTED: usize = 67;

/// The defaults: ten slots make a bill, ten honest contributors a sum.
const MIN_SLOTS: usize = 10;
const RULE: Rule = Rule { min_slots: 10, contributors_needed: 10 + CORRUPTED };

/// Where the slots of the month after begin.
const NEXT_MONTH: u64 = 1_000_000;

/// Slots a day of steps of 24 hours, 4 hours and 1 hour.
const STEPS: [usize; 3] = [96, 16, 4];

/// Who is counted in the slots of one step of a month.
struct Month {
    per_day: usize,
    counted: Vec<Vec<bool>>,
    rng: Rng,
}

impl Month {
    /// Everybody is counted always.
    fn new(per_day: usize) -> Self {
        let counted = vec![vec![true; MEMBERS]; DAYS * per_day];
        Self { per_day, counted, rng: Rng::seed_from_u64(31) }
    }

    /// Every contribution is missing with odds of so many in a hundred.
    fn dropouts(mut self, percent: u32) -> Self {
        for counted in self.counted.iter_mut().flatten() {
            *counted &= !self.rng.random_ratio(percent, 100);
        }
        self
    }

    fn one_at_30_percent(mut self) -> Self {
        for slot in &mut self.counted {
            slot[0] = self.rng.random_ratio(30, 100);
        }
        self
    }

    /// Every member is away on so many days of its own.
    fn days_off(mut self, days: usize) -> Self {
        for member in 0..MEMBERS {
            for _ in 0..days {
                let day = self.rng.random_range(0..DAYS);
                self.away(member, day * self.per_day, self.per_day);
            }
        }
        self
    }

    fn half_out_for_two_days(mut self) -> Self {
        (0..MEMBERS / 2).for_each(|member| self.away(member, 10 * self.per_day, 2 * self.per_day));
        self
    }

    /// So many members come back for so many slots at the end.
    fn returning(mut self, members: usize, slots: usize) -> Self {
        let away = self.counted.len() - slots;
        (0..members).for_each(|member| self.away(member, 0, away));
        self
    }

    /// So many members are counted in one slot less than a bill takes, each in
    /// slots of its own as far as there are any.
    fn sabotage(mut self, members: usize) -> Self {
        let slots = self.counted.len();
        for member in 0..members {
            self.away(member, 0, slots);
            for slot in (0..slots).cycle().skip(member * (MIN_SLOTS - 1)).take(MIN_SLOTS - 1) {
                self.counted[slot][member] = true;
            }
        }
        self
    }

    fn away(&mut self, member: usize, first: usize, slots: usize) {
        self.counted.iter_mut().skip(first).take(slots).for_each(|slot| slot[member] = false);
    }

    fn listing(&self) -> BTreeMap<Slot, MemberSet> {
        let set = |slot: &Vec<bool>| {
            let members = (0..).zip(slot).filter(|(_, counted)| **counted);
            members.map(|(member, _)| Participant(member)).collect()
        };
        (0..).map(Slot).zip(self.counted.iter().map(set)).collect()
    }

    /// The slots that are withheld after this month.
    fn withheld(&self) -> BTreeMap<Slot, MemberSet> {
        withheld(self.listing())
    }

    /// Those of them that still are after a month like any other.
    fn withheld_for_long(&self) -> BTreeMap<Slot, MemberSet> {
        let mut waiting = self.withheld();
        let next = Self::new(self.per_day).dropouts(1).listing();
        waiting.extend(next.into_iter().map(|(slot, set)| (slot.plus(NEXT_MONTH), set)));
        withheld(waiting)
    }
}

fn withheld(mut counted: BTreeMap<Slot, MemberSet>) -> BTreeMap<Slot, MemberSet> {
    let opened = open(&counted, RULE);
    counted.retain(|slot, _| !opened.contains(slot));
    counted
}

type Change = fn(Month) -> Month;

const HONEST: [(&str, Change); 6] = [
    ("everybody is counted always", |month| month),
    ("1 % of all contributions are missing", |month| month.dropouts(1)),
    ("the same, and every member is away on two days", |month| month.dropouts(1).days_off(2)),
    ("the same, and one is counted in 30 % of the slots", |month| {
        month.dropouts(1).one_at_30_percent()
    }),
    ("the same, and half the region is out for two days", |month| {
        month.dropouts(1).half_out_for_two_days()
    }),
    ("all of these", |month| {
        month.dropouts(1).days_off(2).one_at_30_percent().half_out_for_two_days()
    }),
];

/// With how many members make trouble.
const TROUBLE: [(&str, usize, Change); 8] = [
    ("one returns for the last slot", 1, |month| month.returning(1, 1)),
    ("one returns for the last 5 slots", 1, |month| month.returning(1, 5)),
    ("one returns for the last 9 slots", 1, |month| month.returning(1, 9)),
    ("10 return for the last 9 slots", 10, |month| month.returning(10, 9)),
    ("one is counted in 9 slots of its choice", 1, |month| month.sabotage(1)),
    ("3 are counted in 9 slots each", 3, |month| month.sabotage(3)),
    ("10 are counted in 9 slots each", 10, |month| month.sabotage(10)),
    ("67 are counted in 9 slots each", 67, |month| month.sabotage(67)),
];

fn print_row(what: &str, change: impl Fn(Month) -> Month) {
    let percent = |per_day| {
        let month = change(Month::new(per_day));
        let slots = month.counted.len();
        let ten_thousandths = (month.withheld().len() * 10_000 + slots / 2) / slots;
        format!("{}.{:02} %", ten_thousandths / 100, ten_thousandths % 100)
    };
    println!("| {what} | {} |", STEPS.map(percent).join(" | "));
}

#[test]
fn honest_dropouts_withhold_nothing() {
    for (what, change) in HONEST {
        for per_day in STEPS {
            assert_eq!(change(Month::new(per_day)).withheld(), BTreeMap::new(), "{what}");
        }
    }
}

#[test]
fn each_who_comes_too_rarely_withholds_too_few_slots_for_a_bill_until_it_comes_again() {
    for (what, members, change) in TROUBLE {
        for per_day in [16, 4] {
            let month = change(Month::new(per_day).dropouts(1));
            let withheld = month.withheld().len();
            assert!((1..=members * (MIN_SLOTS - 1)).contains(&withheld), "{what}: {withheld}");
            assert_eq!(month.withheld_for_long(), BTreeMap::new(), "{what}");
        }
    }
}

#[test]
#[ignore = "prints the table of docs/bills.md: with --release"]
fn what_is_withheld() {
    println!("| what | 2,976 slots | 496 slots | 124 slots |\n|---|---|---|---|");
    for (what, change) in HONEST {
        print_row(what, change);
    }
    for (what, _, change) in TROUBLE {
        print_row(what, |month| change(month.dropouts(1)));
    }
}
