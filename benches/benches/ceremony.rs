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
use protocol::envelope::{Envelope, seal};
use protocol::id::{Digest, Sender};
use protocol::keygen::{self, Candidate};
use protocol::message::{Confirmation, Invitation, KeyParts};
use protocol::meter::Meter;
use protocol::record::Records;

/// The member that is measured.
const MEMBER: usize = 0;

/// Everything that is said in a ceremony of honest parties.
struct Said {
    members: usize,
    invitation: Vec<u8>,
    /// All key parts, as the collector passes them on.
    key_parts: Vec<u8>,
    /// All dealings, as the collector passes them on.
    dealings: Vec<Vec<u8>>,
    roster: Vec<u8>,
    /// What the member says: key part, dealing and confirmation.
    member: Vec<Vec<u8>>,
    /// What all say, step by step.
    all: Vec<Vec<u8>>,
}

/// A ceremony on its way: the collector, and all members but one as
/// candidates, whose checks nobody waits for.
struct Ceremony {
    machine: Collector<ElGamal>,
    member: Meter<ElGamal>,
    others: Vec<(Candidate<ElGamal>, usize)>,
    rngs: Vec<Rng>,
    member_said: Vec<Vec<u8>>,
    all: Vec<Vec<u8>>,
}

fn new_member(members: usize) -> Meter<ElGamal> {
    meter(MEMBER, members, &Records::default(), BEFORE)
}

fn new_collector(members: usize, decoder: &Arc<Table>) -> Collector<ElGamal> {
    collector(members, decoder, &Records::default(), BEFORE)
}

/// What a machine publishes in a ceremony.
fn keygen(outputs: &Outputs) -> Vec<Vec<u8>> {
    published(outputs, "/keygen").into_iter().map(<[u8]>::to_vec).collect()
}

/// Hands messages to a member; what it says.
fn tell(member: &mut Meter<ElGamal>, messages: &[Vec<u8>]) -> Outputs {
    for message in messages {
        member.handle_message(message, BEFORE);
    }
    drain(member)
}

impl Ceremony {
    /// What the member says to this, and after it what the others say.
    fn step(
        &mut self,
        to_member: &[Vec<u8>],
        others: impl Fn(&mut Candidate<ElGamal>, usize, &mut Rng) -> Vec<u8>,
    ) -> Vec<Vec<u8>> {
        let [said] = &keygen(&tell(&mut self.member, to_member))[..] else { panic!("no answer") };
        self.member_said.push(said.clone());
        let mut step = vec![said.clone()];
        for ((candidate, at), rng) in self.others.iter_mut().zip(&mut self.rngs) {
            step.push(others(candidate, *at, rng));
        }
        for message in &step {
            self.machine.handle_message(message, BEFORE);
        }
        self.all.extend(step);
        self.passed_on()
    }

    fn passed_on(&mut self) -> Vec<Vec<u8>> {
        let outputs = drain_collector(&mut self.machine);
        let roster = published(&outputs, "/c/roster").into_iter().map(<[u8]>::to_vec);
        keygen(&outputs).into_iter().chain(roster).collect()
    }
}

