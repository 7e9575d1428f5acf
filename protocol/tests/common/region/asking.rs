//! Holders that are asked for help, and what they make of it.

use aggregation::{Canonical as _, Context};
use protocol::entry::{self, Entry};
use protocol::envelope::Envelope;
use protocol::id::Sender;
use protocol::message::{Request, Share, Target};
use protocol::output::{Event, Output};
use protocol::portion::Portion;
use protocol::release::{self, Reason};
use protocol::slot::Slot;
use protocol::statement::Place;
use serde_bytes::ByteBuf;

use super::super::{Kit, events, meter_id, meter_rng, published};
use super::Region;

/// What a meter made of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Share(Vec<u8>),
    Refused(Reason),
    Rejected(Option<Sender>, &'static str),
}

impl Answer {
    /// The reason's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Share(_) => "share",
            Self::Refused(reason) => reason.name(),
            Self::Rejected(_, name) => name,
        }
    }
}

impl<S: Kit> Region<S> {
    /// Hands a meter a message; what it makes of it.
    pub(crate) fn tell(&mut self, at: usize, message: &[u8]) -> Vec<Output> {
        self.meters[at].handle_message(message, self.now);
        self.drain(at)
    }

    /// Asks a meter for help with whatever bytes.
    pub(crate) fn ask_with(&mut self, at: usize, message: &[u8]) -> Answer {
        let outputs = self.tell(at, message);
        if let Some(share) = published(&outputs, "/share").first() {
            return Answer::Share(share.clone());
        }
        let answer = events(&outputs).into_iter().find_map(|event| match event {
            Event::Refused { reason, .. } => Some(Answer::Refused(reason)),
            Event::Rejected { sender, name, .. } => Some(Answer::Rejected(sender, name)),
            _ => None,
        });
        answer.unwrap_or_else(|| panic!("no answer: {outputs:?}"))
    }

    /// Asks a meter for help with a request that the collector signs.
    pub(crate) fn ask(&mut self, at: usize, request: &Request) -> Answer {
        let message = self.by_collector(request);
        self.ask_with(at, &message)
    }

    /// Asks for the region's sum over contributions.
    pub(crate) fn ask_region(&mut self, at: usize, slot: Slot, messages: &[Vec<u8>]) -> Answer {
        self.ask(at, &region_request(slot, messages))
    }

    /// A member's share, computed without its machine.
    pub(crate) fn played_share(&mut self, at: usize, request: &Request) -> Share {
        let (of, _) = self.roster.member(&meter_id(at)).unwrap();
        let roster = &self.roster;
        let (target, listed) = match request {
            Request::Region(slot, listed) => (Target::Region(*slot), listed),
            Request::Bill(portion, listed) => (Target::Bill(*portion), listed),
        };
        let opened = self.listed(target);
        let read = |message: &ByteBuf| {
            let envelope = Envelope::parse(message).unwrap();
            match &opened {
                None => Entry::contribution(roster, &envelope, message).unwrap(),
                Some(opened) => Entry::claim(roster, opened, &envelope, message).unwrap(),
            }
        };
        let entries: Vec<_> = listed.iter().map(read).collect();
        let sums = entry::sums(roster, target, &entries);
        let sums: Vec<_> = sums.into_iter().map(|sum| sum.aggregate).collect();
        let digest = release::digest(request);
        let statement = roster.place().share(&meter_id(at), &digest);
        let asked = roster.scheme().request(&sums);
        let (secret, rng) = (self.secret(at), &mut self.rng);
        let response = roster.scheme().respond(&secret, of, &asked, Context(&statement), rng);
        Share { request: digest, response: ByteBuf::from(response.unwrap().to_bytes()) }
    }

    /// The secret of a member's key part, drawn again.
    pub(crate) fn secret(&self, at: usize) -> S::Secret {
        let place = Place { binding: self.body().invitation, ..self.roster.place().clone() };
        S::key_part(Context(&place.key_part(&meter_id(at))), &mut meter_rng(at)).0
    }
}

pub(crate) fn region_request(slot: Slot, messages: &[Vec<u8>]) -> Request {
    Request::Region(slot, messages.iter().cloned().map(ByteBuf::from).collect())
}

pub(crate) fn bill_request(portion: Portion, messages: &[Vec<u8>]) -> Request {
    Request::Bill(portion, messages.iter().cloned().map(ByteBuf::from).collect())
}
