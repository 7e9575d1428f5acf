//! Who is killed when, and when it is brought back.

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::Rng;
use protocol::id::MeterId;
use protocol::message::Roster;
use protocol::slot::Timestamp;
use rand::{RngExt as _, SeedableRng as _};

/// The shortest time that an agent is down.
const SHORTEST: Duration = Duration::from_millis(500);
/// How long an agent may take to be of use again.
const START: Duration = Duration::from_secs(3);

/// What to do to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Kill it; it is down for so long.
    Kill(MeterId, Duration),
    /// Start it again.
    Revive(MeterId),
}

/// One of the kills that may go on at a time.
#[derive(Clone)]
enum Hand {
    /// Waits until it may kill.
    Idle { until: Timestamp },
    /// Its victim is down.
    Down { meter: MeterId, until: Timestamp },
    /// Its victim is up again, and refuses what ended before.
    Back { meter: MeterId, until: Timestamp },
}

/// Kills agents at random, never more at once than can be spared.
pub(crate) struct Killer {
    rng: Rng,
    window: Duration,
    recovery: Duration,
    meters: Vec<MeterId>,
    hands: Vec<Hand>,
    kills: u64,
}

impl Killer {
    /// Kills up to `kill` of the meters at a time. An agent is away from its
    /// kill until a slot that had ended before its return has been summed:
    /// `grace` after that.
    pub(crate) fn new(
        meters: Vec<MeterId>,
        (kill, seed): (u16, u64),
        (window, grace): (Duration, Duration),
        now: Timestamp,
    ) -> Self {
        let mut rng = Rng::seed_from_u64(seed);
        let hands = (0..kill).map(|_| Hand::Idle { until: now + below(window, &mut rng) });
        let hands = hands.collect();
        Self { rng, window, recovery: grace + START, meters, hands, kills: 0 }
    }

    /// How many agents were killed so far.
    pub(crate) fn kills(&self) -> u64 {
        self.kills
    }

    /// What is due. `rosters` are those of which sums may still be opened.
    pub(crate) fn poll(&mut self, rosters: &[&Roster], now: Timestamp) -> Vec<Act> {
        let mut acts = Vec::new();
        for place in 0..self.hands.len() {
            let Some(hand) = self.hands.get(place).cloned() else { break };
            let (next, act) = match hand {
                Hand::Idle { until } if until <= now => match self.choose(rosters) {
                    Some(meter) => self.kill(meter, now),
                    None => continue,
                },
                Hand::Down { meter, until } if until <= now => {
                    let until = now + self.recovery;
                    (Hand::Back { meter: meter.clone(), until }, Some(Act::Revive(meter)))
                }
                Hand::Back { until, .. } if until <= now => {
                    (Hand::Idle { until: now + below(self.window / 2, &mut self.rng) }, None)
                }
                _ => continue,
            };
            if let Some(hand) = self.hands.get_mut(place) {
                *hand = next;
            }
            acts.extend(act);
        }
        acts
    }

    /// Everybody who is down is brought back, for good.
    pub(crate) fn rest(&mut self) -> Vec<Act> {
        let hands = std::mem::take(&mut self.hands).into_iter();
        let down = hands.filter_map(|hand| match hand {
            Hand::Down { meter, .. } => Some(Act::Revive(meter)),
            Hand::Idle { .. } | Hand::Back { .. } => None,
        });
        down.collect()
    }

    fn kill(&mut self, meter: MeterId, now: Timestamp) -> (Hand, Option<Act>) {
        let down = below(2 * self.window, &mut self.rng).max(SHORTEST);
        self.kills += 1;
        (Hand::Down { meter: meter.clone(), until: now + down }, Some(Act::Kill(meter, down)))
    }

    /// Anyone whom every roster can spare.
    fn choose(&mut self, rosters: &[&Roster]) -> Option<MeterId> {
        let away = self.away();
        let full: Vec<_> = rosters.iter().filter(|roster| !can_spare(roster, &away)).collect();
        let is_needed = |meter: &MeterId| full.iter().any(|roster| names(roster, meter));
        let victims = self.meters.iter();
        let victims: Vec<_> =
            victims.filter(|meter| !away.contains(meter) && !is_needed(meter)).collect();
        if victims.is_empty() {
            return None;
        }
        victims.get(self.rng.random_range(0..victims.len())).map(|meter| (*meter).clone())
    }

