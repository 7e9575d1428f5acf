//! Members that lie.

use std::collections::BTreeMap;

use aggregation::{Canonical as _, Context, DeviceSecret, Scheme};
use protocol::envelope::{Envelope, Message, seal};
use protocol::message::{Contribution, Kind, Share};
use protocol::output::Publication;

use crate::plan::Party;

use super::World;

impl<S: Scheme> World<S> {
    /// A meter answers wrongly from now on, under its own signature.
    pub fn lie(&mut self, meter: u16) {
        self.liars.insert(meter);
    }

    /// A meter hides this many Wh in every contribution from now on, whatever
    /// it reads.
    pub fn pretend(&mut self, meter: u16, wh: u64) {
        self.pretended.insert(meter, wh);
    }

    /// What a party says in place of a message.
    pub(super) fn bend(&mut self, party: Party, publication: Publication) -> Publication {
        let Party::Meter(number) = party else { return publication };
        if !self.liars.contains(&number) && !self.pretended.contains_key(&number) {
            return publication;
        }
        let Ok(envelope) = Envelope::parse(&publication.payload) else { return publication };
        let bent = match envelope.header().kind {
            Kind::Share if self.liars.contains(&number) => self.bent_share(party, &envelope),
            Kind::Contribution => self.bent_contribution(number, &envelope),
            _ => None,
        };
        match bent {
            Some(payload) => Publication { payload, ..publication },
            None => publication,
        }
    }

    fn bent_share(&self, party: Party, envelope: &Envelope) -> Option<Vec<u8>> {
        let roster = self.judge.rosters.get(&envelope.header().epoch)?;
        let (_, mut share): (_, Share) = roster.open_from_member(envelope).ok()?;
        // The first byte of a scalar or point is the lowest of it.
        *share.response.first_mut()? ^= 1;
        self.signed_anew(party, envelope, &share)
    }

    /// Another contribution in place of one, the same for every repetition.
    /// A range proof stays as it was: there is none of what it hides.
    fn bent_contribution(&mut self, number: u16, envelope: &Envelope) -> Option<Vec<u8>> {
        let roster = self.judge.rosters.get(&envelope.header().epoch)?;
        let (meter, mut body): (_, Contribution) = roster.open_from_member(envelope).ok()?;
        if let Some(known) = self.bent.get(&(number, body.slot)) {
            return Some(known.clone());
        }
        let wh = *self.pretended.get(&number)?;
        let device = DeviceSecret::new([0; 32]);
        let mut registers = BTreeMap::new();
        for register in body.registers.keys() {
            let statement = roster.place().contribution(&meter, body.slot, *register);
            let context = Context(&statement);
            let (hidden, _) = roster.scheme().contribute(&device, wh, context, &mut self.rng);
            registers.insert(*register, hidden.to_bytes().into());
        }
        body.registers = registers;
        let message = self.signed_anew(Party::Meter(number), envelope, &body)?;
        self.judge.pretended.insert((number, body.slot), wh);
        self.bent.insert((number, body.slot), message.clone());
        Some(message)
    }

    fn signed_anew<M: Message>(&self, party: Party, of: &Envelope, body: &M) -> Option<Vec<u8>> {
        let header = of.header();
        let roster = self.judge.rosters.get(&header.epoch)?;
        let identity = self.nodes.get(&party)?.identity();
        let place = (&header.region, header.epoch, header.sender.clone());
        Some(seal(&identity, place, roster.digest(), body))
    }
}
