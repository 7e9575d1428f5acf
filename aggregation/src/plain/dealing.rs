//! Dealings in clear: every share is a digest of the commitments.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::values::{Digest, KeyPart, Secret, exactly};
use super::{Plain, digest};
use crate::layout::Fields;
use crate::scheme::{
    Canonical, Context, DecodeError, GroupError, Participant, Sharing, refuse_impossible,
};

/// Random commitments and the shares that follow from them. As long and laid
/// out as a dealing of [`ElGamal`](crate::ElGamal): number of commitments (2
/// bytes, big-endian), commitments, proof (64), filling (32), shares (48 each).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dealing {
    pub(super) commitments: Vec<Digest>,
    pub(super) proof: [Digest; 2],
    pub(super) shares: Vec<[u8; 48]>,
}

const FILLING: Digest = [0; 32];

impl Canonical for Dealing {
    fn to_bytes(&self) -> Vec<u8> {
        let [a, z] = self.proof;
        let fixed = &[a, z, FILLING];
        Fields { commitments: &self.commitments, fixed, shares: &self.shares }.join()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Fields { commitments, fixed: [a, z, filling], shares } = Fields::split(bytes)?;
        if *filling != FILLING {
            return Err(DecodeError::NotCanonical("filling"));
        }
        Ok(Self { commitments: commitments.to_vec(), proof: [*a, *z], shares: shares.to_vec() })
    }
}

/// What the complainant could say about a dealing. 32 bytes: a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint(pub(super) Digest);

impl Canonical for Complaint {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        exactly(bytes).map(Self)
    }
}

/// Alters the share that a dealing of any scheme holds for one of its
/// recipients, and nothing else, so that it no longer fits. None for a
/// stranger.
#[must_use]
pub fn bend_share<D: Canonical>(dealing: &D, recipients: u16, of: Participant) -> Option<D> {
    let mut bytes = dealing.to_bytes();
    let behind = 48 * usize::from(recipients.checked_sub(of.0)?);
    let share = bytes.len().checked_sub(behind)?;
    *bytes.get_mut(share)? ^= 1;
    D::from_bytes(&bytes).ok()
}

impl Dealing {
    pub(super) fn new(
        sharing: Sharing<'_, KeyPart>,
        dealer: Participant,
        commitments: Vec<Digest>,
        context: Context<'_>,
    ) -> Self {
        let proof = proof(sharing, dealer, &commitments, context);
        let recipients = (0..).map(Participant).take(sharing.parts.len());
        let shares = recipients.map(|of| share(&commitments, of)).collect();
        Self { commitments, proof, shares }
    }

    pub(super) fn verifies(
        &self,
        sharing: Sharing<'_, KeyPart>,
        dealer: Participant,
        context: Context<'_>,
    ) -> bool {
        sharing.is_possible()
            && self.commitments.len() == usize::from(sharing.threshold)
            && self.shares.len() == sharing.parts.len()
            && self.proof == proof(sharing, dealer, &self.commitments, context)
    }

    fn fits(&self, of: Participant) -> bool {
        self.shares.get(usize::from(of.0)) == Some(&share(&self.commitments, of))
    }
}

fn proof(
    sharing: Sharing<'_, KeyPart>,
    dealer: Participant,
    commitments: &[Digest],
    context: Context<'_>,
) -> [Digest; 2] {
    let dealer = dealer.0.to_be_bytes();
    let parts = sharing.parts.iter().map(|part| part.key.as_slice());
    let parts: Digest = digest(b"parts", parts);
    let covered = [context.0, &dealer, &parts, commitments.as_flattened()];
    [digest(b"dealing", covered), digest(b"dealing, again", covered)]
}

fn share(commitments: &[Digest], of: Participant) -> [u8; 48] {
    digest(b"share", [commitments.as_flattened(), &of.0.to_be_bytes()])
}

/// The digest of a participant's shares in order.
fn secret<'a>(shares: impl IntoIterator<Item = &'a [u8; 48]>) -> Zeroizing<Digest> {
    Zeroizing::new(digest(b"secret", shares.into_iter().map(<[u8; 48]>::as_slice)))
}

pub(super) fn receive(
    own: Participant,
    key_secret: &Secret,
    dealings: &[(Context<'_>, &Dealing)],
    complaint_context: impl Fn(Participant) -> Vec<u8>,
) -> Result<Secret, BTreeMap<Participant, Complaint>> {
    let bad = (0..).map(Participant).zip(dealings).filter(|(_, (_, dealing))| !dealing.fits(own));
    let complaints: BTreeMap<_, _> = bad
        .map(|(dealer, _)| {
            let context = complaint_context(dealer);
            (dealer, Complaint::new(&key_secret.key(), (own, dealer), Context(&context)))
        })
        .collect();
    if !complaints.is_empty() || dealings.is_empty() {
        return Err(complaints);
    }
    let shares = dealings.iter().filter_map(|(_, one)| one.shares.get(usize::from(own.0)));
    Ok(Secret(secret(shares)))
}

impl Complaint {
    fn new(
        key: &Digest,
        (complainant, dealer): (Participant, Participant),
        context: Context<'_>,
    ) -> Self {
        let [complainant, dealer] = [complainant, dealer].map(|one| one.0.to_be_bytes());
        Self(digest(b"complaint", [key.as_slice(), &complainant, &dealer, context.0]))
    }

    pub(super) fn convicts(
        &self,
        sharing: Sharing<'_, KeyPart>,
        (complainant, dealer): (Participant, Participant),
        dealing: &Dealing,
        context: Context<'_>,
    ) -> bool {
        let part = sharing.parts.get(usize::from(complainant.0));
        let proven =
            part.is_some_and(|part| *self == Self::new(&part.key, (complainant, dealer), context));
        proven && !dealing.fits(complainant)
    }
}

pub(super) fn shared_group(threshold: u16, dealings: &[Dealing]) -> Result<Plain, GroupError> {
    refuse_impossible(threshold, dealings.len())?;
    let all = || (0..).map(Participant).zip(dealings);
    let size = (usize::from(threshold), dealings.len());
    let odd = all().find(|(_, one)| (one.commitments.len(), one.shares.len()) != size);
    if let Some((dealer, _)) = odd {
        return Err(GroupError::Dealing(dealer));
    }
    let part = |(of, _)| {
        let shares: Vec<_> = dealings.iter().map(|one| share(&one.commitments, of)).collect();
        Secret(secret(&shares)).key()
    };
    Ok(shared(threshold, all().map(part).collect()))
}

pub(super) fn named_group(
    threshold: u16,
    key: &[u8],
    shares: &[impl AsRef<[u8]>],
) -> Result<Plain, GroupError> {
    refuse_impossible(threshold, shares.len())?;
    let key: Digest = exactly(key).map_err(GroupError::Key)?;
    let parts = (0..)
        .map(Participant)
        .zip(shares)
        .map(|(of, share)| exactly(share.as_ref()).map_err(|error| GroupError::Share(of, error)));
    let group = shared(threshold, parts.collect::<Result<_, _>>()?);
    if group.key == key { Ok(group) } else { Err(GroupError::Polynomial) }
}

/// The key follows from the parts, so that no other parts go with it.
fn shared(threshold: u16, parts: Vec<Digest>) -> Plain {
    let size = threshold.to_be_bytes();
    let bound = parts.iter().map(Digest::as_slice);
    let key = digest(b"shared group", std::iter::once(size.as_slice()).chain(bound));
    Plain { parts, key, threshold }
}
