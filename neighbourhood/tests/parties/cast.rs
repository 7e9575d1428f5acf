//! Members that a test plays itself, over the broker: they follow the
//! ceremony, and each tells the lie that is its part.

use std::convert::Infallible;

use crate::rig::region_id;
use crate::street::{Members, REGION};
use aggregation::{ElGamal, Rng};
use host::clock;
use protocol::envelope::{Envelope, Message, seal};
use protocol::id::{Digest, MeterId, Sender};
use protocol::identity::{Identity, IdentityKey};
use protocol::keygen::{self, Candidate};
use protocol::message::{
    Complaint, Confirmation, Dealing, Dealings, Invitation, KeyParts, Kind, Request, Share,
};
use protocol::release;
use protocol::roster::AcceptedRoster;
use protocol::topic::{self, CollectorTopic, MeterTopic};
use serde_bytes::ByteBuf;

/// What a player does that an honest member does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// It says nothing from the start.
    Absent,
    /// It sends its key part and no dealing.
    NoDealing,
    /// It deals the first member a share that does not fit.
    BadShare,
    /// It deals with a proof that does not verify.
    BadDealing,
    TwoDealings,
    /// It complains about the dealing of the first member.
    FalseComplaint,
    /// It confirms dealings that nobody has sent.
    OtherDealings,
    /// As a member it answers requests with something that is no share.
    BadHelp,
}

impl Lie {
    /// The name of the player of this lie; it sorts after those of agents.
    pub(crate) fn name(self) -> String {
        let letters = format!("{self:?}");
        let dashed = |letter: char| match letter.to_ascii_lowercase() {
            low if low == letter => low.to_string(),
            low => format!("-{low}"),
        };
        format!("x{}", letters.chars().map(dashed).collect::<String>())
    }
}

struct Player {
    lie: Lie,
    meter: MeterId,
    identity: Identity,
    rng: Rng,
    candidate: Option<Candidate<ElGamal>>,
    roster: Option<AcceptedRoster<ElGamal>>,
}

/// All players of a test, behind one connection.
pub(crate) struct Cast {
    players: Vec<Player>,
    registrar: IdentityKey,
}

impl Cast {
    pub(crate) fn of(lies: &[Lie], registrar: &str) -> Self {
        let player = |lie: &Lie| {
            let mut rng = clock::generator().unwrap();
            let identity = Identity::generate(&mut rng);
            let meter = lie.name().parse().unwrap();
            Player { lie: *lie, meter, identity, rng, candidate: None, roster: None }
        };
        let players = lies.iter().map(player).collect();
        Self { players, registrar: registrar.parse().unwrap() }
    }

    pub(crate) fn members(&self) -> Members {
        let member = |player: &Player| (player.lie.name(), player.identity.key().to_string());
        self.players.iter().map(member).collect()
    }

    pub(crate) async fn play(mut self, port: u16) -> Infallible {
        let address = format!("mqtt://127.0.0.1:{port}").parse().unwrap();
        let mut options = link::Options::new(address, "cast");
        let heard = [CollectorTopic::Keygen, CollectorTopic::Roster, CollectorTopic::Request];
        let filters = heard.iter().map(|topic| topic::of_collector(&region_id(REGION), topic));
        options.subscriptions = filters.collect();
        let (sender, mut receiver) = link::open(options, clock::generator().unwrap()).unwrap();
        loop {
            let event = receiver.recv().await.unwrap();
            let link::Event::Message { payload, .. } = event else { continue };
            for player in self.players.iter_mut().filter(|player| player.lie != Lie::Absent) {
                for (topic, message) in player.hear(&payload, &self.registrar) {
                    let topic = topic::of_meter(&region_id(REGION), &player.meter, topic);
                    sender.publish(topic, message, false).await.unwrap();
                }
            }
        }
    }
}

