//! Shares, what becomes of them, and numbers from points.

use super::{Figure, figure, parts};

/// How many sums there are to share.
const SUMS: [usize; 3] = [1, 100, 1000];

/// How many holders there are to combine.
const HOLDERS: [usize; 3] = [10, 50, 200];

pub(super) fn figures() -> Vec<Figure> {
    let shares = SUMS.map(share).into_iter().chain(SUMS.map(accept));
    shares.chain(HOLDERS.map(combine)).chain([near(), far(), table()]).collect()
}

fn of_sums(sums: usize) -> String {
    if sums == 1 { "1 sum".to_owned() } else { format!("{sums} sums") }
}

fn share(sums: usize) -> Figure {
    figure(
        format!("a holder's share of {}", of_sums(sums)),
        format!("share/share-{sums}"),
        parts("share").respond(sums).all(),
        "the transcript and random numbers",
    )
}

fn accept(sums: usize) -> Figure {
    figure(
        format!("the collector's check of a share of {}", of_sums(sums)),
        format!("share/accept-{sums}"),
        parts("share").accept(1, sums).all(),
        "the transcript",
    )
}

fn combine(holders: usize) -> Figure {
    figure(
        format!("combine the shares of {holders} holders and decode with a forecast"),
        format!("combine/combine-{holders}"),
        parts("combine").with(holders + 5, "addition", "add").decode(1).all(),
        "the comparison of what was asked with what was answered",
    )
}

fn near() -> Figure {
    Figure {
        per: 16.0,
        ..figure(
            "decode a sum below 2^32 with a forecast",
            "decode/forecast-16",
            parts("decode").decode(16).with(64, "addition", "add").all(),
            "the look into the table",
        )
    }
}

fn far() -> Figure {
    let parts = parts("decode")
        .with(32, "multiple of G", "fixed-base")
        .with(32_768, "addition", "add")
        .with(128, "encoding of 256 points", "compress-batch-256");
    Figure {
        per: 16.0,
        ..figure(
            "decode a sum below 2^32 without a forecast",
            "decode/no-forecast-16",
            parts.all(),
            "the look into the table for each of 2,048 steps on average, and the unused rest of \
             the last batch",
        )
    }
}

fn table() -> Figure {
    let parts = parts("decode").with(1_048_576, "addition", "add").with(
        4096,
        "encoding of 256 points",
        "compress-batch-256",
    );
    figure(
        "build the table of 2^20 entries",
        "decode/table-20",
        parts.all(),
        "the entries, written all over 16 MiB",
    )
}
