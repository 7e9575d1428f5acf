//! What the collector passes on of what the candidates said.

use aggregation::Scheme;
use serde_bytes::ByteBuf;

use crate::envelope::MESSAGE_MAX;
use crate::identity::Identity;
use crate::message::Dealings;

use super::super::error::Step;
use super::Ceremony;

impl<S: Scheme> Ceremony<S> {
    /// What is passed on to all in this step, each message as the collector
    /// signs it, and nothing before the second one. `whole` adds what was
    /// passed on in the step before.
    #[must_use]
    pub fn passed_on(&self, identity: &Identity, whole: bool) -> Vec<Vec<u8>> {
        let step = self.step();
        let mut messages = Vec::new();
        if step == Step::Dealings || step > Step::Dealings && whole {
            messages.push(self.seal(identity, &self.key_parts()));
        }
        if step > Step::Dealings {
            let bundles = self.bundles();
            messages.extend(bundles.iter().map(|bundle| self.seal(identity, bundle)));
        }
        messages
    }

    /// The dealings, as many to a message as fit into half of the longest one.
    fn bundles(&self) -> Vec<Dealings> {
        let mut bundles: Vec<Dealings> = Vec::new();
        let mut room = 0;
        for (at, (_, message)) in (0..).zip(self.dealings.values()) {
            if room < message.len() {
                room = MESSAGE_MAX / 2;
                bundles.push(Dealings { first: at, messages: Vec::new() });
            }
            room = room.saturating_sub(message.len());
            if let Some(bundle) = bundles.last_mut() {
                bundle.messages.push(ByteBuf::from(message.clone()));
            }
        }
        bundles
    }
}
