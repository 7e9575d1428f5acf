//! An attempt of a ceremony: its number, its age, and who is left out of it.

use std::collections::BTreeMap;

use aggregation::Scheme;

use crate::id::{Digest, Epoch, MeterId};
use crate::keygen::Conviction;
use crate::message::{Invitation, Invited};
use crate::output::Event;

use super::super::Core;

/// Attempts that may have begun since the copy was made that a collector was
/// restored from. Members answer none before their latest.
const SINCE_COPY: u32 = 1000;

/// Since when an attempt may be known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It may have begun before this start. What candidates said in it then may
    /// be about messages that are forgotten.
    Older,
    Newer,
}

impl Age {
    /// That of an attempt that begins now: under the same number another one
    /// may have begun after the copy was made.
    pub(super) fn of_new<S: Scheme>(core: &Core<S>) -> Self {
        if core.is_copy { Self::Older } else { Self::Newer }
    }
}

/// A number of attempt, who is left out of it, and since when it may be known.
pub(super) type Attempt = (u32, BTreeMap<MeterId, Conviction>, Age);

/// The number of the attempt after one.
pub(super) fn after<S: Scheme>(core: &Core<S>, attempt: u32) -> u32 {
    let lost = if core.is_copy { SINCE_COPY } else { 0 };
    attempt.saturating_add(1).saturating_add(lost)
}

pub(super) fn can_open<S: Scheme>(core: &Core<S>, members: usize) -> bool {
    core.terms.parameters_for(members).check(members).is_ok()
}

/// Who is left out of an epoch from the first attempt on. Where too few would
/// be left, nobody is: who lied is asked again only if nobody else can take its
/// place.
pub(super) fn left_out<S: Scheme>(
    core: &mut Core<S>,
    epoch: Epoch,
) -> BTreeMap<MeterId, Conviction> {
    let left_out = core.left_out();
    if !can_open(core, members(core, &left_out).count()) {
        return BTreeMap::new();
    }
    for (meter, conviction) in &left_out {
        let (meter, conviction) = (meter.clone(), *conviction);
        core.event(Event::LeftOut { epoch, meter, conviction });
    }
    left_out
}

pub(super) fn members<'a, S: Scheme>(
    core: &'a Core<S>,
    left_out: &'a BTreeMap<MeterId, Conviction>,
) -> impl Iterator<Item = &'a Invited> {
    core.terms.members.iter().filter(|member| !left_out.contains_key(&member.meter))
}

pub(super) fn invitation<S: Scheme>(
    core: &Core<S>,
    (previous, attempt): (Digest, u32),
    left_out: &BTreeMap<MeterId, Conviction>,
) -> Invitation {
    let members: Vec<_> = members(core, left_out).cloned().collect();
    let parameters = core.terms.parameters_for(members.len());
    Invitation { previous, attempt, collector: core.identity.key(), parameters, members }
}
