//! What it costs to find the sums of a region again, from the bytes of a
//! round's transcript on.

use std::sync::Arc;

use aggregation::{ElGamal, Table};
use benches::cpu_time::CpuTime;
use benches::machines::{BEFORE, collector, drain_collector, keep, published};
use benches::region::{EPOCH, Region, reading};
use benches::{Group, criterion, parts};
use criterion::{Criterion, criterion_group, criterion_main};
use protocol::entry::{self, Entry};
use protocol::envelope::Envelope;
use protocol::message::{Request, Target};
use protocol::transcript::{self, Transcript};
use serde_bytes::ByteBuf;

/// Members of the region, each of which is in the sum.
const MEMBERS: usize = 200;

/// Holders that it takes.
const THRESHOLD: usize = 134;

/// Lets a slot pass to which everybody contributes, and as many holders as it
/// takes help to open its sum.
fn play(region: &mut Region) -> Transcript {
    let (slot, decoder) = (region.slot(), Arc::new(Table::new(12)));
    let messages: Vec<_> =
        (0..MEMBERS).map(|at| region.hidden(at, slot, reading(at, slot)).0).collect();
    let mut disk = region.collector_disk();
    let mut machine = collector(MEMBERS, &decoder, &disk, BEFORE);
    machine.handle_messages(&messages, region.end(slot));
    let read = |message: &Vec<u8>| {
        let envelope = Envelope::parse(message).unwrap();
        Entry::<ElGamal>::contribution(&region.roster, &envelope, message).unwrap()
    };
    let entries: Vec<_> = messages.iter().map(read).collect();
    let sums = entry::sums(&region.roster, Target::Region(slot), &entries);
    let sums: Vec<_> = sums.into_iter().map(|sum| sum.aggregate).collect();
    let request = Request::Region(slot, messages.into_iter().map(ByteBuf::from).collect());
    for at in 0..THRESHOLD {
        machine.handle_message(&region.share(at, &request, &sums), region.end(slot));
    }
    let outputs = drain_collector(&mut machine);
    assert_eq!(published(&outputs, "/c/result").len(), 1);
    keep(outputs, &mut disk);
    transcript::of(&disk, EPOCH, Target::Region(slot)).unwrap().unwrap()
}

fn whole(group: &mut Group<'_>, region: &Region, bytes: &[u8]) {
    let verify = || Transcript::from_bytes(bytes).unwrap().verify(&region.roster).unwrap();
    assert_eq!(verify().helpers.len(), THRESHOLD);
    group.bench_function("region-200", |b| b.iter(verify));
}

fn transcripts(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("transcript");
    let mut region = Region::dealt(MEMBERS);
    let transcript = play(&mut region);
    parts::decompress(&mut group);
    parts::verify_strict(&mut group, transcript.shares[0].len());
    parts::verify_strict_of(&mut group, "request", transcript.request.len());
    parts::batch_check(&mut group, MEMBERS as u64);
    parts::compress(&mut group);
    parts::double_base(&mut group);
    parts::combination(&mut group, 1);
    parts::interpolation(&mut group, THRESHOLD as u64);
    parts::fixed_base(&mut group);
    parts::add(&mut group);
    whole(&mut group, &region, &transcript.to_bytes());
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = transcripts }
criterion_main!(benches);
