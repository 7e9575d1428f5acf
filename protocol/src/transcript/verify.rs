//! Finds the results of a transcript again, by the rules of those who made
//! them: the set as a holder reads it, the slots as everybody lists them, the
//! results as the collector publishes them.

use std::collections::{BTreeMap, BTreeSet};

use aggregation::{CombineError, Participant, Rng, Scheme};
use rand::SeedableRng as _;

use crate::entry::{self, Sum};
use crate::envelope::{Envelope, Message, Rejection};
use crate::id::{Digest, MeterId};
use crate::listing::{self, Listed};
use crate::message::{FinalListing, Outcome, Request, Share, Target};
use crate::release::{self, Reason};
use crate::roster::AcceptedRoster;
use crate::round::{self, Combined};
use crate::slot::Timestamp;

use super::{Piece, Transcript, TranscriptError, Verified, VerifiedSum};

type Accepted<S> = BTreeMap<Participant, <S as Scheme>::Accepted>;

/// A signed share, and whose it is.
type Signed<'a> = (Participant, &'a MeterId, Share);

impl Transcript {
    /// Checks every message, and finds each result again.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify<S: Scheme>(
        &self,
        roster: &AcceptedRoster<S>,
    ) -> Result<Verified, TranscriptError> {
        let request: Request = by_collector(roster, Piece::Request, &self.request)?;
        let (target, digest) = (release::target(&request), release::digest(&request));
        let (shares, told) = (self.shares(roster)?, self.told(roster)?);
        let listed = self.listed(roster, target)?;
        let entries = release::read_set(roster, target, listed.as_ref(), request.entries())?;
        // The digest covers all that is checked in the batch: nobody chooses
        // its weights.
        let mut rng = Rng::from_seed(*digest.as_bytes());
        entry::verify(roster, &entries, &mut rng).map_err(Reason::Proof)?;
        let sums = entry::sums(roster, target, &entries);
        let accepted = accept(roster, (&digest, &sums), &shares)?;
        let meters = entries.iter().map(|entry| &entry.meter).collect();
        Opened { roster, target, listed, meters, sums, accepted }.verified(&told)
    }

    /// The signed shares, each of another holder.
    fn shares<'a, S: Scheme>(
        &self,
        roster: &'a AcceptedRoster<S>,
    ) -> Result<Vec<Signed<'a>>, TranscriptError> {
        let mut shares: Vec<Signed<'a>> = Vec::with_capacity(self.shares.len());
        for (message, piece) in self.shares.iter().zip((1..).map(Piece::Share)) {
            let opened = Envelope::parse(message).and_then(|of| roster.open_from_member(&of));
            let (holder, share): (MeterId, Share) = opened.map_err(rejected(piece))?;
            let member = roster.member(&holder);
            let (of, member) = member.ok_or_else(|| rejected(piece)(Rejection::Sender))?;
            if shares.last().is_some_and(|(last, ..)| *last >= of) {
                return Err(TranscriptError::Order(holder));
            }
            shares.push((of, &member.meter, share));
        }
        Ok(shares)
    }

    /// What the signed results say.
    fn told<S: Scheme>(&self, roster: &AcceptedRoster<S>) -> Result<Vec<Outcome>, TranscriptError> {
        let results = self.results.iter().zip((1..).map(Piece::Result));
        results.map(|(message, piece)| by_collector(roster, piece, message)).collect()
    }

    /// The final listing of the portion of bills, with the slots that joined it.
    fn listed<S: Scheme>(
        &self,
        roster: &AcceptedRoster<S>,
        target: Target,
    ) -> Result<Option<Listed>, TranscriptError> {
        let mut last: Option<Listed> = None;
        for (message, piece) in self.listings.iter().zip((1..).map(Piece::Listing)) {
            last = Some(read_listing(roster, (message, piece), last.as_ref())?);
        }
        match (target, last) {
            (Target::Region(_), None) => Ok(None),
            (Target::Bill(portion), Some(listed)) if listed.portion() == portion => {
                Ok(Some(listed))
            }
            _ => Err(TranscriptError::Listings),
        }
    }
}

