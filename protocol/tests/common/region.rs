//! A region whose epoch is open, its messages delivered by hand.

mod asking;
mod running;

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{Canonical as _, Context, DeviceSecret, Hidden, Participant, Rng, Scheme};
use protocol::collector::Collector;
use protocol::envelope::{Envelope, Message, seal};
use protocol::id::{Digest, Sender};
use protocol::listing::{self, Listed};
use protocol::members::MemberSet;
use protocol::message::{
    Claim, Contribution, Endorsement, FinalListing, Listing, Outcome, Receipt, Request, Roster,
    Share, Status, Target,
};
use protocol::meter::{Meter, Quantities};
use protocol::output::{Event, Output};
use protocol::parameters::{Parameters, RangeProofs};
use protocol::portion::Portion;
use protocol::reading::Register;
use protocol::roster::AcceptedRoster;
use protocol::slot::{Slot, Timestamp, Window};
use protocol::tariff::StepId;
use serde_bytes::ByteBuf;

use super::disk::Disk;
use super::{
    Kit, START, collector_identity, events, meter_id, meter_identity, new_collector, new_meter,
    parameters, published, region_id, registrar, rng,
};
pub(crate) use asking::{Answer, bill_request, region_request};
use running::{exchange, turn};
pub(super) use running::{is_for, published_by};

pub(crate) const IMPORT: Register = Register::Import;

/// The meter that is asked; the test plays the others.
pub(crate) const HOLDER: usize = 0;
pub(crate) const MEMBERS: usize = 5;

/// What all five contribute together when meter i contributes 2^i.
pub(crate) const ALL: u64 = 0b1_1111;

/// A message of a member that the test plays, with what it takes to claim it.
pub(crate) struct Played<S: Scheme> {
    pub(crate) message: Vec<u8>,
    pub(crate) body: Contribution,
    pub(crate) retained: BTreeMap<Register, S::Retained>,
}

/// A slot and register, what was retained of it, and its energy in Wh.
pub(crate) type Hides<'a, S> = (Slot, Register, &'a <S as Scheme>::Retained, u64);

pub(crate) struct Region<S: Scheme> {
    pub(crate) collector: Collector<S>,
    /// What the collector has made durable.
    pub(crate) disk: Disk,
    pub(crate) meters: Vec<Meter<S>>,
    /// What each meter has made durable.
    pub(crate) disks: Vec<Disk>,
    pub(crate) roster: AcceptedRoster<S>,
    pub(crate) signed_roster: Vec<u8>,
    pub(crate) now: Timestamp,
    /// Meters that nothing reaches and that nobody hears.
    pub(crate) offline: BTreeSet<usize>,
    pub(crate) rng: Rng,
    /// What the collector handed out since the epoch opened.
    pub(crate) outputs: Vec<Output>,
}

impl<S: Kit> Region<S> {
    pub(crate) fn open(count: usize) -> Self {
        Self::open_with(count, parameters::<S>())
    }

    pub(crate) fn open_with(count: usize, parameters: Parameters) -> Self {
        let mut collector = new_collector::<S>(count, parameters, START);
        let mut meters: Vec<_> = (0..count).map(|at| new_meter::<S>(at, START)).collect();
        let mut outputs = Vec::new();
        let mut disks: Vec<_> = meters.iter().map(|_| Disk::default()).collect();
        let mut disk = Disk::default();
        let everybody = (&mut meters[..], &mut disks[..]);
        exchange((&mut collector, &mut disk), everybody, START, &BTreeSet::new(), &mut outputs);
        let [signed_roster, ..] = &published(&outputs, "/c/roster")[..] else {
            panic!("no roster: {outputs:?}")
        };
        let signed_roster = signed_roster.clone();
        let registrar = registrar().key();
        let roster = AcceptedRoster::open(&signed_roster, &region_id(), &registrar).unwrap();
        let (offline, outputs) = Default::default();
        let now = START;
        let rng = rng(5);
        Self { collector, disk, meters, disks, roster, signed_roster, now, offline, rng, outputs }
    }

    pub(crate) fn body(&self) -> &Roster {
        self.roster.body()
    }

    /// The slot at a position of the epoch.
    pub(crate) fn slot(&self, position: u64) -> Slot {
        self.body().first_slot.plus(position)
    }

    /// Lets a slot of the epoch end.
    pub(crate) fn end_slot(&mut self, position: u64) -> Slot {
        let slot = self.slot(position);
        self.now = self.now.max(self.roster.grid().end(slot));
        slot
    }

    /// Signs as a member.
    pub(crate) fn by_meter<M: Message>(&self, at: usize, body: &M) -> Vec<u8> {
        let place = (self.roster.region(), self.roster.epoch(), Sender::Meter(meter_id(at)));
        seal(&meter_identity(at), place, self.roster.digest(), body)
    }