impl Player {
    fn hear(&mut self, message: &[u8], registrar: &IdentityKey) -> Vec<(MeterTopic, Vec<u8>)> {
        let envelope = Envelope::parse(message).unwrap();
        match envelope.header().kind {
            Kind::Invitation => self.answer(&envelope),
            Kind::KeyParts | Kind::Dealings => self.go_on(&envelope),
            Kind::Roster => {
                self.roster = AcceptedRoster::open(message, &region_id(REGION), registrar).ok();
                return Vec::new();
            }
            Kind::Request => return self.help(&envelope),
            kind => panic!("a {kind:?}"),
        }
        let said = self.candidate.iter().flat_map(|it| it.messages(&self.identity));
        let bent = said.flat_map(|message| self.bend(message));
        bent.map(|message| (MeterTopic::Keygen, message)).collect()
    }

    fn answer(&mut self, envelope: &Envelope) {
        let (header, body) = (envelope.header(), envelope.peek::<Invitation>().unwrap());
        let place = (&header.region, header.epoch);
        let binding = keygen::digest(place.0, place.1, &body);
        if self.candidate.as_ref().is_none_or(|it| it.place().binding != binding) {
            let rng = &mut self.rng;
            self.candidate = Candidate::answer(place.0, place.1, &body, &self.meter, rng);
        }
    }

    fn go_on(&mut self, envelope: &Envelope) {
        let Some(candidate) = &mut self.candidate else { return };
        let (identity, rng) = (&self.identity, &mut self.rng);
        let taken = match envelope.header().kind {
            Kind::KeyParts => {
                candidate.take_parts(&envelope.peek::<KeyParts>().unwrap(), identity, rng)
            }
            _ => candidate.take_dealings(&envelope.peek::<Dealings>().unwrap(), identity, rng),
        };
        // Its own candidate sees another dealing than the one that it made.
        assert!(taken.is_ok() || self.lie == Lie::BadShare, "{taken:?}");
    }

    /// What is said in place of an honest message of the ceremony.
    fn bend(&self, honest: Vec<u8>) -> Vec<Vec<u8>> {
        let place = self.candidate.as_ref().unwrap();
        let shares = 48 * place.invitation().members.len();
        let first = place.invitation().members[0].meter.clone();
        match (self.lie, Envelope::parse(&honest).unwrap().header().kind) {
            (Lie::NoDealing, Kind::Dealing) => Vec::new(),
            (Lie::BadShare, Kind::Dealing) => vec![self.deal_otherwise(&honest, shares)],
            // Its proof stands before 32 bytes of dealer key and the shares.
            (Lie::BadDealing, Kind::Dealing) => vec![self.deal_otherwise(&honest, shares + 64)],
            (Lie::TwoDealings, Kind::Dealing) => {
                let other = self.deal_otherwise(&honest, shares);
                vec![honest, other]
            }
            (Lie::FalseComplaint, Kind::Confirmation) => {
                let complaint = ByteBuf::from(place.part().to_vec());
                vec![self.seal(&Complaint { dealer: first, complaint })]
            }
            (Lie::OtherDealings, Kind::Confirmation) => {
                vec![self.seal(&Confirmation { dealings: Digest::NONE, group: Digest::NONE })]
            }
            _ => vec![honest],
        }
    }

    /// Its dealing with another bit so many bytes before its end.
    fn deal_otherwise(&self, honest: &[u8], before_the_end: usize) -> Vec<u8> {
        let mut body: Dealing = Envelope::parse(honest).unwrap().peek().unwrap();
        let at = body.dealing.len() - before_the_end;
        body.dealing[at] ^= 1;
        self.seal(&body)
    }

    fn seal<M: Message>(&self, body: &M) -> Vec<u8> {
        let place = self.candidate.as_ref().unwrap().place();
        let sender = Sender::Meter(self.meter.clone());
        seal(&self.identity, (&place.region, place.epoch, sender), &place.binding, body)
    }

    /// A share of one sum in its form, with a proof that does not verify.
    fn help(&self, envelope: &Envelope) -> Vec<(MeterTopic, Vec<u8>)> {
        let Some(roster) = &self.roster else { return Vec::new() };
        let request: Request = roster.open_from_collector(envelope).unwrap();
        let response = [roster.body().group_key.as_slice(), &[0; 64]].concat();
        let share = Share { request: release::digest(&request), response: ByteBuf::from(response) };
        let sender = Sender::Meter(self.meter.clone());
        let place = (roster.region(), roster.epoch(), sender);
        let message = seal(&self.identity, place, roster.digest(), &share);
        vec![(MeterTopic::Share, message)]
    }
}
