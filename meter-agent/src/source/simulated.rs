//! An invented household: the same seed and slot always give the same energy.
//!
//! Every minute of a simulated day has one whole power for use and one for
//! sun; the meter imports what use exceeds sun by, and exports what sun exceeds
//! use by. A counter of W·s runs from midnight, and a slot's reading is the
//! difference of the counter's whole Wh at its end and at its beginning, as a
//! real register's is. Slots of any length thus sum to the same day, and what
//! is left of the counter below 1 Wh at midnight is all that is dropped.

use std::num::NonZeroU32;
use std::ops::Range;

use protocol::reading::Register;
use protocol::slot::Slot;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde::Deserialize;

use super::{OpenError, Quantities, in_range};

/// The most that a simulated home draws, in W.
pub const MAX_USE_W: u64 = 9_000;

/// The largest solar plant of a simulated home, in W.
pub const MAX_SOLAR_PEAK_W: u32 = 20_000;

const DAY_SECONDS: u64 = 86_400;
const DAY_MINUTES: u64 = 1_440;

/// Minutes of the UTC day between which the sun shines, all year round.
const DAYLIGHT: Range<u64> = 360..1_080;

/// The generator's stream for what stays the same from day to day; the other
/// streams are the days' numbers.
const HOME_STREAM: u64 = u64::MAX;

/// What to invent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatedConfig {
    /// Which home: each seed is another one.
    pub seed: u64,
    /// What the solar plant yields at noon on a clear day, in W: 0 to 20000,
    /// 0 for no plant.
    #[serde(default)]
    pub solar_peak_w: u32,
    /// Simulated seconds per real second: at least 1, and a slot lasts at most
    /// one simulated day. At 300 a slot of 3 s stands for 15 minutes.
    #[serde(default = "real_time")]
    pub speedup: u32,
}

/// A household that is computed, not measured.
pub struct Simulated {
    seed: u64,
    solar_peak_w: u64,
    /// Simulated seconds in a slot, at most a day.
    slot_span: u64,
    habits: Habits,
    /// The minutes of the day that was read last, so that its slots need not
    /// invent it again.
    today: Option<(u64, Vec<Flow>)>,
}

/// What tells one home from the next; minutes are those of the UTC day.
struct Habits {
    base_w: u64,
    fridge_w: u64,
    fridge_cycle: u64,
    fridge_on: u64,
    hob_w: u64,
    evening_w: u64,
    breakfast: u64,
    dinner: u64,
    /// Out of seven.
    wash_days: u64,
}

/// Something switched on for a while.
struct Use {
    minutes: Range<u64>,
    watts: u64,
}

/// The power through the meter in one minute, in W. One of the two is zero.
struct Flow {
    import: u64,
    export: u64,
}

impl Simulated {
    /// The home that `config` describes, for slots of `slot_seconds`.
    ///
    /// # Errors
    /// [`OpenError::OutOfRange`].
    pub fn open(config: &SimulatedConfig, slot_seconds: NonZeroU32) -> Result<Self, OpenError> {
        let peak = u64::from(config.solar_peak_w);
        in_range("solar_peak_w", peak, 0, u64::from(MAX_SOLAR_PEAK_W))?;
        let (slot, speedup) = (u64::from(slot_seconds.get()), u64::from(config.speedup));
        in_range("slot_seconds", slot, 1, DAY_SECONDS)?;
        in_range("speedup", speedup, 1, DAY_SECONDS / slot)?;
        Ok(Self {
            seed: config.seed,
            solar_peak_w: peak,
            slot_span: slot * speedup,
            habits: Habits::draw(&mut stream(config.seed, HOME_STREAM)),
            today: None,
        })
    }

    /// Energy in Wh through both registers in `slot`.
    #[must_use]
    pub fn read(&mut self, slot: Slot) -> Quantities {
        // Whole days' worth of slots apart from the rest, so that no slot
        // number overflows: a slot spans at most a day.
        let rest = slot.0 % DAY_SECONDS * self.slot_span;
        let day = slot.0 / DAY_SECONDS * self.slot_span + rest / DAY_SECONDS;
        let start = rest % DAY_SECONDS;
        let end = start + self.slot_span;
        let (mut import, mut export) = self.energy(day, start..end.min(DAY_SECONDS));
        if end > DAY_SECONDS {
            let after = self.energy(day.saturating_add(1), 0..end - DAY_SECONDS);
            import += after.0;
            export += after.1;
        }
        Quantities::from([(Register::Import, import), (Register::Export, export)])
    }

