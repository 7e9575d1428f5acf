//! A set of members of one roster, as a bit map.

use aggregation::Participant;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The bytes that hold a bit for every [`Participant`].
const BYTES_MAX: usize = (u16::MAX as usize + 1) / 8;

/// Members by their position in the group: bit `i % 8` of byte `i / 8` stands
/// for participant `i`. Trailing zero bytes are left out, so that each set has
/// one encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "ByteBuf", into = "ByteBuf")]
pub struct MemberSet(Vec<u8>);

impl MemberSet {
    /// Adds a member.
    pub fn insert(&mut self, member: Participant) {
        let byte = usize::from(member.0 / 8);
        if self.0.len() <= byte {
            self.0.resize(byte + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(byte) {
            *bits |= 1 << (member.0 % 8);
        }
    }

    /// Whether a member is in the set.
    #[must_use]
    pub fn contains(&self, member: Participant) -> bool {
        let bits = self.0.get(usize::from(member.0 / 8)).copied().unwrap_or(0);
        bits & (1 << (member.0 % 8)) != 0
    }

    /// How many members are in the set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words().map(size).sum()
    }

    /// How many members are in both sets.
    #[must_use]
    pub fn common(&self, other: &Self) -> usize {
        self.words().zip(other.words()).map(|(own, other)| size(own & other)).sum()
    }

    /// The members in rising order.
    pub fn iter(&self) -> impl Iterator<Item = Participant> + '_ {
        (0..).zip(&self.0).flat_map(|(byte, bits)| {
            let members = (0..8).filter(move |bit| bits & (1 << bit) != 0);
            members.map(move |bit| Participant(byte * 8 + bit))
        })
    }

    /// Whether every member's position lies below `members`.
    #[must_use]
    pub fn fits(&self, members: usize) -> bool {
        self.iter().all(|member| usize::from(member.0) < members)
    }

    /// The same bits, 64 at a time.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let (whole, rest) = self.0.as_chunks();
        let last = (!rest.is_empty()).then(|| {
            let shifted = rest.iter().rev();
            shifted.fold(0, |word, bits| word << 8 | u64::from(*bits))
        });
        whole.iter().map(|word| u64::from_le_bytes(*word)).chain(last)
    }
}

fn size(word: u64) -> usize {
    word.count_ones() as usize
}

impl FromIterator<Participant> for MemberSet {
    fn from_iter<I: IntoIterator<Item = Participant>>(members: I) -> Self {
        let mut set = Self::default();
        members.into_iter().for_each(|member| set.insert(member));
        set
    }
}

impl TryFrom<ByteBuf> for MemberSet {
    type Error = &'static str;
    fn try_from(bytes: ByteBuf) -> Result<Self, Self::Error> {
        match bytes.last() {
            Some(0) => Err("a member set ends in a byte that is not zero"),
            _ if bytes.len() > BYTES_MAX => Err("a member set has at most 65536 members"),
            _ => Ok(Self(bytes.into_vec())),
        }
    }
}

impl From<MemberSet> for ByteBuf {
    fn from(set: MemberSet) -> Self {
        Self::from(set.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(members: &BTreeSet<u16>) -> MemberSet {
        members.iter().copied().map(Participant).collect()
    }

    proptest! {
        #[test]
        fn a_member_set_holds_what_was_put_in(members: BTreeSet<u16>, other: u16) {
            let set = set(&members);
            prop_assert_eq!(set.iter().map(|member| member.0).collect::<BTreeSet<_>>(), members.clone());
            prop_assert_eq!(set.count(), members.len());
            prop_assert_eq!(set.contains(Participant(other)), members.contains(&other));
            prop_assert_eq!(MemberSet::try_from(Into::<ByteBuf>::into(set.clone())), Ok(set));
        }

        #[test]
        fn two_sets_have_in_common_who_is_in_both(
            one in prop::collection::btree_set(0_u16..200, 0..150),
            other in prop::collection::btree_set(0_u16..200, 0..150),
        ) {
            prop_assert_eq!(set(&one).common(&set(&other)), one.intersection(&other).count());
        }

        #[test]
        fn a_set_fits_members_beyond_its_last(members: BTreeSet<u16>) {
            let least = members.last().map_or(0, |last| usize::from(*last) + 1);
            prop_assert!(set(&members).fits(least));
            prop_assert!(least == 0 || !set(&members).fits(least - 1));
        }
    }

    #[test]
    fn a_member_set_has_one_encoding() {
        assert!(MemberSet::try_from(ByteBuf::from(vec![1, 0])).is_err());
        assert_eq!(MemberSet::try_from(ByteBuf::from(vec![])), Ok(MemberSet::default()));
    }

    #[test]
    fn a_member_set_holds_no_position_that_no_participant_has() {
        let last: MemberSet = [Participant(u16::MAX)].into_iter().collect();
        assert_eq!(MemberSet::try_from(ByteBuf::from(last.0.clone())), Ok(last));
        assert!(MemberSet::try_from(ByteBuf::from(vec![1; BYTES_MAX + 1])).is_err());
    }
}
