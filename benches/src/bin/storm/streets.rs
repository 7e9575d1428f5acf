//! Regions whose epoch is open, on a collector's disk, and a contribution of
//! every meter in memory: no ceremony ran, and no round will.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aggregation::{Canonical as _, Context, DeviceSecret, ElGamal, Scheme as _};
use anyhow::Context as _;
use benches::keys;
use benches::region::{EPOCH, identity, meter_id, parameters, reading, rng};
use host::clock;
use host::keystore::Keystore;
use host::store::{Readers, Sqlite, Store as _};
use protocol::envelope::seal;
use protocol::id::{Digest, MeterId, RegionId, Sender};
use protocol::identity::Identity;
use protocol::keygen::Registrar;
use protocol::message::{Contribution, Member, Roster};
use protocol::parameters::ThresholdRule;
use protocol::reading::Register;
use protocol::record::{Change, Key};
use protocol::roster::AcceptedRoster;
use protocol::slot::{Slot, Timestamp, slot_at};
use serde_bytes::ByteBuf;

/// Windows of the epoch.
const WINDOWS: u64 = 300;
/// A slot of the regions in seconds.
const SLOT_S: u32 = 60;
/// How long after the preparation the slot ends that everybody contributes to,
/// at least: until then all are connected.
const AHEAD: Duration = Duration::from_secs(100);
/// How long the slot waits for the member that never comes, in seconds: longer
/// than a storm.
const GRACE_S: u32 = 3_600;
/// The repository's own settings of the broker, but for the number of clients.
const BROKER: &str = include_str!("../../../../broker.toml");
const CLIENTS: (&str, &str) = ("max_connections = 4096", "max_connections = 16384");

/// A region on the collector's disk.
pub(crate) struct Street {
    pub(crate) region: RegionId,
    pub(crate) roster: AcceptedRoster<ElGamal>,
    /// What each meter has in its outbox.
    pub(crate) outboxes: Vec<Outbox>,
}

/// A meter's contribution to the first slot of the epoch.
pub(crate) struct Outbox {
    pub(crate) meter: MeterId,
    pub(crate) contribution: Vec<u8>,
}

/// A collector's folder, and what its meters have to say to it.
pub(crate) struct Streets {
    pub(crate) config: PathBuf,
    /// When the slot ends that everybody contributes to.
    pub(crate) ends: Timestamp,
    pub(crate) all: Vec<Street>,
}

/// The keys of collector and registrar, and where they are.
struct Office {
    first_slot: Slot,
    keystore: Keystore,
    collector: Identity,
    registrar: Registrar,
}

/// Prepares so many regions of so many meters in a folder, for a broker on
/// `port`. Each has a member more, which never contributes, so that no round
/// begins.
pub(crate) fn prepare(
    dir: &Path,
    port: u16,
    (regions, meters): (usize, usize),
) -> anyhow::Result<Streets> {
    let state = dir.join("collector");
    let (keystore, mut generator) = (Keystore::open(&state)?, clock::generator()?);
    let collector = keystore.identity("identity.key", &mut generator)?;
    let registrar = Registrar::new(keystore.identity("registrar.key", &mut generator)?);
    let slot_seconds = NonZeroU32::new(SLOT_S).context("slots of 0 s")?;
    let first_slot = slot_at(slot_seconds, clock::now() + AHEAD);
    let office = Office { first_slot, keystore, collector, registrar };
    let street = |at| office.open(&format!("r-{at:02}").parse()?, meters);
    let all = (0..regions).map(street).collect::<anyhow::Result<Vec<_>>>()?;
    let broker = dir.join("broker.toml");
    fs::write(&broker, BROKER.replace(CLIENTS.0, CLIENTS.1)).context("broker.toml")?;
    let config = dir.join("collector.toml");
    fs::write(&config, text((&state, &broker, port), &all, meters + 1))?;
    let ends = all.first().context("no region")?.roster.grid().end(first_slot);
    Ok(Streets { config, ends, all })
}

impl Office {
    fn open(&self, region: &RegionId, meters: usize) -> anyhow::Result<Street> {
        let roster = self.roster(region, meters + 1);
        let signed = self.registrar.sign(region, EPOCH, &roster);
        let roster = AcceptedRoster::open(&signed, region, &self.registrar.key())?;
        let mut store =
            Sqlite::open(&self.keystore, &format!("region-{region}.db"), Readers::OfTheFile)?;
        store.commit(&[Change::Write(Key::roster(EPOCH), signed.into())])?;
        let outboxes = (0..meters).map(|at| outbox(&roster, at)).collect();
        Ok(Street { region: region.clone(), roster, outboxes })
    }

    fn roster(&self, region: &RegionId, members: usize) -> Roster {
        let mut parameters = parameters(ThresholdRule::All, members);
        parameters.grace_s = GRACE_S;
        parameters.slot_seconds = NonZeroU32::new(SLOT_S).unwrap_or(NonZeroU32::MIN);
        let keys = keys::parts(region, EPOCH, members);
        let member = |(at, part)| Member {
            meter: meter_id(at),
            key: identity(at).key(),
            part: ByteBuf::from(part),
        };
        let first_slot = self.first_slot;
        let slots = WINDOWS * u64::from(parameters.window_slots.get());
        Roster {
            previous: Digest::NONE,
            attempt: 0,
            invitation: Digest::NONE,
            dealings: Digest::NONE,
            collector: self.collector.key(),
            first_slot,
            end_slot: first_slot.plus(slots),
            parameters,
            group_key: ByteBuf::from(keys.group_key),
            members: keys.parts.into_iter().enumerate().map(member).collect(),
        }
    }
}

fn outbox(roster: &AcceptedRoster<ElGamal>, at: usize) -> Outbox {
    let (meter, slot) = (meter_id(at), roster.body().first_slot);
    let statement = roster.place().contribution(&meter, slot, Register::Import);
    let (device, mut rng) = (DeviceSecret::new([9; 32]), rng(at as u64));
    let scheme = roster.scheme();
    let (hidden, _) = scheme.contribute(&device, reading(at, slot), Context(&statement), &mut rng);
    let registers = BTreeMap::from([(Register::Import, ByteBuf::from(hidden.to_bytes()))]);
    let body = Contribution { slot, registers, range_proof: None };
    let place = (roster.region(), EPOCH, Sender::Meter(meter.clone()));
    let contribution = seal(&identity(at), place, roster.digest(), &body);
    Outbox { meter, contribution }
}

fn text((state, broker, port): (&Path, &Path, u16), streets: &[Street], members: usize) -> String {
    let mut text = format!(
        "state_dir = \"{}\"\n[broker]\nconfig = \"{}\"\nport = {port}\n",
        state.display(),
        broker.display()
    );
    let members: Vec<_> = (0..members)
        .map(|at| format!("{{ id = \"{}\", key = \"{}\" }}", meter_id(at), identity(at).key()))
        .collect();
    for street in streets {
        let parameters = street.roster.parameters();
        // Writing to memory cannot fail.
        write!(
            text,
            "[[region]]\nname = \"{}\"\nslot_seconds = {}\nwindow_slots = {}\nepoch_windows = \
             {WINDOWS}\ngrace_s = {}\ndeadline_s = {}\nmin_contributors = {}\nmin_slots = {}\n\
             threshold = \"all\"\nrange_proofs = \"off\"\nmembers = [{}]\n",
            street.region,
            parameters.slot_seconds,
            parameters.window_slots,
            parameters.grace_s,
            parameters.deadline_s,
            parameters.min_contributors,
            parameters.min_slots,
            members.join(", ")
        )
        .ok();
    }
    text
}
