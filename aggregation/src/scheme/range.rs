//! Where sums lie when they are opened, and where hidden numbers are proved to
//! lie.

use std::fmt::{self, Debug, Formatter};

use super::Context;

/// Where the plaintext of a sum may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The largest possible sum.
    pub bound: u64,
    /// Where to look first; clamped to `bound`.
    pub forecast: u64,
}

/// One contribution as its contributor knows it. Its Debug shows nothing.
pub struct Hidden<'a, R> {
    /// What the contribution is about.
    pub context: Context<'a>,
    /// What was kept of it.
    pub retained: &'a R,
    /// The number that it hides.
    pub plaintext: u64,
}

impl<R> Debug for Hidden<'_, R> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

/// Contributions of one contributor beside the proof that none of them hides a
/// number above `max`.
#[derive(Clone, Copy, Debug)]
pub struct Ranged<'a, C, P> {
    /// In the order in which they were proved, each with what it is about.
    pub contributions: &'a [(Context<'a>, &'a C)],
    /// The largest number: 2^16 − 1 or 2^32 − 1.
    pub max: u32,
    /// The proof.
    pub proof: &'a P,
}

/// How many bits a number has whose range can be proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Bits16,
    Bits32,
}

impl Width {
    pub(crate) fn bits(self) -> usize {
        match self {
            Self::Bits16 => 16,
            Self::Bits32 => 32,
        }
    }
}

/// The bits of numbers up to `max`, if one proof can cover `count` of them.
pub(crate) fn provable(max: u32, count: usize) -> Option<Width> {
    let width = match max {
        0xffff => Width::Bits16,
        u32::MAX => Width::Bits32,
        _ => return None,
    };
    matches!(count, 1 | 2 | 4).then_some(width)
}
