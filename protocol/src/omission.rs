//! Complaints of members that were left out of a set although they were on
//! time. Anyone who has the roster judges one from the complaint, which holds
//! the receipt, and the request.

use aggregation::Scheme;
use thiserror::Error;

use crate::envelope::{Envelope, Rejection};
use crate::id::MeterId;
use crate::message::{Omission, Receipt, Request};
use crate::meter::contribution_digest;
use crate::release;
use crate::roster::AcceptedRoster;
use crate::slot::Slot;

/// Why a complaint shows nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum OmissionError {
    /// Complaint, receipt or request is not what it has to be.
    #[error("not a signed message: {0}")]
    Rejected(#[from] Rejection),
    /// The receipt is another's, of another slot, or says that it was late.
    #[error("the receipt does not say that the contribution was on time")]
    Receipt,
    /// The request is not the one that the complaint names.
    #[error("the complaint is about another request")]
    Request,
    /// The set holds the contribution.
    #[error("the contribution is in the set")]
    Listed,
}

/// Who complains, and about which slot, where the receipt bears it out. Whether
/// the set leaves the contribution out, [`judge`] says.
///
/// # Errors
/// See [`OmissionError`].
pub fn read<S: Scheme>(
    roster: &AcceptedRoster<S>,
    complaint: &Envelope,
) -> Result<(MeterId, Omission), OmissionError> {
    let (meter, body): (MeterId, Omission) = roster.open_from_member(complaint)?;
    let receipt = receipt(roster, &body)?;
    if receipt.meter == meter && receipt.slot == body.slot && receipt.on_time {
        Ok((meter, body))
    } else {
        Err(OmissionError::Receipt)
    }
}

/// Judges a complaint: whom the collector left out of which slot's set.
///
/// # Errors
/// See [`OmissionError`].
pub fn judge<S: Scheme>(
    roster: &AcceptedRoster<S>,
    complaint: &Envelope,
    request: &Envelope,
) -> Result<(MeterId, Slot), OmissionError> {
    let (meter, body) = read(roster, complaint)?;
    let contribution = receipt(roster, &body)?.contribution;
    let request: Request = roster.open_from_collector(request)?;
    match &request {
        _ if release::digest(&request) != body.request => Err(OmissionError::Request),
        Request::Region(slot, set) if *slot == body.slot => {
            let listed = set.iter().any(|entry| contribution_digest(entry) == contribution);
            if listed { Err(OmissionError::Listed) } else { Ok((meter, body.slot)) }
        }
        _ => Err(OmissionError::Request),
    }
}

fn receipt<S: Scheme>(
    roster: &AcceptedRoster<S>,
    body: &Omission,
) -> Result<Receipt, OmissionError> {
    Ok(roster.open_from_collector(&Envelope::parse(&body.receipt)?)?)
}