    /// Imported and exported Wh between two seconds of a day.
    fn energy(&mut self, day: u64, seconds: Range<u64>) -> (u64, u64) {
        let today = self.today.take().filter(|(number, _)| *number == day);
        let (_, flows) = today.unwrap_or_else(|| (day, self.day(day)));
        let between = |watts: fn(&Flow) -> u64| {
            counted_wh(&flows, watts, seconds.end) - counted_wh(&flows, watts, seconds.start)
        };
        let energy = (between(|flow| flow.import), between(|flow| flow.export));
        self.today = Some((day, flows));
        energy
    }

    /// The minutes of a day.
    fn day(&self, day: u64) -> Vec<Flow> {
        let mut rng = stream(self.seed, day);
        let uses = self.habits.uses(&mut rng);
        let sky_percent = rng.random_range(20..=100);
        let flow = |minute| {
            let base = self.habits.standing(minute) * rng.random_range(90..=110) / 100;
            let on = uses.iter().filter(|u| u.minutes.contains(&minute));
            let draw = (base + on.map(|u| u.watts).sum::<u64>()).min(MAX_USE_W);
            let clouds_percent = rng.random_range(80..=100);
            let sun = clear_sky(self.solar_peak_w, minute) * sky_percent * clouds_percent / 10_000;
            Flow { import: draw.saturating_sub(sun), export: sun.saturating_sub(draw) }
        };
        (0..DAY_MINUTES).map(flow).collect()
    }
}

impl Habits {
    fn draw(rng: &mut ChaCha20Rng) -> Self {
        Self {
            base_w: rng.random_range(80..=250),
            fridge_w: rng.random_range(70..=140),
            fridge_cycle: rng.random_range(40..=70),
            fridge_on: rng.random_range(12..=25),
            hob_w: rng.random_range(1_200..=3_000),
            evening_w: rng.random_range(100..=400),
            breakfast: rng.random_range(330..=480),
            dinner: rng.random_range(1_020..=1_170),
            wash_days: rng.random_range(1..=4),
        }
    }

    /// What runs by itself in a minute of the day, in W.
    fn standing(&self, minute: u64) -> u64 {
        let cooling = minute % self.fridge_cycle < self.fridge_on;
        self.base_w + if cooling { self.fridge_w } else { 0 }
    }

    /// What is switched on in one day.
    fn uses(&self, rng: &mut ChaCha20Rng) -> Vec<Use> {
        let mut uses = Vec::new();
        let mut switch_on = |from: u64, minutes: u64, watts: u64| {
            uses.push(Use { minutes: from..from + minutes, watts });
            from + minutes
        };
        let kettle = self.breakfast + rng.random_range(0..=20);
        switch_on(kettle, rng.random_range(3..=6), 2_000);
        if rng.random_range(0..5) < 2 {
            let lunch = rng.random_range(660..=720);
            switch_on(lunch, rng.random_range(15..=30), self.hob_w / 2);
        }
        let dinner = self.dinner + rng.random_range(0..=40);
        switch_on(dinner, rng.random_range(30..=60), self.hob_w);
        let evening = rng.random_range(1_020..=1_080);
        switch_on(evening, rng.random_range(240..=330), self.evening_w);
        if rng.random_range(0..7) < self.wash_days {
            let heated = switch_on(rng.random_range(540..=1_020), 20, 2_000);
            switch_on(heated, 70, 250);
        }
        uses
    }
}

fn real_time() -> u32 {
    1
}

/// The random numbers of one home for one purpose.
fn stream(seed: u64, number: u64) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

/// What a plant yields in a minute of a clear day, in W: a parabola over the
/// daylight.
fn clear_sky(peak_w: u64, minute: u64) -> u64 {
    if !DAYLIGHT.contains(&minute) {
        return 0;
    }
    let length = DAYLIGHT.end - DAYLIGHT.start;
    let since = minute - DAYLIGHT.start;
    peak_w * 4 * since * (length - since) / (length * length)
}

