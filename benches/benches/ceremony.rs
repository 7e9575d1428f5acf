//! What the ceremony of an epoch costs: one member from the invitation to its
//! place in the roster, and the collector from the first key part to the
//! roster. How much a member sends and hears stands beside it as throughput.

use std::sync::Arc;

use aggregation::{ElGamal, Rng, Table};
use benches::cpu_time::CpuTime;
use benches::machines::{BEFORE, Outputs, collector, drain, drain_collector, meter, published};
use benches::region::{EPOCH, identity, meter_id, region_id, rng};
use benches::{Group, criterion, parts};
use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use protocol::collector::Collector;
use protocol::envelope::{Envelope, Message, seal};
use protocol::id::Sender;
use protocol::keygen::Candidate;
use protocol::message::{Confirmation, Invitation, KeyParts};
use protocol::meter::Meter;
use protocol::record::Records;

/// The member that is measured.
const MEMBER: usize = 0;

/// Signed messages in order.
type Messages = Vec<Vec<u8>>;

/// Everything that is said in a ceremony of honest parties.
struct Said {
    members: usize,
    invitation: Messages,
    /// All key parts, as the collector passes them on.
    key_parts: Messages,
    /// All dealings, as the collector passes them on.
    dealings: Messages,
    roster: Messages,
    /// What the member says: key part, dealing and confirmation.
    member: Messages,
    /// What all say, step by step.
    all: Messages,
}

/// A ceremony on its way: the collector, the member, and all others as
/// candidates, whose checks nobody waits for.
struct Ceremony {
    machine: Collector<ElGamal>,
    member: Meter<ElGamal>,
    others: Vec<Other>,
    member_said: Messages,
    all: Messages,
}

struct Other {
    at: usize,
    candidate: Candidate<ElGamal>,
    rng: Rng,
}

fn new_member(members: usize) -> Meter<ElGamal> {
    meter(MEMBER, members, &Records::default(), BEFORE)
}

fn new_collector(members: usize, decoder: &Arc<Table>) -> Collector<ElGamal> {
    collector(members, decoder, &Records::default(), BEFORE)
}

/// What a machine publishes in a ceremony.
fn said(outputs: &Outputs) -> Messages {
    let messages = [published(outputs, "/keygen"), published(outputs, "/c/roster")];
    messages.into_iter().flatten().map(<[u8]>::to_vec).collect()
}

/// Hands messages to a member; what it hands out.
fn tell(member: &mut Meter<ElGamal>, messages: &Messages) -> Outputs {
    for message in messages {
        member.handle_message(message, BEFORE);
    }
    drain(member)
}

fn body<M: Message>(messages: &Messages) -> M {
    Envelope::parse(messages.last().unwrap()).unwrap().peek().unwrap()
}

impl Other {
    fn invited(at: usize, invitation: &Invitation) -> Self {
        let mut rng = rng(1000 + at as u64);
        let (region, meter) = (region_id(), meter_id(at));
        let candidate = Candidate::answer(&region, EPOCH, invitation, &meter, &mut rng);
        Self { at, candidate: candidate.unwrap(), rng }
    }

    fn deal(&mut self, key_parts: &KeyParts) -> Vec<u8> {
        let identity = identity(self.at);
        self.candidate.take_parts(key_parts, &identity, &mut self.rng).unwrap();
        self.candidate.messages(&identity).remove(0)
    }

    /// Confirms what it has not checked.
    fn confirm(&self, confirmation: &Confirmation) -> Vec<u8> {
        let sender = Sender::Meter(meter_id(self.at));
        let binding = &self.candidate.place().binding;
        seal(&identity(self.at), (&region_id(), EPOCH, sender), binding, confirmation)
    }
}

impl Ceremony {
    fn begin(members: usize, decoder: &Arc<Table>) -> (Self, Messages) {
        let mut machine = new_collector(members, decoder);
        let invitation = said(&drain_collector(&mut machine));
        let body = body(&invitation);
        let others = (1..members).map(|at| Other::invited(at, &body)).collect();
        let member = new_member(members);
        let (member_said, all) = Default::default();
        (Self { machine, member, others, member_said, all }, invitation)
    }

