//! Contributions, and whole answers to requests.

use super::{Figure, figure, parts};

/// Members of the region that answers are measured in, and what opens a sum.
const MEMBERS: usize = 200;
const THRESHOLD: usize = 134;
const WINDOW_SLOTS: usize = 96;

const ADDITION: &str = "addition";

pub(super) fn figures() -> Vec<Figure> {
    vec![contribution(), together(), one_by_one(), region(), bills(), collector(), transcript()]
}

fn contribution() -> Figure {
    let parts = parts("contribution")
        .with(3, "multiple of G", "fixed-base")
        .with(1, "multiple of Y by its table", "key-table")
        .with(1, ADDITION, "add")
        .with(3, "encoding of a point", "compress")
        .with(1, "Ed25519 signature", "sign");
    Figure {
        ratio_max: Some(1.25),
        ..figure(
            "one contribution for one register: encrypt, prove, sign, encode",
            "contribution/whole",
            parts.all(),
            "two transcripts, random numbers, statement and message in CBOR",
        )
    }
}

fn together() -> Figure {
    let parts = parts("verification").checks(MEMBERS).with(2 * MEMBERS, ADDITION, "add");
    Figure {
        per: MEMBERS as f64,
        ratio_max: Some(1.25),
        rate_min: Some(12_000.0),
        ..figure(
            "verify and fold one contribution, in batches of 200",
            "verification/batch-200",
            parts.all(),
            "message and statement in CBOR, read and written again for its one encoding, the \
             transcript",
        )
    }
}

fn one_by_one() -> Figure {
    let parts = parts("verification").checks_one_by_one(MEMBERS);
    Figure {
        per: MEMBERS as f64,
        ..figure(
            "verify and fold one contribution, one by one as they come in",
            "verification/one-by-one-200",
            parts.with(2 * MEMBERS, ADDITION, "add").all(),
            "as in batches",
        )
    }
}

fn region() -> Figure {
    Figure {
        ratio_max: Some(1.3),
        ..figure(
            "a holder's whole answer to a region request of 200 contributions",
            "guard/region-200",
            parts("guard").checks(MEMBERS).all(),
            "all messages in CBOR, read and written again for their one encoding, the transcripts, \
             the sum, its share, the record of the answer, and the signed share",
        )
    }
}

fn bills() -> Figure {
    Figure {
        time_max_ms: Some(25.0),
        ..figure(
            "a holder's whole answer to a request for the bills of 200 meters",
            "guard/bills-200",
            parts("guard").checks(MEMBERS).ask(MEMBERS).respond(MEMBERS).all(),
            "as with a region request, and the search for a slot of the window that does not \
             list everybody",
        )
    }
}

fn collector() -> Figure {
    let parts = parts("bills")
        .checks_one_by_one(MEMBERS)
        .with(2 * MEMBERS * WINDOW_SLOTS, ADDITION, "add")
        .with(THRESHOLD, "strict check of an Ed25519 signature", "verify-strict")
        .ask(MEMBERS)
        .accept(THRESHOLD, MEMBERS)
        .with(MEMBERS, "134 points with Lagrange's factors", "interpolation-134")
        .decode(MEMBERS)
        .with(MEMBERS, "Ed25519 signature", "sign");
    Figure {
        time_max_ms: Some(1000.0),
        ..figure(
            "the collector's whole round of bills of 200 meters over 96 slots, with the shares \
             of 134 holders",
            "bills/collector-200",
            parts.all(),
            "the search of all slots for a member that is not counted, once for each claim; all \
             messages in CBOR, read and written again for their one encoding, the transcripts, \
             the records, and the results with their JSON views",
        )
    }
}

fn transcript() -> Figure {
    let parts = parts("transcript")
        .checks(MEMBERS)
        .with(THRESHOLD, "strict check of an Ed25519 signature", "verify-strict")
        .with(1, "strict check of an Ed25519 signature on the request", "verify-request")
        .with(1, "strict check of an Ed25519 signature", "verify-strict")
        .ask(1)
        .accept(THRESHOLD, 1)
        .with(2 * MEMBERS, ADDITION, "add")
        .with(1, "134 points with Lagrange's factors", "interpolation-134")
        .with(1, "multiple of G", "fixed-base");
    Figure {
        ratio_max: Some(1.3),
        ..figure(
            "the sums of 200 meters found again from a round's transcript, with the shares of \
             134 holders",
            "transcript/region-200",
            parts.all(),
            "all messages in CBOR, read and written again for their one encoding, the digest of \
             the request, the transcripts of the proofs, Lagrange's factors",
        )
    }
}
