//! A region whose epoch is open, with every key at hand.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use aggregation::elgamal::{Aggregate, Retained, Secret};
use aggregation::{
    Canonical as _, Context, DeviceSecret, ElGamal, Participant, Rng, Scheme as _, Stored as _,
};
use protocol::envelope::{Message, seal};
use protocol::id::{Digest, Epoch, MeterId, RegionId, Sender};
use protocol::identity::Identity;
use protocol::keygen::Registrar;
use protocol::listing::{self, Listed};
use protocol::members::MemberSet;
use protocol::message::{
    Claim, Contribution, Endorsement, FinalListing, Invited, Listing, Member, Request, Roster,
    Share,
};
use protocol::parameters::{Parameters, RangeProofs, Threshold, ThresholdRule};
use protocol::portion::Portion;
use protocol::reading::Register;
use protocol::release;
use protocol::roster::AcceptedRoster;
use protocol::slot::{Slot, Timestamp, Window};
use protocol::tariff::{StepId, Tariff};
use rand::{Rng as _, SeedableRng as _};
use serde_bytes::ByteBuf;

use crate::keys::{self, Keys};

/// The epoch of everything.
pub const EPOCH: Epoch = Epoch(1);

/// The window that everything is about; the first slot is its first.
pub const WINDOW: Portion = Portion { window: Window(0), step: StepId(0) };

/// Slots of a window: a day.
pub const WINDOW_SLOTS: u32 = 96;

/// Most that one contribution holds, in Wh.
pub const MAX_WH: u32 = 65_535;

const FIRST_SLOT: Slot = Slot(1_944_445);

/// The roster of a region, and the keys of its members.
pub struct Region {
    /// Members, keys and parameters.
    pub roster: AcceptedRoster<ElGamal>,
    /// The roster as the registrar signed it.
    pub signed: Vec<u8>,
    identities: Vec<Identity>,
    secrets: Vec<Secret>,
    device: DeviceSecret,
    rng: Rng,
}

/// The name of every region.
pub fn region_id() -> RegionId {
    "north-01".parse().unwrap()
}

/// A member's name of 8 bytes.
pub fn meter_id(at: usize) -> MeterId {
    format!("meter{at:03}").parse().unwrap()
}

/// The identity that a member always has.
pub fn identity(at: usize) -> Identity {
    Identity::generate(&mut rng(at as u64))
}

/// The collector's identity.
pub fn collector() -> Identity {
    Identity::from_seed(&[0xc0; 32])
}

/// The registrar.
pub fn registrar() -> Registrar {
    Registrar::new(Identity::from_seed(&[0xee; 32]))
}

/// So many members, as a registrar invites them.
pub fn invited(members: usize) -> Vec<Invited> {
    (0..members).map(|at| Invited { meter: meter_id(at), key: identity(at).key() }).collect()
}

/// A generator that always draws the same.
pub fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}

/// What holds under a rule for so many members.
pub fn parameters(rule: ThresholdRule, members: usize) -> Parameters {
    let min_contributors = if members > 10 { 10 } else { 5 };
    Parameters {
        scheme: ElGamal::NAME.to_owned(),
        threshold: rule.threshold(members),
        min_contributors,
        max_corrupted: rule.max_corrupted(members, min_contributors),
        min_slots: 10,
        slot_seconds: NonZeroU32::new(900).unwrap(),
        window_slots: NonZeroU32::new(WINDOW_SLOTS).unwrap(),
        grace_s: 60,
        deadline_s: 7200,
        max_wh_per_slot: MAX_WH,
        registers: vec![Register::Import],
        range_proofs: RangeProofs::Off,
        tariff: Tariff::single(),
    }
}

/// What a member contributes to a slot in Wh: a day's sum is less than 2^20.
pub fn reading(at: usize, slot: Slot) -> u64 {
    (137 * at as u64 + 31 * slot.0) % 5000
}

impl Region {
    /// A region of this many members that all have to help.
    pub fn of(members: usize) -> Self {
        let parameters = parameters(ThresholdRule::All, members);
        let keys = keys::parts(&region_id(), EPOCH, members);
        Self::with(keys, parameters)
    }

    /// A region of this many members of which two thirds have to help.
    pub fn dealt(members: usize) -> Self {
        let parameters = parameters(ThresholdRule::TwoThirds, members);
        let Threshold::Of(threshold) = parameters.threshold else { panic!("{parameters:?}") };
        Self::with(keys::dealt(threshold, members), parameters)
    }

    fn with(keys: Keys, parameters: Parameters) -> Self {
        let Keys { secrets, group_key, parts } = keys;
        let members = (0..).zip(parts).map(|(at, part)| Member {
            meter: meter_id(at),
            key: identity(at).key(),
            part: ByteBuf::from(part),
        });
        let body = Roster {
            previous: Digest::NONE,
            attempt: 0,
            invitation: Digest::NONE,
            dealings: Digest::NONE,
            collector: collector().key(),
            first_slot: FIRST_SLOT,
            end_slot: FIRST_SLOT.plus(WINDOW_SLOTS.into()),
            parameters,
            group_key: ByteBuf::from(group_key),
            members: members.collect(),
        };
        let registrar = registrar();
        let signed = registrar.sign(&region_id(), EPOCH, &body);
        let roster = AcceptedRoster::open(&signed, &region_id(), &registrar.key()).unwrap();
        let identities = (0..secrets.len()).map(identity).collect();
        let device = DeviceSecret::new([9; 32]);
        Self { roster, signed, identities, secrets, device, rng: rng(5) }
    }

    /// The first slot.
    pub fn slot(&self) -> Slot {
        FIRST_SLOT
    }

