//! A run: telegrams of one meter whose registers only count up, and no faster
//! than the connection lets them.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::reading::Register;
use protocol::slot::Timestamp;
use thiserror::Error;

use super::stamp::Stamp;
use super::telegram::{Serial, Stand, Telegram};

/// How far a telegram may be from a slot's boundary to say what the registers
/// showed there.
pub(super) const NEAR: Duration = Duration::from_mins(1);

/// Watts for milliseconds in a watt-hour.
const PER_WH: i128 = 3_600_000;

/// Why a telegram does not go on with a run. It repeats no value.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Misfit {
    /// The telegram is another meter's.
    #[error("the meter is another one")]
    Meter,
    /// A total became a sum of tariffs or back, or a tariff came or went.
    #[error("the {0} register is read from other codes")]
    Basis(Register),
    /// A register shows less than before.
    #[error("the {0} register went back")]
    Back(Register),
    /// A register shows more than the connection can carry.
    #[error("the {0} register went up by more than rating_w allows")]
    Jump(Register),
}

/// The most that the connection carries in either direction.
#[derive(Clone, Copy)]
pub(super) struct Rating {
    /// In W, of the time that the agent's clock shows.
    pub(super) watts: u64,
}

impl Rating {
    /// Energy at full load in `span`, in W·ms.
    fn energy(self, span: Duration) -> i128 {
        i128::from(self.watts) * i128::try_from(span.as_millis()).unwrap_or(i128::MAX >> 64)
    }
}

/// Where a meter's registers stand.
pub(super) struct Run {
    meter: Serial,
    at: Timestamp,
    stamp: Option<Stamp>,
    tracks: BTreeMap<Register, Track>,
}

/// Where one register stands.
#[derive(Clone, Copy)]
struct Track {
    at: Timestamp,
    stand: Stand,
    /// Energy in W·ms that may come on top of what full load brings: a minute
    /// of it, since telegrams come late and in bursts. What a coarse register
    /// counts at once is owed, so that a thousand telegrams a second add no
    /// more than one.
    slack: i128,
}

impl Run {
    /// The first telegram of a run.
    pub(super) fn begin(telegram: &Telegram, at: Timestamp, rating: Rating) -> Self {
        let slack = rating.energy(NEAR);
        let track = |(register, stand): (&_, &_)| (*register, Track { at, stand: *stand, slack });
        Self {
            meter: telegram.meter.clone(),
            at,
            stamp: telegram.stamp,
            tracks: telegram.stands.iter().map(track).collect(),
        }
    }

    /// When the last telegram came.
    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether a telegram says only what the last one said, by the meter's own
    /// clock: some bridges send the last telegram for ever.
    pub(super) fn is_repeated_by(&self, telegram: &Telegram) -> bool {
        let is_same = |(register, stand): (&_, &_)| {
            self.tracks.get(register).is_some_and(|track| track.stand == *stand)
        };
        self.stamp.is_some()
            && self.stamp == telegram.stamp
            && self.meter == telegram.meter
            && telegram.stands.iter().all(is_same)
    }

    /// Why a telegram does not go on with this run, if it does not.
    pub(super) fn misfit(
        &self,
        telegram: &Telegram,
        at: Timestamp,
        rating: Rating,
    ) -> Option<Misfit> {
        if telegram.meter != self.meter {
            return Some(Misfit::Meter);
        }
        telegram.stands.iter().find_map(|(register, stand)| {
            self.tracks.get(register)?.step(*register, *stand, at, rating).err()
        })
    }

    /// Goes on with a telegram that fits.
    pub(super) fn advance(&mut self, telegram: &Telegram, at: Timestamp, rating: Rating) {
        for (register, stand) in &telegram.stands {
            let first = Track { at, stand: *stand, slack: rating.energy(NEAR) };
            let track = self.tracks.entry(*register).or_insert(first);
            if let Ok(next) = track.step(*register, *stand, at, rating) {
                *track = next;
            }
        }
        self.at = at;
        self.stamp = telegram.stamp;
    }

    /// Whose registers these are.
    pub(super) fn meter(&self) -> &Serial {
        &self.meter
    }

    /// What the registers showed when the last telegram came.
    pub(super) fn stands(&self) -> BTreeMap<Register, Option<Stand>> {
        self.tracks.iter().map(|(register, track)| (*register, Some(track.stand))).collect()
    }

    /// What the registers showed at `boundary`, between the last telegram and
    /// the next: none for a register that one of the two does not have.
    pub(super) fn stands_between(
        &self,
        boundary: Timestamp,
        next: &Telegram,
        next_at: Timestamp,
    ) -> BTreeMap<Register, Option<Stand>> {
        let registers = self.tracks.keys().chain(next.stands.keys());
        let stand = |register| {
            let last = self.tracks.get(register).filter(|track| track.at == self.at)?;
            let next = next.stands.get(register)?;
            let wh = interpolate((last.at, last.stand.wh), (next_at, next.wh), boundary)?;
            Some(Stand { wh, basis: last.stand.basis })
        };
        registers.map(|register| (*register, stand(register))).collect()
    }
}

