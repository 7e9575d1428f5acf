//! What a request costs a holder, from the bytes that come in to everything
//! that it hands out: through its release guard.

use aggregation::ElGamal;
use aggregation::elgamal::Retained;
use benches::cpu_time::CpuTime;
use benches::machines::{BEFORE, Outputs, contribute, drain, keep, meter, published};
use benches::region::{Region, WINDOW, reading};
use benches::{Group, criterion, parts};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use protocol::message::Request;
use protocol::meter::Meter;
use protocol::record::Records;
use protocol::slot::{Slot, Timestamp};
use serde_bytes::ByteBuf;

/// Members of the region, each of which is in every sum.
const MEMBERS: usize = 200;

/// The member that is asked.
const HOLDER: usize = 0;

/// What the others of the region contributed, and what it takes to claim it.
struct Others {
    messages: Vec<Vec<u8>>,
    retained: Vec<Retained>,
}

fn others(region: &mut Region, slot: Slot) -> Others {
    let one = |at| region.hidden(at, slot, reading(at, slot));
    let (messages, retained) = (1..MEMBERS).map(one).unzip();
    Others { messages, retained }
}

/// What the collector asks about a slot.
fn region_request(region: &Region, slot: Slot, own: &[u8], others: &Others) -> Vec<u8> {
    let others = others.messages.iter().map(Vec::as_slice);
    let listed = std::iter::once(own).chain(others).map(ByteBuf::from).collect();
    region.by_collector(&Request::Region(slot, listed))
}

fn answer(meter: &mut Meter<ElGamal>, request: &[u8], now: Timestamp) -> Outputs {
    meter.handle_message(request, now);
    drain(meter)
}

/// Measures the answer of meters that were never asked this before.
fn measure(
    group: &mut Group<'_>,
    name: &str,
    (request, now): (&[u8], Timestamp),
    fresh: impl Fn() -> Meter<ElGamal>,
) {
    let answered = answer(&mut fresh(), request, now);
    assert_eq!(published(&answered, "/share").len(), 1, "{answered:?}");
    group.bench_function(name, |b| {
        b.iter_batched(
            &fresh,
            |mut meter| (answer(&mut meter, request, now), meter),
            BatchSize::PerIteration,
        );
    });
}

fn of_a_region(group: &mut Group<'_>, region: &mut Region) {
    let (slot, disk) = (region.slot(), region.member_disk(HOLDER));
    let now = region.end(slot);
    // The same generator draws the same contribution every time.
    let fresh = || {
        let mut meter = meter(HOLDER, MEMBERS, &disk, BEFORE);
        let (own, _) = contribute(&mut meter, HOLDER, slot, now);
        (meter, own)
    };
    let (_, own) = fresh();
    let others = others(region, slot);
    let request = region_request(region, slot, &own, &others);
    measure(group, "region-200", (&request, now), || fresh().0);
    parts::verify_strict(group, own.len());
}

/// A holder that has answered for every slot of the window with everybody in
/// it.
struct Played {
    disk: Records,
    /// Its own claim.
    claim: Vec<u8>,
    /// What the others contributed, by slot.
    others: Vec<Others>,
}

fn play(region: &mut Region) -> Played {
    let disk = region.member_disk(HOLDER);
    let mut holder = meter(HOLDER, MEMBERS, &disk, BEFORE);
    let mut played = Played { disk, claim: Vec::new(), others: Vec::new() };
    for slot in region.slots() {
        let now = region.end(slot);
        let (own, outputs) = contribute(&mut holder, HOLDER, slot, now);
        keep(outputs, &mut played.disk);
        let others = others(region, slot);
        let outputs = answer(&mut holder, &region_request(region, slot, &own, &others), now);
        played.others.push(others);
        keep(outputs, &mut played.disk);
    }
    let now = region.end(region.slots().last().unwrap());
    let outputs = answer(&mut holder, &region.final_listing(), now);
    let [claim] = published(&outputs, "/claim")[..] else { panic!("no claim") };
    played.claim = claim.to_vec();
    keep(outputs, &mut played.disk);
    played
}

fn of_bills(group: &mut Group<'_>, region: &mut Region) {
    let Played { disk, claim, others } = play(region);
    let listing = region.listed().digest();
    let claim_of = |at: usize| {
        let retained: Vec<_> = others.iter().map(|slot| &slot.retained[at - 1]).collect();
        region.claim(at, listing, &retained)
    };
    let claims = std::iter::once(claim).chain((1..MEMBERS).map(claim_of));
    let claims = claims.map(ByteBuf::from).collect();
    let request = region.by_collector(&Request::Bill(WINDOW, claims));
    let now = region.end(region.slots().last().unwrap());
    measure(group, "bills-200", (&request, now), || meter(HOLDER, MEMBERS, &disk, now));
}

fn guard(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("guard");
    let mut region = Region::dealt(MEMBERS);
    parts::decompress(&mut group);
    parts::batch_check(&mut group, MEMBERS as u64);
    of_a_region(&mut group, &mut region);
    parts::variable_base(&mut group);
    parts::fixed_base(&mut group);
    parts::compress(&mut group);
    parts::combination(&mut group, MEMBERS as u64);
    of_bills(&mut group, &mut region);
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = guard }
criterion_main!(benches);
