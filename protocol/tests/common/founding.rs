//! A ceremony that is done by hand, so that its roster can be bent before a
//! meter sees it.

use aggregation::Scheme;
use protocol::envelope::Envelope;
use protocol::id::{Digest, Epoch};
use protocol::keygen::Ceremony;
use protocol::message::{Invitation, Roster};
use protocol::meter::Meter;
use protocol::output::Event;
use protocol::parameters::Parameters;
use protocol::slot::{Slot, slot_at};

use super::{
    START, collector_identity, drain, events, invited, new_meter, parameters, published, region_id,
    registrar,
};

pub(crate) const EPOCH: Epoch = Epoch(1);

/// An invitation that honest meters accept.
pub(crate) fn invitation(count: usize, parameters: Parameters) -> Invitation {
    Invitation {
        previous: Digest::NONE,
        attempt: 0,
        collector: collector_identity().key(),
        parameters,
        members: invited(count),
    }
}

/// Meters that have sent their key parts and wait for the roster.
pub(crate) struct Founding<S: Scheme> {
    pub(crate) meters: Vec<Meter<S>>,
    pub(crate) roster: Roster,
}

impl<S: Scheme> Founding<S> {
    pub(crate) fn of(count: usize) -> Self {
        Self::with(count, parameters::<S>(), |at| new_meter(at, START))
    }

    pub(crate) fn with(
        count: usize,
        parameters: Parameters,
        meter: impl Fn(usize) -> Meter<S>,
    ) -> Self {
        let invitation = invitation(count, parameters);
        let mut ceremony = Ceremony::<S>::open(&registrar(), &region_id(), EPOCH, invitation);
        let mut meters: Vec<_> = (0..count).map(meter).collect();
        for meter in &mut meters {
            meter.handle_message(ceremony.message(), START);
            let [part] = &published(&drain(meter), "/keygen")[..] else { panic!("no key part") };
            ceremony.take(&Envelope::parse(part).unwrap(), part).unwrap();
        }
        let first_slot = first_slot();
        let roster = ceremony.roster(first_slot, first_slot.plus(16)).unwrap().unwrap();
        Self { meters, roster }
    }

    /// The roster as the registrar signs it.
    pub(crate) fn signed(&self) -> Vec<u8> {
        registrar().sign(&region_id(), EPOCH, &self.roster)
    }

    /// What the first meter says to a signed roster.
    pub(crate) fn offer(&mut self, roster: &[u8]) -> Event {
        self.meters[0].handle_message(roster, START);
        let [event] = &events(&drain(&mut self.meters[0]))[..] else { panic!("no one event") };
        event.clone()
    }
}

pub(crate) fn first_slot() -> Slot {
    slot_at(parameters::<aggregation::Plain>().slot_seconds, START).plus(1)
}