    /// Tells the member what is passed on, and the collector what the member
    /// says and after it the others; what the collector passes on then.
    fn step(
        &mut self,
        heard: &Messages,
        other: impl Fn(&mut Other, &Vec<u8>) -> Vec<u8>,
    ) -> Messages {
        let own = said(&tell(&mut self.member, heard)).pop().unwrap();
        let others: Vec<_> = self.others.iter_mut().map(|one| other(one, &own)).collect();
        self.member_said.push(own.clone());
        for message in std::iter::once(own).chain(others) {
            self.machine.handle_message(&message, BEFORE);
            self.all.push(message);
        }
        said(&drain_collector(&mut self.machine))
    }
}

/// Plays a ceremony. Everybody deals; the others confirm what the member does.
fn play(members: usize, decoder: &Arc<Table>) -> Said {
    let (mut ceremony, invitation) = Ceremony::begin(members, decoder);
    let key_parts =
        ceremony.step(&invitation, |other, _| other.candidate.part_message(&identity(other.at)));
    let parts = body(&key_parts);
    let dealings = ceremony.step(&key_parts, |other, _| other.deal(&parts));
    let roster = ceremony.step(&dealings, |other, own| {
        other.confirm(&Envelope::parse(own).unwrap().peek().unwrap())
    });
    let Ceremony { member_said: member, all, .. } = ceremony;
    Said { members, invitation, key_parts, dealings, roster, member, all }
}

fn bytes<'a>(messages: impl IntoIterator<Item = &'a Vec<u8>>) -> Throughput {
    Throughput::Bytes(messages.into_iter().map(|message| message.len() as u64).sum())
}

impl Said {
    /// A member that has heard so much of what is passed on.
    fn member(&self, heard: &[&Messages]) -> Meter<ElGamal> {
        let mut member = new_member(self.members);
        for messages in heard {
            tell(&mut member, messages);
        }
        member
    }

    /// What a member hands out that has dealt and hears the rest.
    fn join(&self, member: &mut Meter<ElGamal>) -> [Outputs; 2] {
        [tell(member, &self.dealings), tell(member, &self.roster)]
    }

    fn passed_on(&self) -> impl Iterator<Item = &Vec<u8>> {
        [&self.invitation, &self.key_parts, &self.dealings, &self.roster].into_iter().flatten()
    }
}

/// Measures runs of machines that were never told this before.
fn bench<M>(
    group: &mut Group<'_>,
    name: String,
    fresh: impl Fn() -> M,
    run: impl Fn(&mut M) -> [Outputs; 2],
) {
    group.bench_function(name, |b| {
        let run = |mut machine| (run(&mut machine), machine);
        b.iter_batched(&fresh, run, BatchSize::PerIteration);
    });
}

fn measure(group: &mut Group<'_>, played: &Said, decoder: &Arc<Table>) {
    let Said { members, invitation, key_parts, all, .. } = played;
    let mut joined = played.member(&[invitation, key_parts]);
    played.join(&mut joined);
    assert!(joined.grid().is_some(), "no member");

    group.throughput(bytes(&played.member));
    let fresh = || played.member(&[invitation]);
    bench(group, format!("deal-{members}"), fresh, |one| [tell(one, key_parts), Vec::new()]);

    group.throughput(bytes(played.passed_on()));
    let fresh = || played.member(&[invitation, key_parts]);
    bench(group, format!("receive-{members}"), fresh, |one| played.join(one));

    group.throughput(bytes(all));
    let fresh = || new_collector(*members, decoder);
    bench(group, format!("collector-{members}"), fresh, |machine| {
        for message in all {
            machine.handle_message(message, BEFORE);
        }
        [drain_collector(machine), Vec::new()]
    });
}

fn ceremony(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("ceremony");
    let decoder = Arc::new(Table::new(8));
    parts::decompress(&mut group);
    parts::verify_strict(&mut group, 200);
    parts::double_base(&mut group);
    parts::variable_base(&mut group);
    parts::fixed_base(&mut group);
    parts::compress(&mut group);
    parts::add(&mut group);
    parts::table(&mut group);
    for members in [10, 50, 200] {
        let played = play(members, &decoder);
        // Key part, dealing, confirmation.
        parts::verify_strict_of(&mut group, &format!("dealing-{members}"), played.member[1].len());
        parts::interpolation(&mut group, members as u64 + 1);
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        measure(&mut group, &played, &decoder);
    }
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = ceremony }
criterion_main!(benches);
