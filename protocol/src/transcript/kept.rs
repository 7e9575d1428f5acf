//! Transcripts in what a collector has kept.

use crate::envelope::{Envelope, Rejection};
use crate::id::{Digest, Epoch};
use crate::listing::{self, StoredFinal};
use crate::message::{FinalListing, Listing, Target};
use crate::portion::Portion;
use crate::record::{Key, Part, Records, Sort, Unreadable, read};
use crate::round::Ended;
use crate::slot::Slot;

use super::{ByteBuf, Transcript};

/// The rounds whose sums were opened, with their epochs, by the records of how
/// rounds ended.
pub fn combined(records: &Records) -> impl Iterator<Item = (Epoch, Target)> {
    let rounds = records.of(Sort::SlotRound).chain(records.of(Sort::BillRound));
    let ends = rounds.filter(|(key, _)| key.part() == Some(Part::End));
    let opened = ends.filter(|(key, end)| matches!(read(key, end), Ok(Ended::Combined(_))));
    opened.filter_map(|(key, _)| {
        let target = match key.sort {
            Sort::SlotRound => Target::Region(Slot(key.position)),
            _ => Target::Bill(key.portion()?),
        };
        Some((key.epoch, target))
    })
}

/// The transcript of a round; none if its results are not kept.
///
/// # Errors
/// The record that is not what was written, or is not there.
pub fn of(
    records: &Records,
    epoch: Epoch,
    target: Target,
) -> Result<Option<Transcript>, Unreadable> {
    let part = |part: &Part| {
        let key = Key::round(epoch, target, part);
        let bytes = records.get(&key).ok_or(Unreadable::from(&key));
        (key, bytes)
    };
    let (key, Ok(results)) = part(&Part::Results) else { return Ok(None) };
    let results = read(&key, results)?;
    let (key, end) = part(&Part::End);
    let Ended::Combined(end) = read(&key, end?)? else { return Err((&key).into()) };
    let share = |holder| part(&Part::Share(holder)).1.map(ByteBuf::from);
    let shares = end.helpers.into_iter().map(share).collect::<Result<_, _>>()?;
    let listings = match target {
        Target::Region(_) => Vec::new(),
        Target::Bill(portion) => listings(records, epoch, portion)?,
    };
    let request = ByteBuf::from(part(&Part::Request).1?);
    Ok(Some(Transcript { listings, request, shares, results }))
}

/// The final listing of a portion, and before it those from which slots have
/// joined it.
fn listings(records: &Records, epoch: Epoch, portion: Portion) -> Result<Vec<ByteBuf>, Unreadable> {
    let finals = records.within(Sort::Final, epoch);
    let finals = finals.filter(|(key, _)| {
        key.portion().is_some_and(|of| of.step == portion.step && of.window <= portion.window)
    });
    let finals: Vec<_> = finals.collect();
    let mut wanted = None;
    let mut found = Vec::new();
    for (key, bytes) in finals.into_iter().rev() {
        let StoredFinal { message, .. } = read(key, bytes)?;
        let listing = listing_in(&message).map_err(|_| Unreadable::from(key))?;
        if wanted.is_none_or(|wanted| wanted == listing::digest(&listing)) {
            found.insert(0, message);
            if listing.previous == Digest::NONE {
                return Ok(found);
            }
            wanted = Some(listing.previous);
        }
    }
    Err((&Key::final_listing(epoch, portion)).into())
}

fn listing_in(message: &[u8]) -> Result<Listing, Rejection> {
    let body: FinalListing = Envelope::parse(message)?.peek()?;
    Envelope::parse(&body.listing)?.peek()
}
