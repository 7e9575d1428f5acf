//! The demonstration's own eyes: one more MQTT client, which believes signed
//! messages and nothing else.

use std::collections::BTreeMap;

use aggregation::ElGamal;
use anyhow::Context as _;
use host::clock;
use protocol::envelope::{Envelope, Rejection};
use protocol::id::{Digest, Epoch, MeterId, RegionId};
use protocol::identity::IdentityKey;
use protocol::listing::{self, Listed};
use protocol::message::{
    FinalListing, Invitation, Kind, Outcome, Receipt, Refusal, Roster, Status,
};
use protocol::roster::{AcceptedRoster, RosterError};
use protocol::slot::Timestamp;
use protocol::topic::{self, CollectorTopic, MeterTopic};

use crate::household::Household;

/// What was seen at the broker.
pub(crate) enum Sighting {
    /// The household's own registrar invites: its collector has the broker.
    Invited,
    /// An epoch is open under this roster.
    Opened(Epoch, Box<Roster>),
    /// A listing of an epoch is final.
    Listed(Epoch, Box<Listed>),
    /// A sum of an epoch.
    Result(Epoch, Outcome),
    /// Where a round of an epoch stands.
    Status(Epoch, Status),
    /// A holder does not help.
    Refused(MeterId, String),
    /// The collector has a contribution.
    Receipted(Receipt),
    /// Something for a person to know.
    Trouble(String),
}

/// A client that listens to one region.
pub(crate) struct Watch {
    region: RegionId,
    registrar: IdentityKey,
    rosters: BTreeMap<Epoch, AcceptedRoster<ElGamal>>,
    /// The final listings, by their digests: windows of two epochs may say the
    /// same.
    listings: BTreeMap<(Epoch, Digest), Listed>,
    events: link::Receiver,
    /// The link lives as long as both its halves.
    _sender: link::Sender,
}

impl Watch {
    /// Connects to the broker on `port`.
    pub(crate) fn open(household: &Household, port: u16) -> anyhow::Result<Self> {
        Self::subscribe(household, port, subscriptions(household))
    }

    /// Connects to the broker on `port`, to see receipts as well.
    pub(crate) fn open_with_receipts(household: &Household, port: u16) -> anyhow::Result<Self> {
        let meters = household.agents.iter().map(|agent| agent.meter.clone());
        let receipts = meters
            .map(|meter| topic::of_collector(&household.region, &CollectorTopic::Receipt(meter)));
        let all = subscriptions(household).into_iter().chain(receipts);
        Self::subscribe(household, port, all.collect())
    }

    fn subscribe(
        household: &Household,
        port: u16,
        subscriptions: Vec<String>,
    ) -> anyhow::Result<Self> {
        let address = format!("mqtt://127.0.0.1:{port}").parse()?;
        // Another demonstration at the same broker has another name.
        let client_id = format!("neighbourhood-{}", std::process::id());
        let mut options = link::Options::new(address, client_id);
        options.subscriptions = subscriptions;
        let (sender, events) = link::open(options, clock::generator()?)?;
        let (region, registrar) = (household.region.clone(), household.registrar);
        let (rosters, listings) = Default::default();
        Ok(Self { region, registrar, rosters, listings, events, _sender: sender })
    }

    /// Waits for the next sighting, and says when it came. Cancel safe.
    pub(crate) async fn next(&mut self) -> anyhow::Result<(Sighting, Timestamp)> {
        loop {
            let event = self.events.recv().await.context("the link to the broker has ended")?;
            let arrived = clock::now();
            if let Some(sighting) = self.see(event) {
                return Ok((sighting, arrived));
            }
        }
    }

