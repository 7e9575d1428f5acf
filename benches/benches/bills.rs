//! What the bills of a window cost the collector: it checks every claim,
//! accepts as many shares as the threshold says, combines and decodes.

use std::sync::Arc;

use aggregation::elgamal::Aggregate;
use aggregation::{ElGamal, Table};
use benches::cpu_time::CpuTime;
use benches::machines::{BEFORE, Outputs, collector, drain_collector, keep, published};
use benches::region::{Region, WINDOW, reading};
use benches::{Group, criterion, parts};
use criterion::{BatchSize, Criterion, SamplingMode, criterion_group, criterion_main};
use protocol::collector::Collector;
use protocol::entry::{self, Entry};
use protocol::envelope::Envelope;
use protocol::message::{Request, Target};
use protocol::record::Records;
use serde_bytes::ByteBuf;

/// Members of the region: as many holders, and as many bills.
const MEMBERS: usize = 200;

/// Holders that it takes, and factors of their shares.
const THRESHOLD: usize = 134;

/// Everything that reaches the collector from the end of a window on.
struct Played {
    region: Region,
    /// What the collector has kept of the window.
    disk: Records,
    claims: Vec<Vec<u8>>,
    shares: Vec<Vec<u8>>,
}

/// Lets a window pass in which everybody is counted in every slot.
fn play(decoder: &Arc<Table>) -> Played {
    let mut region = Region::dealt(MEMBERS);
    let mut disk = region.collector_disk();
    let mut machine = collector(MEMBERS, decoder, &disk, BEFORE);
    let mut retained: Vec<Vec<_>> = (0..MEMBERS).map(|_| Vec::new()).collect();
    for slot in region.slots() {
        let mut messages = Vec::new();
        for (at, retained) in retained.iter_mut().enumerate() {
            let (message, kept) = region.hidden(at, slot, reading(at, slot));
            messages.push(message);
            retained.push(kept);
        }
        machine.handle_messages(&messages, region.end(slot));
        keep(drain_collector(&mut machine), &mut disk);
    }
    let now = region.listed_at();
    machine.handle_timeout(now);
    for at in 0..THRESHOLD {
        machine.handle_message(&region.endorsement(at), now);
    }
    keep(drain_collector(&mut machine), &mut disk);
    let listing = region.listed().digest();
    let claims = retained.iter().enumerate().map(|(at, retained)| {
        let retained: Vec<_> = retained.iter().collect();
        region.claim(at, listing, &retained)
    });
    let claims: Vec<_> = claims.collect();
    let shares = shares(&mut region, &claims);
    Played { region, disk, claims, shares }
}

/// What as many holders as it takes answer to the request for all bills.
fn shares(region: &mut Region, claims: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let messages = claims.iter().cloned().map(ByteBuf::from).collect();
    let request = Request::Bill(WINDOW, messages);
    let listed = region.listed();
    let read = |message: &Vec<u8>| {
        let envelope = Envelope::parse(message).unwrap();
        Entry::<ElGamal>::claim(&region.roster, &listed, &envelope, message).unwrap()
    };
    let entries: Vec<_> = claims.iter().map(read).collect();
    let sums = entry::sums(&region.roster, Target::Bill(WINDOW), &entries);
    let sums: Vec<Aggregate> = sums.into_iter().map(|sum| sum.aggregate).collect();
    (0..THRESHOLD).map(|at| region.share(at, &request, &sums)).collect()
}

impl Played {
    fn machine(&self, decoder: &Arc<Table>) -> Collector<ElGamal> {
        collector(MEMBERS, decoder, &self.disk, self.region.listed_at())
    }

    /// Claims and shares one by one, as they come in.
    fn run(&self, machine: &mut Collector<ElGamal>) -> Outputs {
        let now = self.region.listed_at();
        for message in self.claims.iter().chain(&self.shares) {
            machine.handle_message(message, now);
        }
        drain_collector(machine)
    }
}

fn whole(group: &mut Group<'_>, played: &Played, decoder: &Arc<Table>) {
    let outputs = played.run(&mut played.machine(decoder));
    let results = published(&outputs, "/c/result").len();
    assert_eq!(results, MEMBERS, "{}", outputs.len());
    group.bench_function("collector-200", |b| {
        b.iter_batched(
            || played.machine(decoder),
            |mut machine| (played.run(&mut machine), machine),
            BatchSize::PerIteration,
        );
    });
}

fn bills(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("bills");
    let decoder = Arc::new(Table::new(Table::DEFAULT_BITS));
    let played = play(&decoder);
    parts::decompress(&mut group);
    parts::verify_strict(&mut group, played.claims[0].len());
    parts::double_base(&mut group);
    parts::compress(&mut group);
    parts::combination(&mut group, MEMBERS as u64);
    parts::interpolation(&mut group, THRESHOLD as u64);
    parts::fixed_base(&mut group);
    parts::add(&mut group);
    parts::compress_batch(&mut group, 4);
    parts::sign(&mut group, 200);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    whole(&mut group, &played, &decoder);
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = bills }
criterion_main!(benches);
