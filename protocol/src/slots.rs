//! A set of slots of one window, as a bit map.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Slots by their position in a window: bit `i % 8` of byte `i / 8` stands for
/// position `i`. Trailing zero bytes are left out, so that each set has one
/// encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ByteBuf", into = "ByteBuf")]
pub struct SlotSet(Vec<u8>);

impl SlotSet {
    /// Adds the slot at `position`.
    pub fn insert(&mut self, position: u32) {
        let byte = (position / 8) as usize;
        if self.0.len() <= byte {
            self.0.resize(byte + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(byte) {
            *bits |= 1 << (position % 8);
        }
    }

    /// Whether the slot at `position` is in the set.
    #[must_use]
    pub fn contains(&self, position: u32) -> bool {
        let bits = self.0.get((position / 8) as usize).copied().unwrap_or(0);
        bits & (1 << (position % 8)) != 0
    }

    /// How many slots are in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }

    /// The positions in rising order.
    pub fn positions(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.0).flat_map(|(byte, bits)| {
            (0..8).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| byte * 8 + bit)
        })
    }

    /// Whether every position lies below `slots`.
    #[must_use]
    pub fn fits(&self, slots: u32) -> bool {
        self.positions().all(|position| position < slots)
    }
}

impl FromIterator<u32> for SlotSet {
    fn from_iter<I: IntoIterator<Item = u32>>(positions: I) -> Self {
        let mut set = Self::default();
        positions.into_iter().for_each(|position| set.insert(position));
        set
    }
}

impl TryFrom<ByteBuf> for SlotSet {
    type Error = &'static str;
    fn try_from(bytes: ByteBuf) -> Result<Self, Self::Error> {
        match bytes.last() {
            Some(0) => Err("a slot set ends in a byte that is not zero"),
            _ => Ok(Self(bytes.into_vec())),
        }
    }
}

impl From<SlotSet> for ByteBuf {
    fn from(set: SlotSet) -> Self {
        Self::from(set.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_slot_set_holds_what_was_put_in(positions: BTreeSet<u16>) {
            let positions: BTreeSet<u32> = positions.into_iter().map(u32::from).collect();
            let set: SlotSet = positions.iter().copied().collect();
            prop_assert_eq!(set.positions().collect::<BTreeSet<_>>(), positions.clone());
            prop_assert_eq!(set.count() as usize, positions.len());
            prop_assert_eq!(SlotSet::try_from(Into::<ByteBuf>::into(set.clone())), Ok(set));
        }
    }

    #[test]
    fn a_slot_set_has_one_encoding() {
        assert!(SlotSet::try_from(ByteBuf::from(vec![1, 0])).is_err());
        assert_eq!(SlotSet::try_from(ByteBuf::from(vec![])), Ok(SlotSet::default()));
    }
}
