//! The sorts of records.

macro_rules! sorts {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a record holds. The numbers stand on disks and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Sort { $($(#[$doc])* $name = $number,)* }

        impl Sort {
            /// Every sort.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

sorts! {
    /// A meter's state in the ceremony that opens the next epoch. Secret.
    Candidate = 1,
    /// A meter's key share of an epoch. Secret.
    KeyShare = 2,
    /// The signed roster of an epoch.
    Roster = 3,
    /// How far a meter's ledger reaches, whatever was erased since.
    Mark = 4,
    /// A contribution with what it takes to claim it. Secret.
    Sent = 5,
    /// What a holder answered for a slot.
    Answer = 6,
    /// What a holder answered for the bills of a portion.
    Bill = 7,
    /// A meter's claim to a portion.
    Claim = 8,
    /// Two signed statements that exclude each other.
    Evidence = 9,
    /// A contribution that a collector has taken.
    Counted = 10,
    /// A claim that a collector has taken.
    Claimed = 11,
    /// The transcript of a round of a slot that a collector has closed.
    SlotRound = 12,
    /// The transcript of a round of a portion that a collector has closed.
    BillRound = 13,
    /// A collector's state in the ceremony that opens the next epoch.
    Ceremony = 14,
    /// A listing of a portion: one that a holder has endorsed, or the one that
    /// a collector has published.
    Listing = 15,
    /// A final listing of a portion.
    Final = 16,
    /// Energy of a meter that waits to be counted. Secret.
    Pool = 17,
    /// What a meter measured while it contributed nothing. Secret.
    Gap = 18,
    /// What the registers of a meter's source showed when it gave energy last.
    /// Secret.
    Stand = 19,
    /// The signed roster of an epoch that is over, for those who check its
    /// transcripts.
    PastRoster = 20,
    /// What a collector has challenged a member to prove of a portion.
    Challenge = 21,
    /// That a member has not proved what a collector asked it to.
    Unproven = 22,
    /// Slots in which a meter may have contributed what its disk has lost.
    Doubt = 23,
    /// What final listings made of a meter's contributions to a portion.
    Standings = 24,
    /// What the contributions of each member to a portion add up to so far.
    Snapshot = 25,
}

impl Sort {
    /// The number that stands for the sort.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The sort of a number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|sort| sort.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sort_reads_back_from_its_number() {
        for sort in Sort::ALL {
            assert_eq!(Sort::of(sort.number()), Some(*sort));
        }
        assert_eq!(Sort::of(0), None);
    }
}
