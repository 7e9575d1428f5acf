//! What registers showed at the boundaries of slots, and what they counted from
//! one to another: within a run, or since stands that were kept.

use std::collections::{BTreeMap, BTreeSet};

use protocol::meter::{self, Stands};
use protocol::reading::Register;
use protocol::slot::Timestamp;
use thiserror::Error;

use super::super::Quantities;
use super::run::{Misfit, Rating, rise};
use super::series::{Answer, LeftOut};
use super::telegram::{Serial, Stand};

/// What the registers counted since stands were kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Since {
    /// Of the registers that go on from there.
    pub energy: Quantities,
    /// What they show now.
    pub stands: Stands,
    /// Why the others do not.
    pub broken: Vec<Broken>,
}

/// Why the energy between two stands is not known. It repeats no value.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Broken {
    /// Nothing was kept of this register, or there is no such register.
    #[error("the {0} register is another meter's, is read from other codes, or was not there")]
    Series(Register),
    /// The stands exclude each other.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

impl Since {
    /// What registers counted since `at`, when they showed what was kept.
    pub(super) fn of(
        at: Timestamp,
        kept: &Stands,
        (now, stands): (Timestamp, Stands),
        rating: Rating,
    ) -> Self {
        let (mut energy, mut broken) = (Quantities::new(), Vec::new());
        let registers: BTreeSet<_> = kept.keys().chain(stands.keys()).copied().collect();
        for register in registers {
            let both = kept.get(&register).zip(stands.get(&register));
            let both = both.filter(|(from, to)| from.series == to.series);
            let risen = both
                .ok_or(Broken::Series(register))
                .and_then(|(from, to)| Ok(rise(register, (at, from.wh), (now, to.wh), rating)?));
            match risen {
                Ok(wh) => drop(energy.insert(register, wh)),
                Err(why) => broken.push(why),
            }
        }
        Self { energy, stands, broken }
    }
}

/// The stands at a slot's boundary, none for a register that was missing.
pub(super) struct Mark {
    pub(super) run: u64,
    pub(super) meter: Serial,
    pub(super) stands: BTreeMap<Register, Option<Stand>>,
}

impl Mark {
    /// As a meter keeps them; none if one was missing.
    pub(super) fn kept(&self) -> Option<Stands> {
        let kept = |(register, stand): (&Register, &Option<Stand>)| {
            let Stand { wh, basis } = (*stand)?;
            let series = self.meter.series(*register, basis);
            Some((*register, meter::Stand { series, wh }))
        };
        self.stands.iter().map(kept).collect()
    }

    /// The energy from here to `last`. A register that one of the two misses
    /// leaves the slot out: without it the others would say that it is zero.
    pub(super) fn difference(&self, last: &Self) -> Answer {
        if self.run != last.run {
            return Answer::LeftOut(LeftOut::NewSeries);
        }
        let stand = |mark: &Self, register| Some(mark.stands.get(register).copied()??.wh);
        let mut energy = Quantities::new();
        for register in self.stands.keys().chain(last.stands.keys()) {
            let (from, to) = (stand(self, register), stand(last, register));
            match from.zip(to).and_then(|(from, to)| to.checked_sub(from)) {
                Some(wh) => energy.insert(*register, wh),
                None => return Answer::LeftOut(LeftOut::Register(*register)),
            };
        }
        Answer::Ready(energy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{after, series, with_lines};
    use super::*;

    /// What two runs say of the energy between them: of the registers `before`
    /// until 900 s and `next` from 2700 s on.
    fn between(before: (&str, &str), next: (&str, &str)) -> (Quantities, Vec<Broken>) {
        let run = |(meter, lines), seconds: u64| {
            let mut series = series(900);
            series.handle_telegram(&with_lines(meter, "", lines), after(seconds * 1_000));
            series
        };
        let kept = run(before, 900).stands(after(900_000)).unwrap();
        let since = run(next, 2_700).since((after(900_000), &kept), after(2_700_000));
        let since = since.unwrap();
        (since.energy, since.broken)
    }

    #[test]
    fn registers_that_go_on_tell_what_they_counted_between_two_runs() {
        let both = ("A", "1-0:1.8.0(1000*Wh)\n1-0:2.8.0(50*Wh)");
        let (energy, broken) = between(both, ("A", "1-0:1.8.0(1300*Wh)\n1-0:2.8.0(50*Wh)"));
        assert_eq!(energy, Quantities::from([(Register::Import, 300), (Register::Export, 0)]));
        assert_eq!(broken, []);
    }

    #[test]
    fn registers_that_do_not_go_on_tell_nothing_and_why() {
        let series = Broken::Series(Register::Import);
        for (meter, lines, why) in [
            ("B", "1-0:1.8.0(1300*Wh)", series),
            ("A", "1-0:1.8.1(1300*Wh)", series),
            ("A", "1-0:1.8.0(999*Wh)", Misfit::Back(Register::Import).into()),
            // 17,250 W for half an hour and a minute, and a kWh.
            ("A", "1-0:1.8.0(10913*Wh)", Misfit::Jump(Register::Import).into()),
        ] {
            let (energy, broken) = between(("A", "1-0:1.8.0(1000*Wh)"), (meter, lines));
            assert_eq!((energy, broken), (Quantities::new(), vec![why]), "{lines}");
        }
        assert_eq!(between(("A", "1-0:1.8.0(1000*Wh)"), ("A", "1-0:1.8.0(10912*Wh)")).1, []);
    }

    #[test]
    fn a_register_that_comes_or_goes_leaves_the_other_one_known() {
        let both = ("A", "1-0:1.8.0(1000*Wh)\n1-0:2.8.0(50*Wh)");
        let import = Quantities::from([(Register::Import, 0)]);
        let export = vec![Broken::Series(Register::Export)];
        assert_eq!(between(both, ("A", "1-0:1.8.0(1000*Wh)")), (import.clone(), export.clone()));
        assert_eq!(between(("A", "1-0:1.8.0(1000*Wh)"), both), (import, export));
    }
}