    fn away(&self) -> BTreeSet<&MeterId> {
        self.hands.iter().filter_map(Hand::victim).collect()
    }
}

impl Hand {
    fn victim(&self) -> Option<&MeterId> {
        match self {
            Self::Idle { .. } => None,
            Self::Down { meter, .. } | Self::Back { meter, .. } => Some(meter),
        }
    }
}

/// A random span below another.
fn below(span: Duration, rng: &mut Rng) -> Duration {
    span.mul_f64(rng.random_range(0.0..1.0))
}

/// Whether one more member may go away.
fn can_spare(roster: &Roster, away: &BTreeSet<&MeterId>) -> bool {
    let (members, parameters) = (roster.members.len(), &roster.parameters);
    let needed = parameters.threshold.of(members).max(parameters.contributors_needed());
    let gone = roster.members.iter().filter(|member| away.contains(&member.meter)).count();
    members.saturating_sub(gone) > needed
}

fn names(roster: &Roster, meter: &MeterId) -> bool {
    roster.members.binary_search_by(|member| member.meter.cmp(meter)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::tests::roster_of;
    use std::collections::BTreeMap;

    const WINDOW: Duration = Duration::from_secs(10);
    const GRACE: Duration = Duration::from_secs(3);

    /// What six kills at a time do to ten meters within 200 s, of a roster of
    /// which `needed` have to be there.
    fn acts(seed: u64, needed: u16) -> Vec<(Timestamp, Act)> {
        let names: Vec<_> = (10..20).map(|number| format!("m-{number}")).collect();
        let meters: Vec<MeterId> = names.iter().map(|name| name.parse().unwrap()).collect();
        let roster = roster_of(names.iter().map(String::as_str), needed);
        let mut killer = Killer::new(meters, (6, seed), (WINDOW, GRACE), Timestamp(0));
        let moments = (0..2_000).map(|tick| Timestamp(tick * 100));
        moments
            .flat_map(|now| killer.poll(&[&roster], now).into_iter().map(move |act| (now, act)))
            .collect()
    }

    /// How many were away at a time at most.
    fn most_away(acts: &[(Timestamp, Act)]) -> usize {
        let mut free = BTreeMap::new();
        let away = acts.iter().filter_map(|(now, act)| match act {
            Act::Kill(meter, down) => {
                free.insert(meter, *now + *down + GRACE + START);
                Some(free.values().filter(|until| **until > *now).count())
            }
            Act::Revive(_) => None,
        });
        away.max().unwrap_or(0)
    }

    #[test]
    fn never_more_are_away_than_were_asked_for_or_can_be_spared() {
        for seed in 1..=20 {
            assert_eq!(most_away(&acts(seed, 2)), 6, "seed {seed}");
            assert_eq!(most_away(&acts(seed, 7)), 3, "seed {seed}");
        }
        assert_eq!(acts(1, 10), []);
    }

    #[test]
    fn whoever_was_killed_comes_back_within_two_windows() {
        let acts = acts(1, 2);
        let killed = acts.iter().filter_map(|(at, act)| match act {
            Act::Kill(meter, down) => Some((*at, meter, *down)),
            Act::Revive(_) => None,
        });
        let mut count = 0;
        for (at, meter, down) in killed {
            assert!(down <= 2 * WINDOW, "{down:?}");
            let back = (at + down)..(at + down + Duration::from_millis(101));
            let is_back = |(when, act): &(Timestamp, Act)| {
                *act == Act::Revive(meter.clone()) && back.contains(when)
            };
            assert!(back.end > Timestamp(200_000) || acts.iter().any(is_back), "{meter} {at:?}");
            count += 1;
        }
        assert!(count > 30, "{count}");
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(acts(3, 2), acts(3, 2));
        assert_ne!(acts(3, 2), acts(4, 2));
    }
}
