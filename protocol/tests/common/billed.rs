//! A street whose first window has ended, and whose bills a holder is asked for.

use std::time::Duration;

use protocol::envelope::Envelope;
use protocol::message::Claim;
use protocol::output::Output;
use protocol::parameters::Parameters;
use protocol::slot::Window;

use super::region::{Answer, HOLDER, MEMBERS, Played, Region, bill_request, region_request};
use super::{Kit, meter_id, parameters, published};

pub(crate) const WINDOW: Window = Window(0);
pub(crate) const ALL: [u32; 4] = [0, 1, 2, 3];

/// A street whose first window has ended, and what each member but the holder
/// contributed there, by member and position.
pub(crate) struct Billed<S: Kit> {
    pub(crate) street: Region<S>,
    pub(crate) played: Vec<Vec<Played<S>>>,
    /// What the collector asks about each slot.
    pub(crate) requests: Vec<Vec<u8>>,
    /// What the holder published last.
    pub(crate) said: Vec<Output>,
}

impl<S: Kit> Billed<S> {
    /// `absent` members are left out of the set of a position.
    pub(crate) fn new(parameters: Parameters, absent: &[(usize, u32)]) -> Self {
        Self::answered(parameters, absent, &ALL)
    }

    /// The holder is asked about the slots at `positions` alone.
    pub(crate) fn answered(
        parameters: Parameters,
        absent: &[(usize, u32)],
        positions: &[u32],
    ) -> Self {
        let street = Region::<S>::open_with(MEMBERS, parameters);
        let played = (0..MEMBERS).map(|_| Vec::new()).collect();
        let mut billed = Self { street, played, said: Vec::new(), requests: Vec::new() };
        for position in ALL {
            billed.end_slot(position, absent);
            if positions.contains(&position) {
                billed.hear(position);
            }
        }
        billed
    }

    /// Lets a slot end to which everybody contributes.
    pub(crate) fn end_slot(&mut self, position: u32, absent: &[(usize, u32)]) {
        let slot = self.street.end_slot(position.into());
        let mut listed = vec![self.street.contribution(HOLDER, slot, 1)];
        for one in self.street.play_all(slot, 1..MEMBERS) {
            listed.push(one.message.clone());
            self.played[listed.len() - 1].push(one);
        }
        let in_set = |at: &usize| !absent.contains(&(*at, position));
        let listed: Vec<_> = (0..MEMBERS).filter(in_set).map(|at| listed[at].clone()).collect();
        let request = self.street.by_collector(&region_request(slot, &listed));
        self.requests.push(request);
    }

    /// Lets the second window end, and every slot of it be answered.
    pub(crate) fn end_second_window(&mut self) {
        for position in 4..8 {
            self.end_slot(position, &[]);
            self.hear(position);
        }
    }

    /// Asks the holder about the slot at a position.
    pub(crate) fn hear(&mut self, position: u32) {
        self.said = self.street.tell(HOLDER, &self.requests[position as usize]);
        assert_eq!(published(&self.said, "/share").len(), 1);
    }

    /// Lets the time pass in which the holder waits for requests.
    pub(crate) fn wait_for_claims(&mut self) {
        let closes = self.street.roster.slot_closes(self.street.slot(3));
        self.street.now = closes + Duration::from_mins(30);
        self.street.meters[HOLDER].handle_timeout(self.street.now);
        self.said = self.street.drain(HOLDER);
    }

    pub(crate) fn honest() -> Self {
        Self::new(parameters::<S>(), &[])
    }

    /// A member's claim to the sum of its slots at `summed`, said to cover
    /// those at `covered`.
    pub(crate) fn claim(&mut self, at: usize, covered: &[u32], summed: &[u32]) -> Claim {
        let played: Vec<_> =
            summed.iter().map(|position| &self.played[at][*position as usize]).collect();
        self.street.claim((at, WINDOW), covered, &played)
    }

    pub(crate) fn signed_claim(&mut self, at: usize, covered: &[u32], summed: &[u32]) -> Vec<u8> {
        let claim = self.claim(at, covered, summed);
        self.street.by_meter(at, &claim)
    }

    pub(crate) fn ask(&mut self, claims: &[Vec<u8>]) -> Answer {
        self.street.ask(HOLDER, &bill_request(WINDOW, claims))
    }

    /// The answer to a single claim that a member signs.
    pub(crate) fn ask_one(&mut self, at: usize, claim: &Claim) -> Answer {
        let message = self.street.by_meter(at, claim);
        self.ask(&[message])
    }

    /// The one claim among what the holder published last.
    pub(crate) fn claimed(&self) -> Claim {
        let [message] = &published(&self.said, "/claim")[..] else { panic!("no one claim") };
        let envelope = Envelope::parse(message).unwrap();
        let (owner, claim) = self.street.roster.open_from_member(&envelope).unwrap();
        assert_eq!(owner, meter_id(HOLDER));
        claim
    }
}
