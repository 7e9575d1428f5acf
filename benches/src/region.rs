//! A region whose epoch is open, with every key at hand.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use aggregation::elgamal::{Aggregate, Secret};
use aggregation::{Canonical as _, Context, DeviceSecret, ElGamal, Participant, Rng, Scheme as _};
use protocol::envelope::{Envelope, Message, seal};
use protocol::id::{Digest, Epoch, MeterId, RegionId, Sender};
use protocol::identity::Identity;
use protocol::keygen::{Candidate, Ceremony, Registrar};
use protocol::message::{Contribution, Invitation, Invited};
use protocol::parameters::{Parameters, Threshold};
use protocol::reading::Register;
use protocol::roster::AcceptedRoster;
use protocol::slot::Slot;
use protocol::statement::Place;
use rand::{Rng as _, SeedableRng as _};
use serde_bytes::ByteBuf;

const EPOCH: Epoch = Epoch(1);
const FIRST_SLOT: Slot = Slot(1_944_445);
const WINDOW_SLOTS: u32 = 96;

/// Most that one contribution holds, in Wh.
pub const MAX_WH: u32 = 65_535;

/// The roster of a region, and the keys of its members.
pub struct Region {
    /// Members, keys and parameters.
    pub roster: AcceptedRoster<ElGamal>,
    identities: Vec<Identity>,
    device: DeviceSecret,
    rng: Rng,
}

fn region_id() -> RegionId {
    "north-01".parse().unwrap()
}

/// A name of 8 bytes.
fn meter_id(at: usize) -> MeterId {
    format!("meter{at:03}").parse().unwrap()
}

/// What a member's secret was drawn from.
fn meter_rng(at: usize) -> Rng {
    rng(1000 + at as u64)
}

/// A generator that always draws the same.
pub fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}

fn parameters() -> Parameters {
    Parameters {
        scheme: ElGamal::NAME.to_owned(),
        threshold: Threshold::All,
        min_contributors: 10,
        max_corrupted: 0,
        min_slots: 10,
        slot_seconds: NonZeroU32::new(900).unwrap(),
        window_slots: NonZeroU32::new(WINDOW_SLOTS).unwrap(),
        grace_s: 60,
        deadline_s: 7200,
        max_wh_per_slot: MAX_WH,
        registers: vec![Register::Import],
    }
}

impl Region {
    /// A region of this many members, one register, after an honest ceremony.
    pub fn of(members: usize) -> Self {
        let identities: Vec<_> =
            (0..members).map(|at| Identity::generate(&mut rng(at as u64))).collect();
        let registrar = Registrar::new(Identity::from_seed(&[0xee; 32]));
        let invited = identities.iter().enumerate();
        let invitation = Invitation {
            previous: Digest::NONE,
            attempt: 0,
            collector: Identity::from_seed(&[0xc0; 32]).key(),
            parameters: parameters(),
            members: invited
                .map(|(at, identity)| Invited { meter: meter_id(at), key: identity.key() })
                .collect(),
        };
        let mut ceremony =
            Ceremony::<ElGamal>::open(&registrar, &region_id(), EPOCH, invitation.clone());
        for (at, identity) in identities.iter().enumerate() {
            let (meter, mut rng) = (meter_id(at), meter_rng(at));
            let candidate =
                Candidate::<ElGamal>::answer(&region_id(), EPOCH, &invitation, &meter, &mut rng);
            let message = candidate.unwrap().part_message(identity);
            ceremony.take(&Envelope::parse(&message).unwrap(), &message).unwrap();
        }
        let end = FIRST_SLOT.plus(WINDOW_SLOTS.into());
        let roster = ceremony.roster(FIRST_SLOT, end).unwrap().unwrap();
        let signed = registrar.sign(&region_id(), EPOCH, &roster);
        let roster = AcceptedRoster::open(&signed, &region_id(), &registrar.key()).unwrap();
        Self { roster, identities, device: DeviceSecret::new([9; 32]), rng: rng(5) }
    }

    /// The slot that everything is about.
    pub fn slot(&self) -> Slot {
        FIRST_SLOT
    }

    /// A member's message of one reading: encrypted, proved, signed, encoded.
    pub fn contribution(&mut self, at: usize, wh: u64) -> Vec<u8> {
        let meter = meter_id(at);
        let statement = self.roster.place().contribution(&meter, FIRST_SLOT, Register::Import);
        let scheme = self.roster.scheme();
        let (hidden, _) = scheme.contribute(&self.device, wh, Context(&statement), &mut self.rng);
        let hidden = ByteBuf::from(hidden.to_bytes());
        let registers = BTreeMap::from([(Register::Import, hidden)]);
        self.sealed(at, meter, &Contribution { slot: FIRST_SLOT, registers })
    }

    fn sealed<M: Message>(&self, at: usize, meter: MeterId, body: &M) -> Vec<u8> {
        let place = (self.roster.region(), self.roster.epoch(), Sender::Meter(meter));
        seal(&self.identities[at], place, self.roster.digest(), body)
    }

    /// One reading of every member.
    pub fn contributions(&mut self) -> Vec<Vec<u8>> {
        let members = 0..self.identities.len();
        members.map(|at| self.contribution(at, 137 * at as u64)).collect()
    }

    /// The secret of a member's key part, drawn again.
    pub fn secret(&self, at: usize) -> Secret {
        let binding = self.roster.body().invitation;
        let place = Place { binding, ..self.roster.place().clone() };
        let statement = place.key_part(&meter_id(at));
        ElGamal::key_part(Context(&statement), &mut meter_rng(at)).0
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
    pub fn holders(&self) -> impl Iterator<Item = (Participant, Secret)> {
        let of = self.roster.participants().map(|(of, _)| of);
        of.zip((0..).map(|at| self.secret(at)))
    }
}

/// Bytes of nothing in particular.
pub fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng(7).fill_bytes(&mut bytes);
    bytes
}
