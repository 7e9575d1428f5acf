//! Claims, and when the bills of a portion are asked for.

use std::collections::BTreeMap;

use aggregation::Scheme;

use crate::entry::{Entry, EntryError};
use crate::envelope::Envelope;
use crate::id::MeterId;
use crate::listing::Listed;
use crate::message::{Claim, Target};
use crate::output::Event;
use crate::portion::Portion;
use crate::reading::Register;
use crate::record::{Change, Key};
use crate::round::{Admission, Round};
use crate::slot::Timestamp;

use super::super::Core;
use super::listings::Stage;
use super::{Book, persist};

impl<S: Scheme> Book<S> {
    pub(in crate::collector) fn handle_claim(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
        message: &[u8],
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let (meter, Claim { portion, .. }) = self.roster.open_from_member(envelope)?;
        let listed = self.listings.final_of(portion).ok_or(EntryError::Listing)?;
        let claim = Entry::claim(&self.roster, listed, envelope, message)?;
        let refused = match self.check_claim(core, portion, &claim) {
            Err(reason) => Some(reason),
            Ok(()) => self.take_claim(core, portion, claim, now)?,
        };
        if let Some(reason) = refused {
            core.event(Event::ClaimRefused { meter, portion, reason });
        }
        self.close_portions(core, now);
        Ok(())
    }

    /// Offers a claim to its round; why it is not taken, if it is not.
    fn take_claim(
        &mut self,
        core: &mut Core<S>,
        portion: Portion,
        claim: Entry<S>,
        now: Timestamp,
    ) -> Result<Option<&'static str>, EntryError> {
        self.check(core, &claim, now)?;
        if self.deadline(claim.target) <= now {
            return Ok(Some("too late"));
        }
        let (meter, message) = (claim.meter.clone(), claim.message.clone());
        match self.admit(claim) {
            Some(Admission::Counted) => {
                let key = Key::claimed(self.roster.epoch(), portion, &meter);
                persist(core, Change::Write(key, message.into()));
            }
            // The same sums with another proof are the same claim.
            Some(Admission::Known | Admission::Conflict) => {}
            Some(Admission::Late) | None => return Ok(Some("too late")),
        }
        Ok(None)
    }

    /// A claim must be the sum of what was counted in the slots that the final
    /// listing opens: a bill agrees with the region sums. One that differs from
    /// the claim that was taken is evidence.
    fn check_claim(
        &mut self,
        core: &mut Core<S>,
        portion: Portion,
        claim: &Entry<S>,
    ) -> Result<(), &'static str> {
        if self.contradicts(claim) {
            if self.accuse(core, claim) {
                let meter = claim.meter.clone();
                core.event(Event::SecondClaim { meter, portion });
            }
            return Err("a second claim");
        }
        let round = self.rounds.get(&claim.target);
        if round.is_some_and(Round::is_abandoned) {
            return Err("the bills of its portion stay closed");
        }
        if self.counted_sums(portion, claim).ok_or("its slots are not at hand")?
            == claim.alone(self.roster.scheme())
        {
            Ok(())
        } else {
            Err("not the sum of what was counted")
        }
    }

    /// The sums of what was counted of a claim's owner, by register.
    fn counted_sums(
        &self,
        portion: Portion,
        claim: &Entry<S>,
    ) -> Option<BTreeMap<Register, S::Aggregate>> {
        let (owner, _) = self.roster.member(&claim.meter)?;
        let billed = self.listings.final_of(portion)?.billed(owner);
        let (mut sums, others) = self.sums.of(portion, owner, billed);
        for slot in others {
            // The set of a slot may be known by what holders have answered,
            // where this collector cannot ask about it again.
            let round = self.rounds.get(&Target::Region(slot))?;
            round.entry(&self.roster, &claim.meter)?.fold_into(self.roster.scheme(), &mut sums);
        }
        Some(sums)
    }

    /// Asks for the bills of each portion with a final listing once everybody
    /// has claimed who can, or when waiting for claims is over.
    pub(super) fn close_portions(&mut self, core: &mut Core<S>, now: Timestamp) {
        for portion in self.unasked() {
            let target = Target::Bill(portion);
            let over = self.claims_close(portion) <= now;
            if !over && !self.has_claimed_all(portion) {
                continue;
            }
            if self.deadline(target) <= now {
                self.abandon(core, target, super::schedule::ABSENT.to_owned(), now);
            } else if self.rounds.contains_key(&target) {
                self.request(core, target, now);
            } else if self.claimants(portion).next().is_none() {
                let least = self.roster.parameters().min_slots;
                let reason = format!("no member has {least} slots that may be billed");
                self.abandon(core, target, reason, now);
            } else {
                self.abandon(core, target, "no member claimed its portion".to_owned(), now);
            }
        }
    }

    /// Portions with a final listing whose bills were not asked for.
    pub(super) fn unasked(&self) -> Vec<Portion> {
        let stages = self.listings.stages.iter();
        let finals = stages.filter(|(_, stage)| matches!(stage, Stage::Final { .. }));
        let unasked = |portion: &Portion| match self.rounds.get(&Target::Bill(*portion)) {
            Some(round) => round.is_collecting(),
            None => portion.window >= self.oldest_window,
        };
        finals.map(|(portion, _)| *portion).filter(unasked).collect()
    }

    /// Members that can claim a portion.
    fn claimants(&self, portion: Portion) -> impl Iterator<Item = &MeterId> {
        let least = usize::from(self.roster.parameters().min_slots);
        let listed = self.listings.final_of(portion);
        let can = move |listed: &Listed, of| listed.billed(of).len() >= least;
        self.roster
            .participants()
            .filter(move |(of, _)| listed.is_some_and(|listed| can(listed, *of)))
            .map(|(_, meter)| meter)
    }

    pub(super) fn has_claimed_all(&self, portion: Portion) -> bool {
        let round = self.rounds.get(&Target::Bill(portion));
        self.claimants(portion).all(|meter| round.is_some_and(|round| round.has(meter)))
    }
}
