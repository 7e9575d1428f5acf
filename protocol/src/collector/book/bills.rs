//! Claims, and whether the bills of a window may be asked for at all.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::Scheme;

use crate::entry::{Entry, EntryError};
use crate::envelope::Envelope;
use crate::message::Target;
use crate::output::Event;
use crate::reading::Register;
use crate::record::{Change, Key};
use crate::round::{Admission, Round};
use crate::slot::{Slot, Timestamp, Window};

use super::super::Core;
use super::{Book, persist};

impl<S: Scheme> Book<S> {
    pub(in crate::collector) fn handle_claim(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
        message: &[u8],
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let claim = Entry::claim(&self.roster, envelope, message)?;
        let Target::Bill(window) = claim.target else { return Err(EntryError::Outside) };
        let meter = claim.meter.clone();
        let refused = match self.check_claim(core, window, &claim) {
            Err(reason) => Some(reason),
            Ok(()) => self.take_claim(core, window, claim, now)?,
        };
        if let Some(reason) = refused {
            core.event(Event::ClaimRefused { meter, window, reason });
        }
        self.close_windows(core, now);
        Ok(())
    }

    /// Offers a claim to its round; why it is not taken, if it is not.
    fn take_claim(
        &mut self,
        core: &mut Core<S>,
        window: Window,
        claim: Entry<S>,
        now: Timestamp,
    ) -> Result<Option<&'static str>, EntryError> {
        self.check(core, &claim, now)?;
        let (meter, message) = (claim.meter.clone(), claim.message.clone());
        match self.admit(claim) {
            Some(Admission::Counted) => {
                let key = Key::claimed(self.roster.epoch(), window, &meter);
                persist(core, Change::Write(key, message.into()));
            }
            // The same sums with another proof are the same claim.
            Some(Admission::Known | Admission::Conflict) => {}
            Some(Admission::Late) | None => return Ok(Some("too late")),
        }
        Ok(None)
    }

    /// A claim must cover its whole window and be the sum of what was counted:
    /// a bill agrees with the region sums. One that differs from the claim
    /// that was taken is evidence.
    fn check_claim(
        &mut self,
        core: &mut Core<S>,
        window: Window,
        claim: &Entry<S>,
    ) -> Result<(), &'static str> {
        if claim.slots.count() != self.roster.parameters().window_slots.get() {
            return Err("it does not cover every slot of its window");
        }
        if self.contradicts(claim) {
            if self.accuse(core, claim) {
                let meter = claim.meter.clone();
                core.event(Event::SecondClaim { meter, window });
            }
            return Err("a second claim");
        }
        let round = self.rounds.get(&Target::Bill(window));
        if round.is_some_and(Round::is_abandoned) {
            return Err("the bills of its window stay closed");
        }
        let mut sums: BTreeMap<Register, S::Aggregate> = BTreeMap::new();
        for slot in self.slots_of(window) {
            let round = self.rounds.get(&Target::Region(slot));
            let counted = round.and_then(|round| round.counted(&claim.meter));
            let counted = counted.ok_or("its slots are not those that were counted")?;
            for (register, hidden) in &counted.hidden {
                self.roster.scheme().fold(sums.entry(*register).or_default(), hidden);
            }
        }
        if sums == claim.alone(self.roster.scheme()) {
            Ok(())
        } else {
            Err("not the sum of what was counted")
        }
    }

    /// Why the bills of a window stay closed whose last slot is closed. Who was
    /// counted in it does not change any more: it is looked up once, and not
    /// with each claim.
    pub(super) fn reason_to_stay_closed(&mut self, window: Window) -> Option<String> {
        if self.whole == Some(window) {
            return None;
        }
        let reason = self.left_out(window);
        if reason.is_none() {
            self.whole = Some(window);
        }
        reason
    }

    /// Why the bills of a window stay closed once its slots are: without
    /// listings, a sum that leaves somebody out may be subtracted from one
    /// that does not.
    fn left_out(&self, window: Window) -> Option<String> {
        let (mut members, mut slots, mut example) = (BTreeSet::new(), BTreeSet::new(), None);
        for slot in self.slots_of(window) {
            let round = self.rounds.get(&Target::Region(slot));
            let is_left_out = |meter| round.and_then(|round| round.counted(meter)).is_none();
            let absent = self.roster.participants().map(|(_, meter)| meter);
            for meter in absent.filter(|meter| is_left_out(meter)) {
                members.insert(meter);
                slots.insert(slot);
                example.get_or_insert((meter, slot));
            }
        }
        let (meter, slot) = example?;
        let (count, of) = (members.len(), self.roster.parameters().window_slots);
        let members = if count == 1 { "member was" } else { "members were" };
        Some(format!(
            "{count} {members} not counted in {} of {of} slots, for example {meter} in slot {slot}",
            slots.len()
        ))
    }

    fn slots_of(&self, window: Window) -> impl Iterator<Item = Slot> + use<S> {
        let grid = self.roster.grid();
        (grid.first_slot(window).0..=grid.last_slot(window).0).map(Slot)
    }
}