    /// Signs as the collector.
    pub(crate) fn by_collector<M: Message>(&self, body: &M) -> Vec<u8> {
        let place = (self.roster.region(), self.roster.epoch(), Sender::Collector);
        seal(&collector_identity(), place, self.roster.digest(), body)
    }

    /// Gives a meter its reading of a slot; what it publishes.
    pub(crate) fn read(&mut self, at: usize, slot: Slot, wh: u64) -> Vec<Output> {
        let quantities: Quantities =
            self.body().parameters.registers.iter().map(|register| (*register, wh)).collect();
        self.meters[at].handle_reading(slot, &quantities, self.now);
        self.drain(at)
    }

    /// Everything that a meter hands out; what is to survive is on its disk.
    pub(crate) fn drain(&mut self, at: usize) -> Vec<Output> {
        turn(at, &mut self.meters[at], &mut self.disks[at], self.now)
    }

    /// The message that a meter makes of a reading.
    pub(crate) fn contribution(&mut self, at: usize, slot: Slot, wh: u64) -> Vec<u8> {
        let outputs = self.read(at, slot, wh);
        let [message] = &published(&outputs, "/contribution")[..] else { panic!("{outputs:?}") };
        message.clone()
    }

    /// Encrypts as a member would, without its machine.
    pub(crate) fn play(&mut self, at: usize, slot: Slot, wh: u64) -> Played<S> {
        let device = DeviceSecret::new([9; 32]);
        let (mut registers, mut retained) = (BTreeMap::new(), BTreeMap::new());
        for register in self.body().parameters.registers.clone() {
            let statement = self.roster.place().contribution(&meter_id(at), slot, register);
            let scheme = self.roster.scheme();
            let made = scheme.contribute(&device, wh, Context(&statement), &mut self.rng);
            registers.insert(register, ByteBuf::from(made.0.to_bytes()));
            retained.insert(register, made.1);
        }
        let range_proof = match self.body().parameters.range_proofs {
            RangeProofs::Each => {
                let hides = retained.iter().map(|(register, kept)| (slot, *register, kept, wh));
                self.range_proof(at, &hides.collect::<Vec<_>>())
            }
            RangeProofs::Off | RangeProofs::Audit => None,
        };
        let body = Contribution { slot, registers, range_proof };
        Played { message: self.by_meter(at, &body), body, retained }
    }

