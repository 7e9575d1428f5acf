//! A street whose first window has ended, and whose bills a holder is asked for.

use std::collections::BTreeMap;

use protocol::envelope::Envelope;
use protocol::id::Digest;
use protocol::listing;
use protocol::message::{Claim, Listing};
use protocol::output::Output;
use protocol::parameters::Parameters;
use protocol::portion::Portion;
use protocol::slot::Window;
use protocol::tariff::StepId;

use super::region::{Answer, HOLDER, MEMBERS, Played, Region, bill_request, region_request, set};
use super::{Kit, meter_id, parameters, published};

pub(crate) const PORTION: Portion = Portion { window: Window(0), step: StepId(0) };
pub(crate) const ALL: [u32; 4] = [0, 1, 2, 3];

/// A street whose first window has ended, and what each member but the holder
/// contributed there, by member and position.
pub(crate) struct Billed<S: Kit> {
    pub(crate) street: Region<S>,
    pub(crate) played: Vec<Vec<Played<S>>>,
    /// What the collector asks about each slot.
    pub(crate) requests: Vec<Vec<u8>>,
    /// Who is left out of the set of which position.
    pub(crate) absent: Vec<(usize, u32)>,
    /// What the holder published last.
    pub(crate) said: Vec<Output>,
}

impl<S: Kit> Billed<S> {
    /// `absent` members are left out of the set of a position; the listing of
    /// the window is final.
    pub(crate) fn new(parameters: Parameters, absent: &[(usize, u32)]) -> Self {
        let mut billed = Self::ended(parameters, absent, &ALL);
        billed.settle(&billed.listing());
        billed
    }

    /// The holder is asked about the slots at `positions` alone, and nothing is
    /// listed.
    pub(crate) fn ended(
        parameters: Parameters,
        absent: &[(usize, u32)],
        positions: &[u32],
    ) -> Self {
        let street = Region::<S>::open_with(MEMBERS, parameters);
        let played = (0..MEMBERS).map(|_| Vec::new()).collect();
        let (said, requests) = Default::default();
        let mut billed = Self { street, played, said, requests, absent: absent.to_vec() };
        for position in ALL {
            billed.end_slot(position);
            if positions.contains(&position) {
                billed.hear(position);
            }
        }
        billed
    }

    pub(crate) fn honest() -> Self {
        Self::new(parameters::<S>(), &[])
    }

    /// Lets a slot end to which everybody contributes.
    pub(crate) fn end_slot(&mut self, position: u32) {
        let slot = self.street.end_slot(position.into());
        let mut listed = vec![self.street.contribution(HOLDER, slot, 1)];
        for one in self.street.play_all(slot, 1..MEMBERS) {
            listed.push(one.message.clone());
            self.played[listed.len() - 1].push(one);
        }
        let listed: Vec<_> = self.present(position).map(|at| listed[at].clone()).collect();
        let request = self.street.by_collector(&region_request(slot, &listed));
        self.requests.push(request);
    }

    /// Who is in the set of a position.
    fn present(&self, position: u32) -> impl Iterator<Item = usize> {
        (0..MEMBERS).filter(move |at| !self.absent.contains(&(*at, position)))
    }

    /// Lets the second window end, and every slot of it be answered.
    pub(crate) fn end_second_window(&mut self) {
        for position in 4..8 {
            self.end_slot(position);
            self.hear(position);
        }
    }

    /// Asks the holder about the slot at a position.
    pub(crate) fn hear(&mut self, position: u32) {
        self.said = self.street.tell(HOLDER, &self.requests[position as usize]);
        assert_eq!(published(&self.said, "/share").len(), 1);
    }

    /// The honest listing of a window.
    pub(crate) fn listing_of(&self, window: u32) -> Listing {
        let positions = 4 * window..4 * window + 4;
        Listing {
            portion: Portion { window: Window(window.into()), ..PORTION },
            previous: Digest::NONE,
            sets: positions.map(|position| set(self.present(position))).collect(),
            void: BTreeMap::new(),
        }
    }

    pub(crate) fn listing(&self) -> Listing {
        self.listing_of(0)
    }

    /// Tells the holder that a listing is final.
    pub(crate) fn settle(&mut self, listing: &Listing) {
        let message = self.street.final_listing(listing, 0..MEMBERS);
        self.said = self.street.tell(HOLDER, &message);
    }

    /// A member's claim to the sum of its slots at `summed`.
    pub(crate) fn claim(&mut self, at: usize, summed: &[u32]) -> Claim {
        let played: Vec<_> =
            summed.iter().map(|position| &self.played[at][*position as usize]).collect();
        let under = (PORTION, listing::digest(&self.listing()));
        self.street.claim(at, under, &played)
    }

    pub(crate) fn signed_claim(&mut self, at: usize, summed: &[u32]) -> Vec<u8> {
        let claim = self.claim(at, summed);
        self.street.by_meter(at, &claim)
    }

    pub(crate) fn ask(&mut self, claims: &[Vec<u8>]) -> Answer {
        self.street.ask(HOLDER, &bill_request(PORTION, claims))
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
