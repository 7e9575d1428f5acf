//! Members that lie.

use aggregation::Scheme;
use protocol::envelope::{Envelope, seal};
use protocol::message::{Kind, Share};
use protocol::output::Publication;

use crate::plan::Party;

use super::World;

impl<S: Scheme> World<S> {
    /// A meter answers wrongly from now on, under its own signature.
    pub fn lie(&mut self, meter: u16) {
        self.liars.insert(meter);
    }

    /// What a party says in place of a message.
    pub(super) fn bend(&self, party: Party, publication: Publication) -> Publication {
        let is_liar = matches!(party, Party::Meter(number) if self.liars.contains(&number));
        let bent = if is_liar { self.bent_share(party, &publication.payload) } else { None };
        match bent {
            Some(payload) => Publication { payload, ..publication },
            None => publication,
        }
    }

    fn bent_share(&self, party: Party, message: &[u8]) -> Option<Vec<u8>> {
        let envelope = Envelope::parse(message).ok()?;
        let header = envelope.header();
        if header.kind != Kind::Share {
            return None;
        }
        let roster = self.judge.rosters.get(&header.epoch)?;
        let (_, mut share): (_, Share) = roster.open_from_member(&envelope).ok()?;
        // The first byte of a scalar or point is the lowest of it.
        *share.response.first_mut()? ^= 1;
        let identity = self.nodes.get(&party)?.identity();
        let place = (&header.region, header.epoch, header.sender.clone());
        Some(seal(&identity, place, roster.digest(), &share))
    }
}
