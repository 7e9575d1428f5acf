//! Small discrete logarithms: m from mG by baby steps and giant steps.
//!
//! Shanks, "Class number, a theory of factorization, and genera", 1971; the
//! truncated table is that of Bernstein, Lange, "Computing small discrete
//! logarithms faster", INDOCRYPT 2012, section 2. The sum that comes out is
//! what the round publishes, so everything here takes variable time.

use std::iter;

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;

use crate::scheme::Range;

/// Compressing in batches shares one field inversion; beyond this size that
/// saves nothing more.
const LARGEST_BATCH: usize = 256;

/// Enough giant steps for a forecast that is off by less than a table.
const FIRST_BATCH: usize = 4;

/// The encodings of 2jG for j below 2^bits, cut to 32 bits each.
///
/// A batch of points is doubled before it is compressed (Hamburg's trick in
/// `double_and_compress_batch`), hence 2jG instead of jG. A cut encoding may
/// match by accident, so that every match is verified by a multiplication.
pub struct Table {
    bits: u32,
    /// 2^bits G.
    stride: RistrettoPoint,
    /// Open addressing with linear probing, half full.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    index: u32,
}

impl Slot {
    /// No table is so large that it uses this index.
    const EMPTY: Self = Self { tag: 0, index: u32::MAX };

    fn is_empty(self) -> bool {
        self.index == u32::MAX
    }
}

impl Table {
    /// For sums up to 2^32: 16 MiB, about a second to build, a few
    /// milliseconds for the farthest sum.
    pub const DEFAULT_BITS: u32 = 20;

    /// Builds a table of 2^`bits` entries of 16 bytes; `bits` is clamped to
    /// 4..=24. The work for a sum that is as far as `d` from its forecast is
    /// about `d` / 2^`bits` steps of 1 µs, twice that if it may lie on either
    /// side.
    #[must_use]
    pub fn new(bits: u32) -> Self {
        let bits = bits.clamp(4, 24);
        let stride = RistrettoPoint::mul_base(&Scalar::from(1_u64 << bits));
        let mut table = Self { bits, stride, slots: vec![Slot::EMPTY; 2 << bits] };
        let mut multiples = iter::successors(Some(RistrettoPoint::identity()), |point| {
            Some(point + RISTRETTO_BASEPOINT_POINT)
        });
        let mut indices = 0..1_u32 << bits;
        while !indices.is_empty() {
            let batch: Vec<_> = multiples.by_ref().take(LARGEST_BATCH).collect();
            let encodings = RistrettoPoint::double_and_compress_batch(&batch);
            for (encoding, index) in encodings.iter().zip(indices.by_ref()) {
                table.insert(encoding, index);
            }
        }
        table
    }

    /// The m with `point` = mG, if it lies in 0..=`range.bound`.
    ///
    /// Looks around the forecast first, then ever farther away until all of
    /// the range is covered.
    #[must_use]
    pub fn decode(&self, point: &RistrettoPoint, range: Range) -> Option<u64> {
        let mut steps = GiantSteps::new(point, range, self);
        let mut size = FIRST_BATCH;
        loop {
            let (blocks, points): (Vec<_>, Vec<_>) = steps.by_ref().take(size).unzip();
            if blocks.is_empty() {
                return None;
            }
            let encodings = RistrettoPoint::double_and_compress_batch(&points);
            let mut hits = blocks.into_iter().zip(&encodings);
            if let Some(found) = hits.find_map(|(block, hit)| self.verified(block, hit, point)) {
                return (found <= range.bound).then_some(found);
            }
            size = (2 * size).min(LARGEST_BATCH);
        }
    }

    fn verified(
        &self,
        block: u64,
        encoding: &CompressedRistretto,
        point: &RistrettoPoint,
    ) -> Option<u64> {
        self.matches(encoding)
            .map(|index| (block << self.bits) | u64::from(index))
            .find(|candidate| RistrettoPoint::mul_base(&Scalar::from(*candidate)) == *point)
    }

    fn matches(&self, encoding: &CompressedRistretto) -> impl Iterator<Item = u32> {
        let (start, tag) = self.place(encoding);
        (start..self.slots.len())
            .chain(0..start)
            .map_while(|at| self.slots.get(at).copied())
            .take_while(|slot| !slot.is_empty())
            .filter(move |slot| slot.tag == tag)
            .map(|slot| slot.index)
    }

    fn insert(&mut self, encoding: &CompressedRistretto, index: u32) {
        let (start, tag) = self.place(encoding);
        let (before, after) = self.slots.split_at_mut(start);
        if let Some(free) = after.iter_mut().chain(before).find(|slot| slot.is_empty()) {
            *free = Slot { tag, index };
        }
    }

    /// Where to look for an encoding first, and what to find there.
    fn place(&self, encoding: &CompressedRistretto) -> (usize, u32) {
        let [p0, p1, p2, p3, t0, t1, t2, t3, ..] = encoding.to_bytes();
        let start = u32::from_le_bytes([p0, p1, p2, p3]) >> (31 - self.bits);
        (start as usize, u32::from_le_bytes([t0, t1, t2, t3]))
    }
}

/// The blocks of 2^bits numbers that a range consists of, each with the point
/// moved by the start of the block, alternating outwards from the forecast.
struct GiantSteps {
    up: Option<(u64, RistrettoPoint)>,
    down: Option<(u64, RistrettoPoint)>,
    last: u64,
    stride: RistrettoPoint,
    upwards: bool,
}

impl GiantSteps {
    fn new(point: &RistrettoPoint, range: Range, table: &Table) -> Self {
        let Table { bits, stride, .. } = *table;
        let first = range.forecast.min(range.bound) >> bits;
        let start = point - RistrettoPoint::mul_base(&Scalar::from(first << bits));
        Self {
            up: Some((first, start)),
            down: first.checked_sub(1).map(|block| (block, start + stride)),
            last: range.bound >> bits,
            stride,
            upwards: false,
        }
    }

    fn step_up(&mut self) -> Option<(u64, RistrettoPoint)> {
        let (block, point) = self.up.take()?;
        self.up = (block < self.last).then(|| (block + 1, point - self.stride));
        Some((block, point))
    }

    fn step_down(&mut self) -> Option<(u64, RistrettoPoint)> {
        let (block, point) = self.down.take()?;
        self.down = block.checked_sub(1).map(|below| (below, point + self.stride));
        Some((block, point))
    }
}

impl Iterator for GiantSteps {
    type Item = (u64, RistrettoPoint);

    fn next(&mut self) -> Option<Self::Item> {
        self.upwards = !self.upwards;
        if self.upwards {
            self.step_up().or_else(|| self.step_down())
        } else {
            self.step_down().or_else(|| self.step_up())
        }
    }
}