    /// A member's range proof about all that it hides; none if it does not.
    pub(crate) fn range_proof(&mut self, at: usize, hides: &[Hides<'_, S>]) -> Option<ByteBuf> {
        let place = self.roster.place();
        let statement = |one: &Hides<'_, S>| place.contribution(&meter_id(at), one.0, one.1);
        let statements: Vec<_> = hides.iter().map(statement).collect();
        let hidden = statements.iter().zip(hides).map(|(statement, (.., retained, wh))| Hidden {
            context: Context(statement),
            retained: *retained,
            plaintext: *wh,
        });
        let (hidden, max): (Vec<_>, _) = (hidden.collect(), self.body().parameters.max_wh_per_slot);
        let proof = self.roster.scheme().prove_range(&hidden, max, &mut self.rng)?;
        Some(ByteBuf::from(proof.to_bytes()))
    }

    /// Contributions to a slot of the members at these positions; meter i
    /// contributes 2^(i mod 8).
    pub(crate) fn play_all(
        &mut self,
        slot: Slot,
        members: impl IntoIterator<Item = usize>,
    ) -> Vec<Played<S>> {
        members.into_iter().map(|at| self.play(at, slot, 1 << (at % 8))).collect()
    }

    /// Lets a slot end to which the test has everybody contribute.
    pub(crate) fn ask_about(&mut self, position: u64) -> Vec<Played<S>> {
        let slot = self.end_slot(position);
        let played = self.play_all(slot, 0..self.meters.len());
        for one in &played {
            self.send(&one.message);
        }
        played
    }

    /// The same, and has its sum opened.
    pub(crate) fn open_slot(&mut self, position: u64) -> Vec<Played<S>> {
        let played = self.ask_about(position);
        for at in 0..self.meters.len() {
            let share = self.played_share(at, &self.last_request());
            let share = self.by_meter(at, &share);
            self.send(&share);
        }
        played
    }

    /// A claim to the sum of what was retained, which may be no honest one.
    pub(crate) fn claim(
        &mut self,
        at: usize,
        (portion, listing): (Portion, Digest),
        played: &[&Played<S>],
    ) -> Claim {
        let mut registers = BTreeMap::new();
        for register in self.body().parameters.registers.clone() {
            let retained: Vec<_> = played.iter().map(|one| &one.retained[&register]).collect();
            let statement = self.roster.place().claim(&meter_id(at), portion, &listing, register);
            let scheme = self.roster.scheme();
            let sum = scheme.claim(&retained, Context(&statement), &mut self.rng).unwrap();
            registers.insert(register, ByteBuf::from(sum.to_bytes()));
        }
        Claim { portion, listing, registers }
    }

    /// A final listing as the collector signs it, endorsed by the members at
    /// these positions.
    pub(crate) fn final_listing(
        &self,
        listing: &Listing,
        holders: impl IntoIterator<Item = usize>,
    ) -> Vec<u8> {
        let digest = listing::digest(listing);
        let endorsement = Endorsement { portion: listing.portion, listing: digest };
        let endorsed = |at| ByteBuf::from(self.by_meter(at, &endorsement));
        let endorsements = holders.into_iter().map(endorsed).collect();
        let listing = self.by_collector(listing).into();
        self.by_collector(&FinalListing { listing, endorsements })
    }

    /// What a final listing of the collector says.
    fn listed(&self, request: Target) -> Option<Listed> {
        let Target::Bill(portion) = request else { return None };
        let finals: Vec<FinalListing> = self.finals();
        let listings = finals.iter().map(|body| listing::open_final(&self.roster, body).unwrap().0);
        let listing = listings.into_iter().find(|listing| listing.portion == portion).unwrap();
        Some(Listed::read(&self.roster, &listing, BTreeMap::new()).unwrap())
    }

    /// The digest of the listing of a portion that the collector published last.
    pub(crate) fn listing_of(&self, portion: Portion) -> Digest {
        let listings: Vec<Listing> = self.heard("/c/listing");
        let listing = listings.iter().rfind(|listing| listing.portion == portion).unwrap();
        listing::digest(listing)
    }

    /// The final listings that the collector published.
    pub(crate) fn finals(&self) -> Vec<FinalListing> {
        self.heard("/c/listing")
    }

    /// The latest request that the collector published.
    pub(crate) fn last_request(&self) -> Request {
        self.heard("/c/request").pop().unwrap()
    }

    /// Hands the collector a message; the events that come of it.
    pub(crate) fn send(&mut self, message: &[u8]) -> Vec<Event> {
        let before = self.collector_events().len();
        self.collector.handle_message(message, self.now);
        self.deliver();
        self.collector_events().split_off(before)
    }

    pub(crate) fn collector_events(&self) -> Vec<Event> {
        events(&self.outputs)
    }

    /// The bodies that the collector published in this epoch under a topic.
    pub(crate) fn heard<M: Message>(&self, topic: &str) -> Vec<M> {
        let all = published(&self.outputs, topic);
        let all = all.iter().map(|message| Envelope::parse(message).unwrap());
        let all = all.filter(|envelope| envelope.header().kind == M::KIND);
        let here = all.filter(|envelope| envelope.header().epoch == self.roster.epoch());
        here.map(|envelope| self.roster.open_from_collector(&envelope).unwrap()).collect()
    }

    pub(crate) fn results(&self) -> Vec<Outcome> {
        self.heard("/c/result")
    }

    pub(crate) fn statuses(&self) -> Vec<Status> {
        self.heard("/c/status")
    }

    /// The receipts for a meter so far.
    pub(crate) fn receipts(&self, at: usize) -> Vec<Receipt> {
        self.heard(&format!("/c/receipt/{}", meter_id(at)))
    }

    pub(crate) fn sums(&self) -> Vec<u64> {
        self.results().iter().map(|result| result.sum_wh).collect()
    }

    /// The body of a share.
    pub(crate) fn share(&self, message: &[u8]) -> Share {
        self.roster.open_from_member(&Envelope::parse(message).unwrap()).unwrap().1
    }
}

/// A street whose first slot has ended, with the contributions of all members.
pub(crate) fn ended<S: Kit>() -> (Region<S>, Slot, Vec<Vec<u8>>) {
    let mut street = Region::<S>::open(MEMBERS);
    let slot = street.end_slot(0);
    let mut listed = vec![street.contribution(HOLDER, slot, 1)];
    listed.extend(messages(&street.play_all(slot, 1..MEMBERS)));
    (street, slot, listed)
}

/// The portion of a window where there is one tariff step.
pub(crate) fn portion(window: u64) -> Portion {
    Portion { window: Window(window), step: StepId(0) }
}

/// The members at these positions.
pub(crate) fn set(members: impl IntoIterator<Item = usize>) -> MemberSet {
    members.into_iter().map(|at| Participant(u16::try_from(at).unwrap())).collect()
}

pub(crate) fn messages<S: Scheme>(played: &[Played<S>]) -> Vec<Vec<u8>> {
    played.iter().map(|one| one.message.clone()).collect()
}

/// That a contribution of the meter at a position was on time.
pub(crate) fn receipt(at: usize, slot: Slot, contribution: &[u8]) -> Receipt {
    let contribution = Digest::of("contribution", contribution);
    Receipt { meter: meter_id(at), slot, on_time: true, contribution }
}
