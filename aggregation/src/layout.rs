//! How dealings of every scheme are laid out: number of commitments (2 bytes,
//! big-endian), commitments (32 bytes each), proof (64), dealer key (32),
//! sealed shares (48 each). What is left at the end tells how many they are.

use crate::scheme::DecodeError;

/// The fields of a dealing, undecoded. `fixed` is A, z, D.
pub(crate) struct Fields<'a> {
    pub(crate) commitments: &'a [[u8; 32]],
    pub(crate) fixed: &'a [[u8; 32]; 3],
    pub(crate) shares: &'a [[u8; 48]],
}

impl<'a> Fields<'a> {
    pub(crate) fn split(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let found = bytes.len();
        let length = |expected| DecodeError::Length { expected, found };
        let (count, rest) = bytes.split_first_chunk().ok_or(length(98))?;
        let committed = 32 * usize::from(u16::from_be_bytes(*count));
        let expected = 98 + committed;
        let (commitments, rest) = rest.split_at_checked(committed).ok_or(length(expected))?;
        let (fixed, shares) = rest.split_first_chunk::<96>().ok_or(length(expected))?;
        let (commitments, _) = commitments.as_chunks();
        let (fixed, _) = fixed.as_chunks();
        let fixed = fixed.first_chunk().ok_or(length(expected))?;
        match shares.as_chunks() {
            (shares, []) => Ok(Self { commitments, fixed, shares }),
            (whole, _) => Err(length(expected + 48 * whole.len())),
        }
    }

    pub(crate) fn join(&self) -> Vec<u8> {
        let count = u16::try_from(self.commitments.len()).unwrap_or(u16::MAX).to_be_bytes();
        let commitments = self.commitments.as_flattened();
        [&count, commitments, self.fixed.as_flattened(), self.shares.as_flattened()].concat()
    }
}
