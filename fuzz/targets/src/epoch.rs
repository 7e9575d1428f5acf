//! What an epoch hangs on: the roster off the broker, and the key share off
//! the meter's own disk.

use aggregation::{ElGamal, Rng};
use protocol::envelope::Envelope;
use protocol::id::{Digest, RegionId, Sender};
use protocol::identity::{Identity, IdentityKey};
use protocol::keygen::Candidate;
use protocol::message::{KeyPart, Kind, Member, Roster};
use protocol::meter::Meter;
use protocol::parameters::{Floors, Threshold, ThresholdRule};
use protocol::record::{Key, Records};
use protocol::roster::{AcceptedRoster, OwnShare, OwnTerms, RosterError, digest};
use protocol::slot::Window;
use rand::SeedableRng as _;

use crate::street::{self, EPOCH, METER, NOW, REGISTRAR, key, region, stranger};

/// The body of a roster, signed by the registrar of its region.
pub fn roster(body: &[u8]) -> bool {
    let draft = street::unsigned(Kind::Roster, &Sender::Registrar, body);
    let Ok(envelope) = Envelope::parse(&draft) else { return false };
    let Ok(read) = envelope.peek::<Roster>() else { return false };
    let header = (Kind::Roster, &Sender::Registrar);
    let message = street::signed(&REGISTRAR, header, &Digest::NONE, body);
    let registrar = key(&REGISTRAR);
    let signed = AcceptedRoster::<ElGamal>::signed_digest(&message, &region(), &registrar);
    assert_eq!(signed, Ok(digest(&region(), EPOCH, &read)));
    is_refused(&message, &street::other_region(), &registrar);
    is_refused(&message, &region(), &stranger());
    let Ok(roster) = AcceptedRoster::<ElGamal>::open(&message, &region(), &registrar) else {
        return false;
    };
    assert_eq!(*roster.body(), read);
    assert_eq!(signed.as_ref(), Ok(roster.digest()));
    names_its_members(&roster);
    cuts_its_time(&roster);
    admits_no_stranger(&roster);
    true
}

fn is_refused(message: &[u8], region: &RegionId, registrar: &IdentityKey) {
    let refused = AcceptedRoster::<ElGamal>::open(message, region, registrar).err();
    assert!(matches!(refused, Some(RosterError::Rejected(_))), "{refused:?}");
}

fn names_its_members(roster: &AcceptedRoster<ElGamal>) {
    let members = &roster.body().members;
    assert!(members.is_sorted_by(|a, b| a.meter < b.meter));
    assert!(members.len() >= roster.parameters().contributors_needed());
    assert_eq!(roster.participants().count(), members.len());
    for (participant, meter) in roster.participants() {
        let found = roster.member(meter).map(|(at, member)| (at, &member.meter));
        assert_eq!(found, Some((participant, meter)));
    }
    assert!(roster.member(&"nobody".parse().unwrap()).is_none());
}

/// The epoch's slots are whole windows, and no instant of them overflows into
/// the past.
fn cuts_its_time(roster: &AcceptedRoster<ElGamal>) {
    let (grid, body) = (roster.grid(), roster.body());
    assert!(roster.covers(body.first_slot) && !roster.covers(body.end_slot));
    assert_eq!(grid.window_of(body.first_slot), Some(Window(0)));
    let slots = body.end_slot.since(body.first_slot).unwrap();
    let last = Window(slots / u64::from(grid.window_slots.get()) - 1);
    assert_eq!(grid.last_slot(last).plus(1), body.end_slot);
    assert!(grid.first_slot(last) >= body.first_slot);
    assert!(roster.slot_closes(body.first_slot) >= grid.end(body.first_slot));
    assert!(grid.window_end(last) >= grid.start(body.first_slot));
}

fn admits_no_stranger(roster: &AcceptedRoster<ElGamal>) {
    let (body, parameters) = (roster.body(), roster.parameters());
    let floors = Floors {
        scheme: parameters.scheme.clone(),
        threshold: ThresholdRule::Count(2),
        min_contributors: parameters.min_contributors,
        max_corrupted: parameters.max_corrupted,
        min_slots: parameters.min_slots,
        slot_seconds: parameters.slot_seconds.get(),
        range_proofs: parameters.range_proofs,
    };
    for member in &body.members {
        let own = OwnTerms {
            meter: &member.meter,
            key: &member.key,
            share: own_share(roster, member),
            invitation: body.invitation,
            previous: body.previous,
            floors: &floors,
        };
        // Only terms that the invitation had pass, and no group but the one
        // that was dealt.
        let checked = roster.check_for_member(&own);
        assert!(
            matches!(checked, Ok(()) | Err(RosterError::Invitation | RosterError::GroupKey)),
            "{checked:?}"
        );
        let other = OwnTerms { key: &stranger(), ..own };
        assert_eq!(roster.check_for_member(&other), Err(RosterError::OwnKey));
    }
}

/// What a member knows of its own key share: the digest of a group that was
/// dealt is not known here.
fn own_share<'a>(roster: &AcceptedRoster<ElGamal>, member: &'a Member) -> OwnShare<'a> {
    match roster.parameters().threshold {
        Threshold::All => OwnShare::Part(&member.part),
        Threshold::Of(_) => {
            OwnShare::Dealt { dealings: roster.body().dealings, group: Digest::NONE }
        }
    }
}

/// A candidate as a meter kept it. What is read is written again in one way,
/// starts a meter, and says what was kept.
pub fn kept(data: &[u8]) -> bool {
    let read = Candidate::<ElGamal>::from_stored(data);
    let (terms, identity) = (street::terms(key(&REGISTRAR)), Identity::from_seed(&METER));
    let records = [(Key::candidate(), data.to_vec().into())].into_iter().collect::<Records>();
    let meter = Meter::<ElGamal>::new(terms, identity, &records, Rng::seed_from_u64(1), NOW);
    assert_eq!(meter.is_ok(), read.is_ok());
    let (Ok(read), Ok(mut meter)) = (read, meter) else { return false };
    assert_eq!(**read.to_stored(), *data);
    let message = read.part_message(&Identity::from_seed(&METER));
    if let Ok(envelope) = Envelope::parse(&message) {
        let sent = envelope.open::<KeyPart>(&key(&METER), &read.place().binding).unwrap();
        assert_eq!(sent.part, read.part());
    }
    assert!(!read.messages(&Identity::from_seed(&METER)).is_empty());
    meter.handle_connected(NOW);
    if let Some(due) = meter.poll_timeout() {
        meter.handle_timeout(due);
    }
    while meter.poll_output().is_some() {}
    true
}
