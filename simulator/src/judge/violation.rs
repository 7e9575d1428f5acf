//! What counts as a failure.

use protocol::envelope::Rejection;
use protocol::id::{Epoch, MeterId};
use protocol::listing::ListingError;
use protocol::portion::Portion;
use protocol::reading::Register;
use protocol::roster::RosterError;
use protocol::slot::Slot;
use thiserror::Error;

use crate::plan::{Party, StartError};

/// The failure conditions. None of them may ever hold, whatever the faults.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs)] // Each condition's sentence stands beside it.
pub enum Violation {
    #[error(
        "the sum of slot {slot}, {register}, is {said} Wh and its contributors read {truth} Wh"
    )]
    RegionSum { slot: Slot, register: Register, said: u64, truth: u64 },
    #[error(
        "the bill of {meter} from slot {first_slot} on, {register}, is {said} Wh and it read {truth} Wh"
    )]
    Bill { meter: MeterId, first_slot: Slot, register: Register, said: u64, truth: u64 },
    #[error("slot {0} was published twice, with two results")]
    TwoResults(Slot),
    #[error("contributors and uncounted members of slot {0} are not the members")]
    Members(Slot),
    #[error("slot {slot} was opened with {found} contributors of at least {needed}")]
    TooFewContributors { slot: Slot, found: usize, needed: usize },
    #[error("the slots of a bill from slot {0} on are not those of a window, or too few")]
    Span(Slot),
    #[error("the bill of {meter} covers slot {slot}, whose result does not count it")]
    Disagreement { meter: MeterId, slot: Slot },
    #[error("the listing of {portion} cannot be read: {error}")]
    Listing { portion: Portion, error: ListingError },
    #[error("what was published as a final listing: {0}")]
    NotFinal(ListingError),
    #[error("two rosters of epoch {0}")]
    TwoRosters(Epoch),
    #[error("two final listings of {0}")]
    TwoListings(Portion),
    #[error("slot {0} is listed with another set than its result")]
    Listed(Slot),
    #[error(
        "{meter} measured {measured} Wh of {register}, and {found} Wh of it are counted or wait"
    )]
    Energy { meter: MeterId, register: Register, measured: u64, found: u64 },
    #[error("the sum from slot {slot} on was opened by {found} of at least {needed} holders")]
    TooFewHelpers { slot: Slot, found: usize, needed: usize },
    #[error("helpers, unanswered and culprits of slot {0} are not the members")]
    Holders(Slot),
    #[error("{meter} has a receipt that it is on time in slot {slot}, and its set is without it")]
    Lost { meter: MeterId, slot: Slot },
    #[error("the collector asks for help with two sets of slot {0}")]
    TwoRequests(Slot),
    #[error("{holder} helped to open two sets of slot {slot}")]
    TwoSets { holder: MeterId, slot: Slot },
    #[error("a result of epoch {epoch} begins with slot {slot}, which lies outside it")]
    OutsideEpoch { epoch: Epoch, slot: Slot },
    #[error("{meter} encrypted slot {slot} twice")]
    EncryptedTwice { meter: MeterId, slot: Slot },
    #[error("{0} helped with a request that was never made")]
    NotAsked(Party),
    #[error("what {party} published cannot be read: {rejection}")]
    Unreadable { party: Party, rejection: Rejection },
    #[error("what the collector published as a roster: {0}")]
    Roster(#[from] RosterError),
    #[error("{0} has done what is due and wants to be woken at once, for ever")]
    Spinning(Party),
    #[error("no epoch within {} s of the start", crate::world::OPENING.as_secs())]
    NotOpened,
    #[error("{party} does not start: {error}")]
    NotStarted { party: Party, error: Box<StartError> },
    #[error("no epoch of all meters within {0} s after all faults")]
    NoEpoch(u64),
    #[error("slot {0} ended after all faults, and no sum of all who can contribute is published")]
    Unopened(Slot),
    #[error("{portion} of epoch {epoch} ended after all faults, and no final listing is published")]
    Unlisted { epoch: Epoch, portion: Portion },
    #[error(
        "{meter} has no bill of the window from slot {first_slot} on, which ended after all faults"
    )]
    Unbilled { meter: MeterId, first_slot: Slot },
    #[error("slot {0} is neither opened nor abandoned with a reason")]
    Unspoken(Slot),
}
