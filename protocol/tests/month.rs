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
const RULE: Rule = Rule { min_slots: MIN_SLOTS as u16, contributors_needed: 10 + CORRUPTED };

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

    /// How many slots in a hundred are withheld; and how many still are after
    /// a month like any other.
    fn withheld(&self) -> [f64; 2] {
        let mut waiting = self.listing();
        let percent = |slots: usize| 100.0 * slots as f64 / self.counted.len() as f64;
        let opened = open(&waiting, RULE);
        waiting.retain(|slot, _| !opened.contains(slot));
        let first = percent(waiting.len());
        let next = Self::new(self.per_day).dropouts(1).listing();
        waiting.extend(next.into_iter().map(|(slot, set)| (slot.plus(1_000_000), set)));
        let opened = open(&waiting, RULE);
        waiting.retain(|slot, _| !opened.contains(slot));
        [first, percent(waiting.len())]
    }
}

type Change = fn(Month) -> Month;

const HONEST: [(&str, Change); 6] = [
    ("everybody is counted always", |month| month),
    ("1 % of all contributions are missing", |month| month.dropouts(1)),
    ("every member is away on two days", |month| month.dropouts(1).days_off(2)),
    ("a member is counted in 30 % of the slots", |month| month.dropouts(1).one_at_30_percent()),
    ("half the region is out for two days", |month| month.dropouts(1).half_out_for_two_days()),
    ("all of these together", |month| {
        month.dropouts(1).days_off(2).one_at_30_percent().half_out_for_two_days()
    }),
];

const LATE: [(&str, Change); 4] = [
    ("a member returns for the last slot", |month| month.dropouts(1).returning(1, 1)),
    ("a member returns for the last 5 slots", |month| month.dropouts(1).returning(1, 5)),
    ("a member returns for the last 9 slots", |month| month.dropouts(1).returning(1, 9)),
    ("ten members return for the last 9 slots", |month| month.dropouts(1).returning(10, 9)),
];

const SABOTAGE: [(&str, Change); 4] = [
    ("a member is counted in 9 slots", |month| month.dropouts(1).sabotage(1)),
    ("3 members are counted in 9 slots each", |month| month.dropouts(1).sabotage(3)),
    ("10 members are counted in 9 slots each", |month| month.dropouts(1).sabotage(10)),
    ("67 members are counted in 9 slots each", |month| month.dropouts(1).sabotage(CORRUPTED)),
];

fn row(what: &str, change: Change) -> Vec<[f64; 2]> {
    let withheld: Vec<_> = STEPS.map(|per_day| change(Month::new(per_day)).withheld()).to_vec();
    let cells: Vec<String> =
        withheld.iter().map(|[first, next]| format!("{first:.2} %, then {next:.2} %")).collect();
    println!("| {what} | {} |", cells.join(" | "));
    withheld
}

#[test]
#[ignore = "prints the table of docs/bills.md: with --release"]
fn withheld() {
    println!("| what | 2,976 slots | 496 slots | 124 slots |\n|---|---|---|---|");
    for (what, change) in HONEST {
        row(what, change);
    }
    for (what, change) in LATE.into_iter().chain(SABOTAGE) {
        row(what, change);
    }
}
