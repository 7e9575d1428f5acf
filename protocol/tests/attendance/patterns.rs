//! Who is counted when: by chance, and as would serve somebody.

use std::ops::RangeInclusive;

use protocol::Rng;
use rand::RngExt as _;

use crate::published::{Members, Terms, Window};

type Attendance = Vec<Members>;

/// A way to attend so many slots.
type Pattern = fn(&Terms, usize, &mut Rng) -> Attendance;

const ADVERSARIAL: [Pattern; 12] = [
    runs_of_dropouts,
    halves_with_a_bridge,
    dead_early,
    two_slots_behind_a_cut,
    bands,
    late_readings,
    sabotage,
    rotating_absentees,
    half_the_region_out,
    nearly_all,
    chained_blocks,
    strangers_in_pairs,
];

/// Terms, and the windows of a region under them.
pub(crate) struct Case {
    pub(crate) terms: Terms,
    pub(crate) windows: Vec<Window>,
    /// What else is up to chance.
    pub(crate) rng: Rng,
}

/// One to three windows of one or two steps where chance says who is counted.
pub(crate) fn by_chance(seed: u64) -> Case {
    case(seed, by_odds)
}

/// The same where the `seed`th pattern says it, all of them in turn.
pub(crate) fn adversarial(seed: u64) -> Case {
    case(1_000_000 + seed, of_turn(seed))
}

/// One window of at most eight members of whom two are corrupted.
pub(crate) fn small(seed: u64) -> Case {
    one_window(2_000_000 + seed, 4..=8, |rng| Terms {
        members: rng.random_range(6..=8),
        min_slots: rng.random_range(2..=3),
        min_contributors: rng.random_range(2..=3),
        max_corrupted: 2,
    })
}

/// One window of so few slots that all sets of them can be tried.
pub(crate) fn tiny(seed: u64) -> Case {
    one_window(3_000_000 + seed, 2..=6, |rng| Terms {
        members: rng.random_range(3..=5),
        min_slots: rng.random_range(2..=3),
        min_contributors: 2,
        max_corrupted: rng.random_range(0..=1),
    })
}

/// One window of more members than a word has bits.
pub(crate) fn large(seed: u64) -> Case {
    one_window(4_000_000 + seed, 10..=40, |rng| Terms {
        members: rng.random_range(60..=140),
        min_slots: rng.random_range(2..=8),
        min_contributors: rng.random_range(10..=40),
        max_corrupted: rng.random_range(0..=20),
    })
}

fn one_window(seed: u64, slots: RangeInclusive<usize>, terms: fn(&mut Rng) -> Terms) -> Case {
    let mut rng = crate::rng(seed);
    let (terms, slots) = (terms(&mut rng), rng.random_range(slots));
    let sets = of_turn(seed)(&terms, slots, &mut rng);
    Case { terms, windows: vec![sets.into_iter().map(|set| (0, set)).collect()], rng }
}

fn of_turn(seed: u64) -> Pattern {
    ADVERSARIAL[usize::try_from(seed).unwrap() % ADVERSARIAL.len()]
}

fn case(seed: u64, pattern: Pattern) -> Case {
    let mut rng = crate::rng(seed);
    let terms = Terms {
        members: rng.random_range(6..=14),
        min_slots: rng.random_range(2..=5),
        min_contributors: rng.random_range(2..=5),
        max_corrupted: rng.random_range(0..=2),
    };
    let (windows, steps) = (rng.random_range(1..=3), rng.random_range(1..=2));
    let mut window = |_| {
        let slots = rng.random_range(4..=24 / windows);
        let step = |step| pattern(&terms, slots, &mut rng).into_iter().map(move |set| (step, set));
        (0..steps).flat_map(step).collect()
    };
    let windows = (0..windows).map(&mut window).collect();
    Case { terms, windows, rng }
}

fn all(terms: &Terms) -> Members {
    (0..terms.members).collect()
}

fn one(terms: &Terms, rng: &mut Rng) -> u16 {
    rng.random_range(0..terms.members)
}

/// A number of slots below what a bill takes.
fn too_few(terms: &Terms, rng: &mut Rng) -> usize {
    rng.random_range(1..terms.min_slots).into()
}

fn by_odds(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let odds = rng.random_range(0.4..1.0);
    let mut counted = |_| (0..terms.members).filter(|_| rng.random_bool(odds)).collect();
    (0..slots).map(&mut counted).collect()
}

