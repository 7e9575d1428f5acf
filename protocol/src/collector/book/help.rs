//! Shares and refusals, and the sums that come of them.

use aggregation::Scheme;

use crate::entry::EntryError;
use crate::envelope::Envelope;
use crate::id::MeterId;
use crate::message::{Refusal, Share, Subject, Target};
use crate::output::Event;
use crate::record::{Change, Key, Part};
use crate::round::{Help, ShareError};
use crate::slot::Timestamp;

use super::super::Core;
use super::{Book, persist};

impl<S: Scheme> Book<S> {
    pub(in crate::collector) fn handle_share(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), EntryError> {
        let (holder, share): (MeterId, Share) = self.roster.open_from_member(envelope)?;
        let asked = self.rounds.iter_mut().find(|(_, round)| round.asked(&share.request));
        let Some((target, round)) = asked else { return Ok(()) };
        let target = *target;
        let taken = round.take(&self.roster, &holder, &share);
        let key = |part| Key::round(self.roster.epoch(), target, &part);
        match taken {
            Ok(Help::Accepted) | Err(ShareError::Bad) => {
                let key = key(Part::Share(holder.clone()));
                persist(core, Change::Write(key, envelope.to_bytes().into()));
            }
            Ok(Help::Noted) => {
                let key = key(Part::Late(holder.clone()));
                persist(core, Change::Write(key, Vec::new().into()));
            }
            Ok(Help::Known) | Err(ShareError::BadAgain | ShareError::NotAsked) => {}
        }
        match taken {
            Ok(Help::Accepted) => self.combine(core, target, now),
            Err(ShareError::Bad | ShareError::BadAgain) => {
                core.event(Event::BadShare { holder, target });
            }
            _ => {}
        }
        Ok(())
    }

    pub(in crate::collector) fn handle_refusal(
        &mut self,
        core: &mut Core<S>,
        envelope: &Envelope,
    ) -> Result<(), EntryError> {
        let (holder, refusal): (MeterId, Refusal) = self.roster.open_from_member(envelope)?;
        let asked = self.rounds.values().any(|round| round.asked(&refusal.request));
        if asked || self.is_published(&refusal.request) {
            let reason = refusal.reason.chars().filter(char::is_ascii_graphic).take(32).collect();
            core.event(Event::HolderRefused { holder, reason });
        }
        Ok(())
    }

    /// Opens the sums of a round if enough holders have helped.
    pub(super) fn combine(&mut self, core: &mut Core<S>, target: Target, now: Timestamp) {
        let Some(round) = self.rounds.get_mut(&target) else { return };
        let forecasts = &self.forecasts;
        let forecast = |subject: &Subject, register| {
            forecasts.get(&(subject.clone(), register)).copied().unwrap_or(0)
        };
        let counted = round.meters().count();
        match round.combine(&self.roster, &core.decoder, forecast, now) {
            None => {}
            Some(Ok(())) => {
                let told = self.told(core, target, now);
                self.keep_end(core, target);
                self.keep_results(core, target, &told);
                core.event(Event::Combined { target, counted });
                self.publish_outcomes(core, told);
                self.publish_status(core, target);
            }
            Some(Err(error)) => {
                self.abandon(core, target, error.to_string(), now);
                self.challenge_behind(core, target, &error, now);
            }
        }
        // The last round of a portion may have ended.
        self.publish_listings(core, now);
    }

    /// Why a round is given up that had too little help.
    pub(super) fn too_little_help(&self, target: Target) -> String {
        let round = self.rounds.get(&target);
        let (found, missing) = round.map_or_else(Default::default, |r| r.help(&self.roster));
        let needed = self.roster.scheme().threshold();
        format!(
            "{found} of at least {needed} holders helped in time: waiting for {}",
            few(&missing)
        )
    }
}

/// The first names of a list, and how many more there are.
fn few(meters: &[MeterId]) -> String {
    const NAMES: usize = 3;
    let names: Vec<_> = meters.iter().take(NAMES).map(MeterId::as_str).collect();
    match meters.len().saturating_sub(NAMES) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