    fn see(&mut self, event: link::Event) -> Option<Sighting> {
        match event {
            link::Event::Connected { .. } => None,
            link::Event::Disconnected { reason } => {
                Some(Sighting::Trouble(format!("no broker: {reason}")))
            }
            link::Event::Refused { filter } => {
                let trouble = format!("the broker refuses the subscription to {filter}");
                Some(Sighting::Trouble(trouble))
            }
            link::Event::Message { topic, payload } => self.read(&payload).unwrap_or_else(|e| {
                Some(Sighting::Trouble(format!("a message under {topic} was not taken: {e}")))
            }),
        }
    }

    fn read(&mut self, message: &[u8]) -> Result<Option<Sighting>, RosterError> {
        let envelope = Envelope::parse(message)?;
        let (kind, epoch) = (envelope.header().kind, envelope.header().epoch);
        match kind {
            Kind::Roster => return self.read_roster(message, epoch),
            Kind::Invitation => {
                let _: Invitation = envelope.open(&self.registrar, &Digest::NONE)?;
                return Ok(Some(Sighting::Invited));
            }
            // Between candidates and collector.
            Kind::KeyParts | Kind::Dealings | Kind::Listing => return Ok(None),
            Kind::FinalListing => return Ok(self.read_listing(&envelope, epoch)?),
            _ => {}
        }
        let roster = self.rosters.get(&epoch).ok_or(Rejection::Epoch)?;
        let sighting = match kind {
            Kind::Outcome => Sighting::Result(epoch, roster.open_from_collector(&envelope)?),
            Kind::Status => Sighting::Status(epoch, roster.open_from_collector(&envelope)?),
            Kind::Receipt => Sighting::Receipted(roster.open_from_collector(&envelope)?),
            Kind::Refusal => {
                let (holder, refusal): (_, Refusal) = roster.open_from_member(&envelope)?;
                Sighting::Refused(holder, refusal.reason)
            }
            _ => return Err(Rejection::Kind.into()),
        };
        Ok(Some(sighting))
    }

    /// The first final listing of a portion settles it; the collector repeats
    /// it.
    fn read_listing(
        &mut self,
        envelope: &Envelope,
        epoch: Epoch,
    ) -> Result<Option<Sighting>, Rejection> {
        let roster = self.rosters.get(&epoch).ok_or(Rejection::Epoch)?;
        let body: FinalListing = roster.open_from_collector(envelope)?;
        let (listing, _) = listing::open_final(roster, &body).map_err(|_| Rejection::Body)?;
        let digest = listing::digest(&listing);
        if self.listings.contains_key(&(epoch, digest)) {
            return Ok(None);
        }
        let joined = self.listings.get(&(epoch, listing.previous)).map(Listed::withheld);
        let listed = Listed::read(roster, &listing, joined.unwrap_or_default());
        let listed = listed.map_err(|_| Rejection::Body)?;
        self.listings.insert((epoch, digest), listed.clone());
        Ok(Some(Sighting::Listed(epoch, Box::new(listed))))
    }

    /// The first roster of an epoch opens it; the broker repeats it.
    fn read_roster(
        &mut self,
        message: &[u8],
        epoch: Epoch,
    ) -> Result<Option<Sighting>, RosterError> {
        let roster = AcceptedRoster::open(message, &self.region, &self.registrar)?;
        if self.rosters.contains_key(&epoch) {
            return Ok(None);
        }
        if let Some((_, before)) = self.rosters.last_key_value() {
            roster.check_succession(before)?;
        }
        let body = Box::new(roster.body().clone());
        self.rosters.insert(epoch, roster);
        Ok(Some(Sighting::Opened(epoch, body)))
    }
}

fn subscriptions(household: &Household) -> Vec<String> {
    let of_collector = [
        CollectorTopic::Keygen,
        CollectorTopic::Roster,
        CollectorTopic::Result,
        CollectorTopic::Status,
        CollectorTopic::Listing,
    ];
    let of_collector = of_collector.iter().map(|t| topic::of_collector(&household.region, t));
    let meters = household.agents.iter().map(|agent| &agent.meter);
    let refusals = meters.map(|m| topic::of_meter(&household.region, m, MeterTopic::Refusal));
    of_collector.chain(refusals).collect()
}
