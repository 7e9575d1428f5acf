//! What a request costs a holder, from the bytes that come in to everything
//! that it hands out: through its release guard.

use aggregation::ElGamal;
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

/// What the collector asks about a slot to which `own` is the holder's.
fn region_request(region: &mut Region, slot: Slot, own: Vec<u8>) -> Vec<u8> {
    let others = (1..MEMBERS).map(|at| region.hidden(at, slot, reading(at, slot)).0);
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
    let length = own.len();
    let request = region_request(region, slot, own);
    measure(group, "region-200", (&request, now), || fresh().0);
    parts::verify_strict(group, length);
}

/// The disk of a holder that has answered for every slot of the window with
/// everybody in it.
fn disk_of_a_window(region: &mut Region) -> (Records, Vec<u8>) {
    let mut disk = region.member_disk(HOLDER);
    let mut holder = meter(HOLDER, MEMBERS, &disk, BEFORE);
    let mut claimed = Vec::new();
    for slot in region.slots() {
        let now = region.end(slot);
        let (own, outputs) = contribute(&mut holder, HOLDER, slot, now);
        keep(outputs, &mut disk);
        let request = region_request(region, slot, own);
        let outputs = answer(&mut holder, &request, now);
        claimed = published(&outputs, "/claim").into_iter().map(<[u8]>::to_vec).collect();
        keep(outputs, &mut disk);
    }
    (disk, claimed.pop().unwrap())
}

fn of_bills(group: &mut Group<'_>, region: &mut Region) {
    let (disk, own) = disk_of_a_window(region);
    let mut claims = vec![ByteBuf::from(own)];
    for at in 1..MEMBERS {
        let hidden = region.slots().map(|slot| region.hidden(at, slot, reading(at, slot)).1);
        let retained: Vec<_> = hidden.collect();
        let retained: Vec<_> = retained.iter().collect();
        claims.push(ByteBuf::from(region.claim(at, &retained)));
    }
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
