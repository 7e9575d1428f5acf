//! The group of a roster: its key, computed anew, and every public share.

use aggregation::{Canonical as _, Context, Scheme};

use crate::id::{Epoch, RegionId};
use crate::message::Roster;
use crate::parameters::{Threshold, check};
use crate::statement::Place;

use super::RosterError;

pub(super) fn group<S: Scheme>(
    body: &Roster,
    region: &RegionId,
    epoch: Epoch,
) -> Result<S, RosterError> {
    let named = &body.parameters.scheme;
    check(named == S::NAME, "scheme", named, &S::NAME)?;
    if let Threshold::Of(threshold) = body.parameters.threshold {
        return dealt_group(body, threshold);
    }
    let place = Place { region: region.clone(), epoch, binding: body.invitation };
    let mut parts = Vec::with_capacity(body.members.len());
    for member in &body.members {
        let part = S::KeyPart::from_bytes(&member.part)
            .ok()
            .filter(|part| S::verify_key_part(part, Context(&place.key_part(&member.meter))));
        parts.push(part.ok_or_else(|| RosterError::KeyPart(member.meter.clone()))?);
    }
    let scheme = S::group(&parts).map_err(|_| RosterError::GroupKey)?;
    if scheme.group_key() == *body.group_key { Ok(scheme) } else { Err(RosterError::GroupKey) }
}

/// Whether key and public shares fit each other. Whether their secrets are the
/// members' alone only those know who saw the dealings.
fn dealt_group<S: Scheme>(body: &Roster, threshold: u16) -> Result<S, RosterError> {
    let shares: Vec<_> = body.members.iter().map(|member| member.part.as_slice()).collect();
    S::named_group(threshold, &body.group_key, &shares).map_err(|_| RosterError::GroupKey)
}