/// Checks each share against the request.
fn accept<S: Scheme>(
    roster: &AcceptedRoster<S>,
    (digest, sums): (&Digest, &[Sum<S>]),
    shares: &[Signed<'_>],
) -> Result<Accepted<S>, TranscriptError> {
    let asked = entry::request(roster, sums);
    let accept_one = |(of, holder, share): &Signed<'_>| {
        if share.request != *digest {
            return Err(TranscriptError::OtherRequest((*holder).clone()));
        }
        let accepted = round::accept(roster, (digest, &asked), (*of, holder), share);
        Ok((*of, accepted.ok_or_else(|| TranscriptError::Share((*holder).clone()))?))
    };
    shares.iter().map(accept_one).collect()
}

/// A final listing, after the one before it in the transcript.
fn read_listing<S: Scheme>(
    roster: &AcceptedRoster<S>,
    (message, piece): (&[u8], Piece),
    before: Option<&Listed>,
) -> Result<Listed, TranscriptError> {
    let error = |error| TranscriptError::Listing { piece, error };
    let body: FinalListing = by_collector(roster, piece, message)?;
    let (listing, _) = listing::open_final(roster, &body).map_err(error)?;
    let portion = listing.portion;
    let follows = |before: &Listed| {
        let (step, window) = (before.portion().step, before.portion().window);
        listing.previous == before.digest() && step == portion.step && window < portion.window
    };
    if !before.map_or(listing.previous == Digest::NONE, follows) {
        return Err(TranscriptError::Chain { piece, portion });
    }
    let joined = before.map(Listed::withheld).unwrap_or_default();
    Listed::read(roster, &listing, joined).map_err(error)
}

/// A round whose set and shares verify.
struct Opened<'a, S: Scheme> {
    roster: &'a AcceptedRoster<S>,
    target: Target,
    listed: Option<Listed>,
    /// Whose entries are in the round.
    meters: BTreeSet<&'a MeterId>,
    sums: Vec<Sum<S>>,
    accepted: Accepted<S>,
}