/// Plays a ceremony. Everybody deals; what the others would confirm is what
/// the one member confirms.
fn play(members: usize, decoder: &Arc<Table>) -> Said {
    let mut machine = new_collector(members, decoder);
    let [invitation] = &keygen(&drain_collector(&mut machine))[..] else { panic!("no invitation") };
    let invitation = invitation.clone();
    let body: Invitation = Envelope::parse(&invitation).unwrap().peek().unwrap();
    let binding = keygen::digest(&region_id(), EPOCH, &body);
    let mut rngs: Vec<_> = (0..members).map(|at| rng(1000 + at as u64)).collect();
    let candidate = |at: usize| {
        let answer =
            Candidate::answer(&region_id(), EPOCH, &body, &meter_id(at), &mut rngs[at]).unwrap();
        (answer, at)
    };
    let others = (1..members).map(candidate).collect();
    let rngs = rngs.split_off(1);
    let member = new_member(members);
    let (member_said, all) = Default::default();
    let mut ceremony = Ceremony { machine, member, others, rngs, member_said, all };

    let passed = ceremony.step(&[invitation.clone()], |one, at, _| one.part_message(&identity(at)));
    let [key_parts] = <[Vec<u8>; 1]>::try_from(passed).unwrap();
    let body: KeyParts = Envelope::parse(&key_parts).unwrap().peek().unwrap();
    let dealings = ceremony.step(&[key_parts.clone()], |one, at, rng| {
        one.take_parts(&body, &identity(at), rng).unwrap();
        one.messages(&identity(at)).remove(0)
    });
    let heard = [&[invitation.clone(), key_parts.clone()], &dealings[..]].concat();
    let confirmed = confirmed(members, &heard);
    let rosters = ceremony.step(&dealings, |_, at, _| by_member(at, &binding, &confirmed));
    let Ceremony { member_said: member, all, .. } = ceremony;
    let [roster] = <[Vec<u8>; 1]>::try_from(rosters).unwrap();
    Said { members, invitation, key_parts, dealings, roster, member, all }
}

/// What a member confirms that hears all this.
fn confirmed(members: usize, heard: &[Vec<u8>]) -> Confirmation {
    let said = keygen(&tell(&mut new_member(members), heard));
    Envelope::parse(said.last().unwrap()).unwrap().peek().unwrap()
}

fn by_member(at: usize, binding: &Digest, body: &Confirmation) -> Vec<u8> {
    let sender = Sender::Meter(meter_id(at));
    seal(&identity(at), (&region_id(), EPOCH, sender), binding, body)
}

fn bytes<'a>(messages: impl IntoIterator<Item = &'a Vec<u8>>) -> Throughput {
    Throughput::Bytes(messages.into_iter().map(|message| message.len() as u64).sum())
}

impl Said {
    /// A member that has heard so much of what is passed on.
    fn member(&self, heard: &[&[Vec<u8>]]) -> Meter<ElGamal> {
        let mut member = new_member(self.members);
        tell(&mut member, &heard.concat());
        member
    }

    fn passed_on(&self) -> impl Iterator<Item = &Vec<u8>> {
        [&self.invitation, &self.key_parts, &self.roster].into_iter().chain(&self.dealings)
    }
}

fn measure(group: &mut Group<'_>, said: &Said, decoder: &Arc<Table>) {
    let members = said.members;
    let invited = std::slice::from_ref(&said.invitation);
    let key_parts = std::slice::from_ref(&said.key_parts);
    group.throughput(bytes(&said.member));
    group.bench_function(format!("deal-{members}"), |b| {
        b.iter_batched(
            || said.member(&[invited]),
            |mut member| (tell(&mut member, key_parts), member),
            BatchSize::PerIteration,
        );
    });
    group.throughput(bytes(said.passed_on()));
    group.bench_function(format!("receive-{members}"), |b| {
        b.iter_batched(
            || said.member(&[invited, key_parts]),
            |mut member| (tell(&mut member, &said.dealings), member),
            BatchSize::PerIteration,
        );
    });
    group.throughput(bytes(&said.all));
    group.bench_function(format!("collector-{members}"), |b| {
        b.iter_batched(
            || new_collector(members, decoder),
            |mut machine| {
                said.all.iter().for_each(|message| machine.handle_message(message, BEFORE));
                (drain_collector(&mut machine), machine)
            },
            BatchSize::PerIteration,
        );
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
    for members in [10, 50, 200] {
        let said = play(members, &decoder);
        // Key part, dealing, confirmation.
        parts::verify_strict_of(&mut group, &format!("dealing-{members}"), said.member[1].len());
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        measure(&mut group, &said, &decoder);
    }
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = ceremony }
criterion_main!(benches);