impl Track {
    /// The track one telegram further on.
    fn step(
        self,
        register: Register,
        stand: Stand,
        at: Timestamp,
        rating: Rating,
    ) -> Result<Self, Misfit> {
        if stand.basis != self.stand.basis {
            return Err(Misfit::Basis(register));
        }
        let step = stand.wh.checked_sub(self.stand.wh).ok_or(Misfit::Back(register))?;
        let most = self.slack + rating.energy(at.since(self.at));
        let left = most - i128::from(step) * PER_WH;
        if left < -i128::from(grain(self.stand.wh, stand.wh)) * PER_WH {
            return Err(Misfit::Jump(register));
        }
        Ok(Self { at, stand, slack: left.min(rating.energy(NEAR)) })
    }
}

/// What a register counted between two instants that may lie far apart. Stands
/// that were computed do not show how much it counts at once: a kWh at most.
pub(super) fn rise(
    register: Register,
    (from_at, from): (Timestamp, u64),
    (to_at, to): (Timestamp, u64),
    rating: Rating,
) -> Result<u64, Misfit> {
    let risen = to.checked_sub(from).ok_or(Misfit::Back(register))?;
    let most = rating.energy(to_at.since(from_at) + NEAR) + 1_000 * PER_WH;
    if i128::from(risen) * PER_WH > most {
        return Err(Misfit::Jump(register));
    }
    Ok(risen)
}

/// The least that a register can count, as far as two of its stands show:
/// some count whole kWh.
fn grain(a: u64, b: u64) -> u64 {
    let divides = |grain: &u64| a.is_multiple_of(*grain) && b.is_multiple_of(*grain);
    [1_000, 100, 10].into_iter().find(divides).unwrap_or(1)
}

/// The stand at `boundary` on the straight line from one telegram to the next,
/// rounded down.
fn interpolate(
    (last_at, last): (Timestamp, u64),
    (next_at, next): (Timestamp, u64),
    boundary: Timestamp,
) -> Option<u64> {
    let span = u128::from(next_at.0.checked_sub(last_at.0)?);
    let part = u128::from(boundary.0.checked_sub(last_at.0)?);
    let step = u128::from(next.checked_sub(last)?);
    let risen = (step * part).checked_div(span)?;
    last.checked_add(u64::try_from(risen).ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::telegram::Basis;
    use super::*;

    const RATING: Rating = Rating { watts: 17_250 };

    fn track(wh: u64) -> Track {
        let stand = Stand { wh, basis: Basis::Total };
        Track { at: Timestamp(0), stand, slack: RATING.energy(NEAR) }
    }

    fn step(track: Track, wh: u64, at_ms: u64) -> Result<Track, Misfit> {
        let stand = Stand { wh, basis: Basis::Total };
        track.step(Register::Import, stand, Timestamp(at_ms), RATING)
    }

    #[test]
    fn a_register_may_count_what_the_connection_carries_and_a_minute_more() {
        // 17,250 W for an hour and a minute, and the Wh that the register was about to count.
        assert!(step(track(1), 17_539, 3_600_000).is_ok());
        let jump = step(track(1), 17_540, 3_600_000).err();
        assert_eq!(jump, Some(Misfit::Jump(Register::Import)));
        assert_eq!(step(track(5), 4, 1_000).err(), Some(Misfit::Back(Register::Import)));
    }

    #[test]
    fn a_register_of_whole_kwh_may_count_one_and_not_one_with_every_telegram() {
        let first = step(track(185_000), 186_000, 1_000).ok().unwrap();
        assert!(step(first, 187_000, 2_000).is_err());
        assert!(step(first, 187_000, 3_600_000).is_ok());
        assert!(step(track(185_000), 187_000, 1_000).is_err());
        assert!(step(track(185_001), 186_000, 1_000).is_err());
    }

    #[test]
    fn a_thousand_telegrams_a_second_carry_no_more_than_one() {
        let mut track = track(1);
        for ms in 1..=1_000_u64 {
            let mut risen = (1..=10).rev().map(|wh| track.stand.wh + wh);
            let next = risen.find_map(|wh| step(track, wh, ms).ok());
            track = next.unwrap_or(track);
        }
        // A minute and a second at 17,250 W, and 10 Wh that a register of tens would owe.
        assert!(track.stand.wh <= 1 + 292 + 10, "{}", track.stand.wh);
    }

    #[test]
    fn a_boundary_is_on_the_line_between_two_telegrams_rounded_down() {
        let at = |ms| interpolate((Timestamp(1_000), 10), (Timestamp(4_000), 20), Timestamp(ms));
        assert_eq!(at(1_000), Some(10));
        assert_eq!(at(2_000), Some(13));
        assert_eq!(at(3_999), Some(19));
        assert_eq!(at(4_000), Some(20));
        let far = (Timestamp(u64::MAX), u64::MAX);
        assert_eq!(interpolate((Timestamp(0), 0), far, far.0), Some(u64::MAX));
    }
}