/// The whole Wh that a counter shows `second` seconds after midnight.
fn counted_wh(flows: &[Flow], watts: fn(&Flow) -> u64, second: u64) -> u64 {
    let elapsed = |start: u64| second.saturating_sub(start).min(60);
    let starts = (0..).step_by(60);
    flows.iter().zip(starts).map(|(flow, start)| watts(flow) * elapsed(start)).sum::<u64>() / 3_600
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 20_000;

    fn home(seed: u64, solar_peak_w: u32, slot_seconds: u32, speedup: u32) -> Simulated {
        let config = SimulatedConfig { seed, solar_peak_w, speedup };
        Simulated::open(&config, NonZeroU32::new(slot_seconds).unwrap()).unwrap()
    }

    /// The readings of one day, imported and exported.
    fn day(home: &mut Simulated, day: u64) -> Vec<(u64, u64)> {
        let slots = DAY_SECONDS / home.slot_span;
        let mut wh = |slot| home.read(Slot(slot));
        let both = |q: Quantities| (q[&Register::Import], q[&Register::Export]);
        (day * slots..(day + 1) * slots).map(|slot| both(wh(slot))).collect()
    }

    fn total(readings: &[(u64, u64)]) -> (u64, u64) {
        readings.iter().fold((0, 0), |sum, wh| (sum.0 + wh.0, sum.1 + wh.1))
    }

    #[test]
    fn a_slot_reads_the_same_whenever_it_is_asked_for() {
        let forward = day(&mut home(1, 5_000, 900, 1), DAY);
        let mut again = home(1, 5_000, 900, 1);
        for (wh, back) in forward.iter().rev().zip(1..) {
            let read = again.read(Slot((DAY + 1) * 96 - back));
            assert_eq!((read[&Register::Import], read[&Register::Export]), *wh);
        }
    }

    #[test]
    fn seeds_are_homes_and_days_differ() {
        assert!(day(&mut home(1, 0, 900, 1), DAY) != day(&mut home(2, 0, 900, 1), DAY));
        assert!(day(&mut home(1, 0, 900, 1), DAY) != day(&mut home(1, 0, 900, 1), DAY + 1));
    }

    #[test]
    fn a_day_takes_as_much_as_a_household() {
        for seed in 0..100 {
            let (import, export) = total(&day(&mut home(seed, 0, 900, 1), DAY));
            assert!((3_000..=40_000).contains(&import), "{import} Wh for seed {seed}");
            assert_eq!(export, 0);
        }
    }

    #[test]
    fn slots_of_any_length_sum_to_the_same_day() {
        let quarters = total(&day(&mut home(3, 4_000, 900, 1), DAY));
        assert!(quarters.1 > 0);
        for slot_seconds in [60, 75, 7_200, 86_400] {
            assert_eq!(total(&day(&mut home(3, 4_000, slot_seconds, 1), DAY)), quarters);
        }
    }

    #[test]
    fn a_slot_across_midnight_loses_nothing() {
        let slot_seconds = 7 * 3_600;
        let week: u64 = (0..7).map(|n| total(&day(&mut home(4, 0, 900, 1), n)).0).sum();
        let mut home = home(4, 0, slot_seconds, 1);
        let long: u64 = (0..24).map(|slot| home.read(Slot(slot))[&Register::Import]).sum();
        assert_eq!(long, week);
    }

    #[test]
    fn a_fast_slot_reads_what_it_stands_for() {
        let mut slow = home(5, 3_000, 900, 1);
        let mut fast = home(5, 3_000, 3, 300);
        assert!((0..200).all(|slot| slow.read(Slot(slot)) == fast.read(Slot(slot))));
    }

    #[test]
    fn only_a_plant_exports_and_only_by_day() {
        for seed in 0..20 {
            assert_eq!(total(&day(&mut home(seed, 0, 900, 1), DAY)).1, 0);
            let sunny = day(&mut home(seed, 6_000, 900, 1), DAY);
            assert!(total(&sunny).1 > 0, "seed {seed}");
            let dark = sunny.iter().zip(0..).filter(|(_, slot)| !(24..72).contains(slot));
            assert!(dark.map(|(wh, _)| wh.1).all(|export| export == 0));
        }
    }

    #[test]
    fn the_sun_moves_energy_and_makes_no_use() {
        let without = home(6, 0, 60, 1).day(DAY);
        let with = home(6, 5_000, 60, 1).day(DAY);
        for (without, with) in without.iter().zip(&with) {
            assert!(with.import == 0 || with.export == 0);
            assert!(with.import <= without.import);
        }
    }

    #[test]
    fn power_stays_below_the_stated_maximum() {
        for seed in 0..50 {
            for flow in home(seed, MAX_SOLAR_PEAK_W, 60, 1).day(DAY) {
                assert!(flow.import <= MAX_USE_W);
                assert!(flow.export <= u64::from(MAX_SOLAR_PEAK_W));
            }
        }
    }

    #[test]
    fn the_last_slot_of_all_time_still_reads() {
        assert!(home(1, 0, 86_400, 1).read(Slot(u64::MAX))[&Register::Import] > 0);
    }
}