/// Every other member is away for a while.
fn runs_of_dropouts(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let mut sets = vec![all(terms); slots];
    for member in (0..terms.members).step_by(2) {
        let first = rng.random_range(0..slots);
        let away = rng.random_range(1..=slots / 2);
        sets.iter_mut().skip(first).take(away).for_each(|set| _ = set.remove(&member));
    }
    sets
}

/// Each half of the region has slots of its own, but for one contribution.
fn halves_with_a_bridge(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let half = terms.members / 2;
    let of =
        |at| if at < slots / 2 { (0..half).collect() } else { (half..terms.members).collect() };
    let mut sets: Attendance = (0..slots).map(of).collect();
    sets[rng.random_range(0..slots)].insert(one(terms, rng));
    sets
}

/// Some fall silent after too few slots for a bill.
fn dead_early(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let mut sets = vec![all(terms); slots];
    for member in 0..rng.random_range(1..=3) {
        let counted = too_few(terms, rng);
        sets.iter_mut().skip(counted).for_each(|set| _ = set.remove(&member));
    }
    sets
}

/// Two slots are a few members' alone, but for a member of the others.
fn two_slots_behind_a_cut(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let few: Members = (0..u16::try_from(terms.needed()).unwrap()).collect();
    let mut sets = vec![all(terms); slots];
    sets.iter_mut().take(2).for_each(|set| set.clone_from(&few));
    if rng.random_bool(0.5) {
        sets.iter_mut().skip(2).for_each(|set| set.retain(|member| !few.contains(member)));
    }
    sets[rng.random_range(0..2)].insert(terms.members - 1);
    sets
}

/// Each slot counts a run of neighbours that moves on from slot to slot.
fn bands(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let width = u16::try_from(terms.needed()).unwrap() + rng.random_range(0..=2);
    let (over, times) = (rng.random_range(1..=2), rng.random_range(1..=3));
    let of = |at: usize| {
        let first = u16::try_from(at / times).unwrap() * over;
        (first..first + width).map(|member| member % terms.members).collect()
    };
    (0..slots).map(of).collect()
}

/// Some are counted in nothing but the last slots.
fn late_readings(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let mut sets = dead_early(terms, slots, rng);
    sets.reverse();
    sets
}

/// Some are counted in too few slots for a bill, in as many as they can spoil.
fn sabotage(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let saboteurs = 0..=u16::try_from(terms.max_corrupted).unwrap();
    let honest: Members = (*saboteurs.end() + 1..terms.members).collect();
    let mut sets = vec![honest; slots];
    for saboteur in saboteurs {
        for _ in 1..terms.min_slots {
            sets[rng.random_range(0..slots)].insert(saboteur);
        }
    }
    sets
}

/// Some others are away in each slot.
fn rotating_absentees(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let away = rng.random_range(1..=terms.members / 2);
    let mut sets = vec![all(terms); slots];
    for (at, set) in (0_u16..).zip(&mut sets) {
        (0..away).for_each(|next| _ = set.remove(&((at * away + next) % terms.members)));
    }
    sets
}

/// Half the region is away for a while.
fn half_the_region_out(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let (first, out) = (rng.random_range(0..slots), rng.random_range(1..=slots));
    let mut sets = vec![all(terms); slots];
    let out = sets.iter_mut().skip(first).take(out);
    out.for_each(|set| set.retain(|member| member % 2 == 0));
    sets
}

/// A few contributions are missing.
fn nearly_all(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let mut sets = vec![all(terms); slots];
    for _ in 0..rng.random_range(1..=terms.members) {
        sets[rng.random_range(0..slots)].remove(&one(terms, rng));
    }
    sets
}

/// Each few slots are a block of members' that shares some with the next.
fn chained_blocks(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let needed = u16::try_from(terms.needed()).unwrap();
    let length = usize::from(terms.min_slots) + rng.random_range(0..=1);
    let shared = rng.random_range(1..=needed.min(terms.members - 1));
    let of = |at: usize| {
        let first = u16::try_from(at / length).unwrap() * (needed + 1 - shared.min(needed));
        (first..=first + needed).map(|member| member % terms.members).collect()
    };
    (0..slots).map(of).collect()
}

/// Beside a few who are always there, each two slots have a guest of their own.
fn strangers_in_pairs(terms: &Terms, slots: usize, rng: &mut Rng) -> Attendance {
    let few = u16::try_from(terms.needed()).unwrap().min(terms.members - 1);
    let mut sets: Attendance = vec![(0..few).collect(); slots];
    for pair in sets.chunks_mut(2) {
        let guest = rng.random_range(few..terms.members);
        for set in pair {
            set.insert(guest);
        }
    }
    sets
}
