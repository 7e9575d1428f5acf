//! What it takes to deal a group's secret through messages: bytes and
//! processor time of every party, beside one scalar multiplication.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use aggregation::{ElGamal, Scheme as _, Table};
use anyhow::{Context as _, ensure};
use benches::cpu_time::now as cpu_now;
use benches::region::rng;
use clap::Parser;
use curve25519_dalek::{RistrettoPoint, Scalar};
use protocol::collector::{self, Collector};
use protocol::envelope::Envelope;
use protocol::id::{MeterId, RegionId};
use protocol::identity::Identity;
use protocol::keygen::Registrar;
use protocol::message::{Invited, Kind};
use protocol::meter::{self, Meter};
use protocol::output::{Event, Output, Publication};
use protocol::parameters::{Floors, Parameters, Threshold, ThresholdRule};
use protocol::reading::Register;
use protocol::record::Records;
use protocol::slot::Timestamp;

const NOW: Timestamp = Timestamp(1_750_000_000_000);

/// Measures the ceremony of regions of these sizes.
#[derive(Parser)]
struct Args {
    /// How many members.
    #[arg(default_values_t = [10, 50, 200])]
    members: Vec<usize>,
}

/// A party's messages and its processor time.
#[derive(Default)]
struct Cost {
    bytes: BTreeMap<Kind, usize>,
    time: Duration,
}

impl Cost {
    fn timed<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = cpu_now();
        let done = work();
        self.time += cpu_now().saturating_sub(start);
        done
    }

    fn sent(&mut self, message: &[u8]) -> anyhow::Result<()> {
        let kind = Envelope::parse(message)?.header().kind;
        *self.bytes.entry(kind).or_default() += message.len();
        Ok(())
    }

    fn all(&self) -> usize {
        self.bytes.values().sum()
    }
}

fn region() -> anyhow::Result<RegionId> {
    Ok("north-01".parse()?)
}

fn meter_id(at: usize) -> anyhow::Result<MeterId> {
    Ok(format!("meter{at:03}").parse()?)
}

fn identity(at: usize) -> Identity {
    Identity::generate(&mut rng(at as u64))
}

fn registrar() -> Registrar {
    Registrar::new(Identity::from_seed(&[0xee; 32]))
}

fn parameters() -> Parameters {
    let number = |number: u32| NonZeroU32::MIN.saturating_add(number - 1);
    Parameters {
        scheme: ElGamal::NAME.to_owned(),
        threshold: Threshold::All,
        min_contributors: 5,
        max_corrupted: 0,
        min_slots: 10,
        slot_seconds: number(900),
        window_slots: number(96),
        grace_s: 60,
        deadline_s: 7200,
        max_wh_per_slot: 65_535,
        registers: vec![Register::Import],
    }
}

fn floors() -> Floors {
    Floors {
        scheme: ElGamal::NAME.to_owned(),
        threshold: ThresholdRule::TwoThirds,
        min_contributors: 5,
        max_corrupted: 0,
        min_slots: 10,
        slot_seconds: 900,
    }
}

fn new_meter(at: usize) -> anyhow::Result<Meter<ElGamal>> {
    let (region, meter, registrar) = (region()?, meter_id(at)?, registrar().key());
    let terms = meter::Terms { region, meter, registrar, floors: floors() };
    let rng = rng(1000 + at as u64);
    Ok(Meter::new(terms, identity(at), &Records::default(), rng, NOW)?)
}

fn new_collector(members: usize) -> anyhow::Result<Collector<ElGamal>> {
    let invited = |at| Ok(Invited { meter: meter_id(at)?, key: identity(at).key() });
    let terms = collector::Terms {
        region: region()?,
        parameters: parameters(),
        threshold: ThresholdRule::TwoThirds,
        max_corrupted: None,
        epoch_windows: 30,
        members: (0..members).map(invited).collect::<anyhow::Result<_>>()?,
        patience: Duration::from_mins(10),
    };
    let keys = (Identity::from_seed(&[0xc0; 32]), registrar());
    let tools = (Arc::new(Table::new(16)), rng(7));
    Ok(Collector::new(terms, keys, &Records::default(), tools, NOW)?)
}

fn published(outputs: Vec<Output>) -> impl Iterator<Item = Vec<u8>> {
    outputs.into_iter().filter_map(|output| match output {
        Output::Publish(Publication { topic, payload, .. }) => {
            (!protocol::topic::is_json(&topic)).then_some(payload)
        }
        _ => None,
    })
}

/// A whole ceremony: what the collector spent, and each member.
fn ceremony(members: usize) -> anyhow::Result<(Cost, Vec<Cost>)> {
    let mut collector = new_collector(members)?;
    let mut meters = (0..members).map(new_meter).collect::<anyhow::Result<Vec<_>>>()?;
    let mut relay = Cost::default();
    let mut costs: Vec<_> = meters.iter().map(|_| Cost::default()).collect();
    let mut joined = 0;
    while joined < members {
        let outputs = relay.timed(|| std::iter::from_fn(|| collector.poll_output()).collect());
        let said: Vec<_> = published(outputs).collect();
        ensure!(!said.is_empty(), "the ceremony stands still");
        said.iter().try_for_each(|message| relay.sent(message))?;
        for (meter, cost) in meters.iter_mut().zip(&mut costs) {
            let outputs: Vec<_> = cost.timed(|| {
                said.iter().for_each(|message| meter.handle_message(message, NOW));
                std::iter::from_fn(|| meter.poll_output()).collect()
            });
            joined += outputs.iter().filter(|output| is_joined(output)).count();
            for message in published(outputs) {
                cost.sent(&message)?;
                relay.timed(|| collector.handle_message(&message, NOW));
            }
        }
    }
    Ok((relay, costs))
}

fn is_joined(output: &Output) -> bool {
    matches!(output, Output::Event(Event::Joined { .. }))
}

/// One multiplication of a point that nothing is known of.
fn multiplication() -> Duration {
    let mut rng = rng(3);
    let scalar = Scalar::random(&mut rng);
    let mut point = RistrettoPoint::random(&mut rng);
    let (times, start) = (2000, cpu_now());
    for _ in 0..times {
        point = black_box(point * black_box(scalar));
    }
    cpu_now().saturating_sub(start) / times
}

fn main() -> anyhow::Result<()> {
    let unit = multiplication();
    println!("one scalar multiplication: {:.1} µs", unit.as_secs_f64() * 1e6);
    for members in Args::parse().members {
        let (relay, costs) = ceremony(members)?;
        let times = costs.iter().map(|cost| cost.time);
        let mean = times.clone().sum::<Duration>() / u32::try_from(members)?;
        let most = times.max().context("no member")?;
        let sent = costs.iter().map(Cost::all).max().context("no member")?;
        let dealings = relay.bytes.get(&Kind::Dealings).copied().unwrap_or_default();
        let show = |name, time: Duration| {
            let ratio = time.as_secs_f64() / unit.as_secs_f64();
            println!("  {name}: {:.1} ms, {ratio:.0} multiplications", time.as_secs_f64() * 1e3);
        };
        println!("{members} members, threshold {}", (2 * members).div_ceil(3));
        println!("  sent by a member: {sent} B; all dealings: {dealings} B");
        println!("  sent by the collector to each: {} B", relay.all());
        show("a member, on average", mean);
        show("a member at most", most);
        show("the collector", relay.time);
    }
    Ok(())
}
