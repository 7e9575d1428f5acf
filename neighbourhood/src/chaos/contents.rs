//! What single contributions hold, opened with every key share of the
//! neighbourhood. Nobody has all of them but who runs all parties: so energy
//! is weighed meter by meter, and in sums that were never opened.

use std::collections::BTreeMap;

use aggregation::{Context, ElGamal, Participant, Range, Scheme as _, Stored as _, Table};
use anyhow::{Context as _, anyhow};
use host::clock;
use meter_agent::Config;
use protocol::entry::Entry;
use protocol::envelope::Envelope;
use protocol::id::MeterId;
use protocol::message::Request;
use protocol::reading::Register;
use protocol::record::{Key, Part, Records, Sort};
use protocol::roster::AcceptedRoster;
use protocol::slot::Slot;

use crate::household::Household;

/// Entries of the decoder's table, as a power of two: a contribution holds less
/// than 2^16 Wh.
const DECODER_BITS: u32 = 12;
/// What the shares are made for.
const CONTEXT: Context<'static> = Context(b"neighbourhood: all contributions");

type Roster = AcceptedRoster<ElGamal>;
type Aggregate = <ElGamal as aggregation::Scheme>::Aggregate;
type Secret = <ElGamal as aggregation::Scheme>::Secret;

/// Whose contribution to which slot.
pub(super) type Place = (Slot, MeterId, Register);

/// What every contribution holds that a collector has asked about, in Wh.
pub(super) fn of(
    records: &Records,
    roster: &Roster,
    household: &Household,
) -> anyhow::Result<BTreeMap<Place, u64>> {
    let mut hidden = Vec::new();
    for (key, message) in records.within(Sort::SlotRound, roster.epoch()) {
        if key.part() == Some(Part::Request) {
            hidden.extend(of_request(roster, message)?);
        }
    }
    let (places, sums): (Vec<Place>, Vec<Aggregate>) = hidden.into_iter().unzip();
    let values = open(roster, &sums, &secrets(roster, household)?)?;
    Ok(places.into_iter().zip(values).collect())
}

fn of_request(roster: &Roster, message: &[u8]) -> anyhow::Result<Vec<(Place, Aggregate)>> {
    let request = roster.open_from_collector(&Envelope::parse(message)?)?;
    let Request::Region(slot, messages) = request else { return Ok(Vec::new()) };
    let mut hidden = Vec::new();
    for message in &messages {
        let entry = Entry::contribution(roster, &Envelope::parse(message)?, message)?;
        let alone = entry.alone(roster.scheme());
        let named =
            alone.into_iter().map(|(register, sum)| ((slot, entry.meter.clone(), register), sum));
        hidden.extend(named);
    }
    Ok(hidden)
}

/// The secrets of as many members as it takes.
fn secrets(roster: &Roster, household: &Household) -> anyhow::Result<Vec<(Participant, Secret)>> {
    let mut secrets = Vec::new();
    for agent in &household.agents {
        let Some((of, _)) = roster.member(&agent.meter) else { continue };
        let records = meter_agent::sent::records(&Config::load(&agent.config)?)?;
        let share = records.get(&Key::key_share(roster.epoch()));
        let share = share.with_context(|| format!("the key share of {}", agent.meter))?;
        secrets.push((of, Secret::from_stored(share)?));
    }
    secrets.truncate(roster.scheme().threshold().into());
    Ok(secrets)
}

fn open(
    roster: &Roster,
    sums: &[Aggregate],
    secrets: &[(Participant, Secret)],
) -> anyhow::Result<Vec<u64>> {
    let (scheme, mut rng) = (roster.scheme(), clock::generator()?);
    let asked = scheme.request(sums);
    let mut accepted = BTreeMap::new();
    for (of, secret) in secrets {
        let response = scheme.respond(secret, *of, &asked, CONTEXT, &mut rng)?;
        accepted.insert(*of, scheme.accept(*of, &asked, &response, CONTEXT)?);
    }
    let bound = roster.parameters().max_wh_per_slot.into();
    let ranged: Vec<_> = sums.iter().map(|sum| (*sum, Range { bound, forecast: 0 })).collect();
    let opened = scheme.combine(&Table::new(DECODER_BITS), &ranged, &accepted);
    opened.map_err(|error| anyhow!("contributions that do not open: {error}"))
}
