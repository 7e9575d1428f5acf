//! Range proofs.

use super::{Figure, figure, parts};

/// Readings that are checked together.
const READINGS: usize = 256;

/// Bits of a number, numbers that one proof covers, and the most that a reading
/// may cost who checks it, in milliseconds.
const SHAPES: [(usize, usize, Option<f64>); 4] =
    [(16, 1, Some(0.2)), (16, 4, Some(0.08)), (32, 1, None), (32, 4, None)];

pub(super) fn figures() -> Vec<Figure> {
    let makers = SHAPES.map(|(bits, numbers, _)| prove(bits, numbers));
    let checkers = SHAPES.map(|(bits, numbers, most)| verify(bits, numbers, most));
    makers.into_iter().chain(checkers).collect()
}

fn of_numbers(bits: usize, numbers: usize) -> String {
    let numbers = if numbers == 1 { "one number".to_owned() } else { format!("{numbers} numbers") };
    format!("{numbers} of {bits} bits")
}

fn prove(bits: usize, numbers: usize) -> Figure {
    let parts = parts("ranges")
        .with(1, "proof of range alone", &format!("bulletproof-{bits}x{numbers}"))
        .with(2, "multiple of G", "fixed-base")
        .with(1, "multiple of Y by its table", "key-table")
        .with(2 * numbers + 2, "encoding of a point", "compress");
    figure(
        format!("prove the range of {}", of_numbers(bits, numbers)),
        format!("ranges/prove-{bits}x{numbers}"),
        parts.all(),
        "the transcript and random numbers",
    )
}

fn verify(bits: usize, numbers: usize, time_max_ms: Option<f64>) -> Figure {
    let proofs = READINGS / numbers;
    let all = format!("{proofs} proofs of range alone");
    let links = format!("multiplication of {} points", 2 * READINGS + 2 * proofs + 2);
    let parts = parts("ranges")
        .with(1, all, &format!("bulletproofs-{bits}x{numbers}-{proofs}"))
        .with(1, links, &format!("links-{numbers}-{proofs}"))
        .with(2 * proofs, "decoding of a point", "decompress");
    Figure {
        per: READINGS as f64,
        time_max_ms,
        ..figure(
            format!(
                "check the range of one reading, in batches of {proofs} proofs of {}",
                of_numbers(bits, numbers)
            ),
            format!("ranges/verify-{bits}x{numbers}-{proofs}"),
            parts.all(),
            "two transcripts for each proof, the weights",
        )
    }
}