impl<S: Scheme> Opened<'_, S> {
    /// Checks what the results say.
    fn verified(self, told: &[Outcome]) -> Result<Verified, TranscriptError> {
        let (found, expected) = (told.len(), self.sums.len());
        if found != expected {
            return Err(TranscriptError::Results { found, expected });
        }
        let end = self.end(told)?;
        let results = self.results(&end);
        compare(told, &results)?;
        self.check_sums(&end.values)?;
        let contributors = self.meters.into_iter().cloned().collect();
        let sums = results.into_iter().map(VerifiedSum::from).collect();
        Ok(Verified { target: self.target, contributors, helpers: end.helpers, sums })
    }

    /// How the round ended. Who sent a bad share is the collector's word; who
    /// sent none follows from it.
    fn end(&self, told: &[Outcome]) -> Result<Combined, TranscriptError> {
        let culprits: BTreeSet<_> = told.iter().take(1).flat_map(|told| &told.culprits).collect();
        let has_helped = |(of, _): &(Participant, _)| self.accepted.contains_key(of);
        let (helpers, others): (Vec<_>, Vec<_>) = self.roster.participants().partition(has_helped);
        let is_other = |meter: &MeterId| others.iter().any(|(_, other)| *other == meter);
        if let Some(meter) = culprits.iter().find(|meter| !is_other(meter)) {
            return Err(TranscriptError::Culprit((*meter).clone()));
        }
        let unanswered = others.iter().filter(|(_, meter)| !culprits.contains(meter));
        Ok(Combined {
            at: Timestamp(0),
            values: told.iter().map(|told| told.sum_wh).collect(),
            helpers: helpers.into_iter().map(|(_, meter)| meter.clone()).collect(),
            unanswered: unanswered.map(|(_, meter)| (*meter).clone()).collect(),
            culprits: culprits.into_iter().cloned().collect(),
            is_settled: false,
        })
    }

    /// The results that the collector has to publish.
    fn results(&self, end: &Combined) -> Vec<Outcome> {
        let result = |opened| {
            let outcome = round::outcome(self.roster, (self.target, &self.meters), opened, end);
            match &self.listed {
                Some(listed) => round::with_slots(self.roster, listed, outcome),
                None => outcome,
            }
        };
        self.sums.iter().zip(&end.values).map(result).collect()
    }

    /// Checks that there are enough shares, and that each sum is what they
    /// open, and one that can be.
    fn check_sums(&self, values: &[u64]) -> Result<(), TranscriptError> {
        let told = self.sums.iter().map(|sum| sum.aggregate.clone());
        let told: Vec<_> = told.zip(values.iter().copied()).collect();
        let wrong = match self.roster.scheme().opens(&told, &self.accepted) {
            Ok(()) => self.sums.iter().zip(values).position(|(sum, value)| *value > sum.bound),
            Err(CombineError::Wrong(at) | CombineError::OutOfRange(at)) => at.first().copied(),
            Err(CombineError::Missing(_)) => {
                let needed = usize::from(self.roster.scheme().threshold());
                return Err(TranscriptError::TooFewShares { found: self.accepted.len(), needed });
            }
        };
        let wrong = wrong.and_then(|at| Some((self.sums.get(at)?, values.get(at)?)));
        wrong.map_or(Ok(()), |(sum, value)| {
            let (subject, register) = (sum.subject.clone(), sum.register);
            Err(TranscriptError::Sum { subject, register, sum_wh: *value })
        })
    }
}

/// Checks that each result says what follows from the round, but for the value.
fn compare(told: &[Outcome], expected: &[Outcome]) -> Result<(), TranscriptError> {
    for (at, (told, expected)) in (1..).zip(told.iter().zip(expected)) {
        if let Some(field) = differing(told, expected) {
            let (piece, subject) = (Piece::Result(at), expected.subject.clone());
            return Err(TranscriptError::Result {
                piece,
                subject,
                register: expected.register,
                field,
            });
        }
    }
    Ok(())
}

/// The first field in which two results differ, but for the value.
fn differing(told: &Outcome, expected: &Outcome) -> Option<&'static str> {
    let fields = [
        ("subject", told.subject == expected.subject),
        ("register", told.register == expected.register),
        ("first slot", told.first_slot == expected.first_slot),
        ("number of slots", told.slots == expected.slots),
        ("list of contributors", told.contributors == expected.contributors),
        ("list of uncounted members", told.uncounted == expected.uncounted),
        ("tariff step", told.step == expected.step),
        ("list of uncounted slots", told.uncounted_slots == expected.uncounted_slots),
        ("list of withheld slots", told.withheld_slots == expected.withheld_slots),
        ("list of joined slots", told.joined_slots == expected.joined_slots),
        ("list of helpers", told.helpers == expected.helpers),
        ("list of unanswered holders", told.unanswered == expected.unanswered),
        ("list of culprits", told.culprits == expected.culprits),
    ];
    fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
}

fn by_collector<S: Scheme, M: Message>(
    roster: &AcceptedRoster<S>,
    piece: Piece,
    message: &[u8],
) -> Result<M, TranscriptError> {
    let opened = Envelope::parse(message).and_then(|of| roster.open_from_collector(&of));
    opened.map_err(rejected(piece))
}

fn rejected(piece: Piece) -> impl Fn(Rejection) -> TranscriptError {
    move |error| TranscriptError::Rejected { piece, error }
}

impl From<Outcome> for VerifiedSum {
    fn from(result: Outcome) -> Self {
        let Outcome { subject, register, slots, sum_wh, .. } = result;
        Self { subject, register, slots, sum_wh }
    }
}