    /// All slots of the window.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..u64::from(WINDOW_SLOTS)).map(|at| FIRST_SLOT.plus(at))
    }

    /// A member's message of one reading in the first slot: encrypted, proved,
    /// signed, encoded.
    pub fn contribution(&mut self, at: usize, wh: u64) -> Vec<u8> {
        self.hidden(at, FIRST_SLOT, wh).0
    }

    /// A member's message of one reading, and what it takes to claim it.
    pub fn hidden(&mut self, at: usize, slot: Slot, wh: u64) -> (Vec<u8>, Retained) {
        let statement = self.roster.place().contribution(&meter_id(at), slot, Register::Import);
        let Self { roster, device, rng, .. } = self;
        let (hidden, retained) = roster.scheme().contribute(device, wh, Context(&statement), rng);
        let body = Contribution { slot, registers: registers(&hidden), range_proof: None };
        (self.by_member(at, &body), retained)
    }

    /// A member's claim to the sum of the whole window, under a listing.
    pub fn claim(&mut self, at: usize, listing: Digest, retained: &[&Retained]) -> Vec<u8> {
        let place = self.roster.place();
        let statement = place.claim(&meter_id(at), WINDOW, &listing, Register::Import);
        let context = Context(&statement);
        let sum = self.roster.scheme().claim(retained, context, &mut self.rng).unwrap();
        self.by_member(at, &Claim { portion: WINDOW, listing, registers: registers(&sum) })
    }

    /// The listing of the window: every member in every slot.
    pub fn listing(&self) -> Listing {
        let all: MemberSet = (0..self.identities.len()).map(participant).collect();
        let (previous, void) = (Digest::NONE, BTreeMap::new());
        Listing { portion: WINDOW, previous, sets: vec![all; WINDOW_SLOTS as usize], void }
    }

    /// What that listing says.
    pub fn listed(&self) -> Listed {
        Listed::read(&self.roster, &self.listing(), BTreeMap::new()).unwrap()
    }

    /// A member's agreement with that listing.
    pub fn endorsement(&self, at: usize) -> Vec<u8> {
        let listing = listing::digest(&self.listing());
        self.by_member(at, &Endorsement { portion: WINDOW, listing })
    }

    /// That listing, final.
    pub fn final_listing(&self) -> Vec<u8> {
        let holders = 0..usize::from(self.roster.scheme().threshold());
        let endorsements = holders.map(|at| ByteBuf::from(self.endorsement(at))).collect();
        let listing = self.by_collector(&self.listing()).into();
        self.by_collector(&FinalListing { listing, endorsements })
    }

    /// When the window is listed although its sums are not opened.
    pub fn listed_at(&self) -> Timestamp {
        let last = self.roster.grid().last_slot(WINDOW.window);
        self.roster.slot_closes(last) + self.roster.parameters().deadline() / 4
    }

    /// What a member signs.
    pub fn by_member<M: Message>(&self, at: usize, body: &M) -> Vec<u8> {
        self.signed_by(&self.identities[at], Sender::Meter(meter_id(at)), body)
    }

    /// What the collector signs.
    pub fn by_collector<M: Message>(&self, body: &M) -> Vec<u8> {
        self.signed_by(&collector(), Sender::Collector, body)
    }

    fn signed_by<M: Message>(&self, identity: &Identity, sender: Sender, body: &M) -> Vec<u8> {
        let place = (self.roster.region(), self.roster.epoch(), sender);
        seal(identity, place, self.roster.digest(), body)
    }

    /// One reading of every member in the first slot.
    pub fn contributions(&mut self) -> Vec<Vec<u8>> {
        let members = 0..self.identities.len();
        members.map(|at| self.contribution(at, 137 * at as u64)).collect()
    }

    /// A member's share of what a request asks for.
    pub fn share(&mut self, at: usize, request: &Request, sums: &[Aggregate]) -> Vec<u8> {
        let (digest, of) = (release::digest(request), participant(at));
        let statement = self.roster.place().share(&meter_id(at), &digest);
        let scheme = self.roster.scheme();
        let asked = scheme.request(sums);
        let (secret, context) = (&self.secrets[at], Context(&statement));
        let response = scheme.respond(secret, of, &asked, context, &mut self.rng).unwrap();
        let response = ByteBuf::from(response.to_bytes());
        self.by_member(at, &Share { request: digest, response })
    }

    /// A member's secret.
    pub fn secret(&self, at: usize) -> &Secret {
        &self.secrets[at]
    }

    /// Sums of one reading each, of these values.
    pub fn sums(&mut self, values: impl IntoIterator<Item = u64>) -> Vec<Aggregate> {
        let Self { roster, device, rng, .. } = self;
        let one = |wh| {
            let (hidden, _) = roster.scheme().contribute(device, wh, Context(b"a sum"), rng);
            let mut sum = Aggregate::default();
            roster.scheme().fold(&mut sum, &hidden);
            sum
        };
        values.into_iter().map(one).collect()
    }

    /// All participants with their secrets.
    pub fn holders(&self) -> impl Iterator<Item = (Participant, &Secret)> {
        let of = self.roster.participants().map(|(of, _)| of);
        of.zip(&self.secrets)
    }

    /// A member's secret, as its disk holds it.
    pub fn stored_secret(&self, at: usize) -> Vec<u8> {
        self.secrets[at].to_stored().to_vec()
    }
}

fn participant(at: usize) -> Participant {
    Participant(u16::try_from(at).unwrap())
}

fn registers(hidden: &aggregation::elgamal::Contribution) -> BTreeMap<Register, ByteBuf> {
    BTreeMap::from([(Register::Import, ByteBuf::from(hidden.to_bytes()))])
}

/// Bytes of nothing in particular.
pub fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng(7).fill_bytes(&mut bytes);
    bytes
}
