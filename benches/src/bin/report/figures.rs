//! What is on the page: every figure with its parts and its target.

/// A figure beside its parts.
pub(crate) struct Figure {
    pub(crate) title: &'static str,
    /// Where criterion put it.
    pub(crate) id: &'static str,
    /// What is done so often in one iteration.
    pub(crate) per: f64,
    pub(crate) parts: &'static [Part],
    /// What else there is to do.
    pub(crate) rest: &'static str,
    pub(crate) ratio_max: Option<f64>,
    pub(crate) rate_min: Option<f64>,
}

/// A part, and how often an iteration of the figure has it.
pub(crate) struct Part {
    pub(crate) count: f64,
    pub(crate) title: &'static str,
    pub(crate) id: &'static str,
}

const fn part(count: f64, title: &'static str, id: &'static str) -> Part {
    Part { count, title, id }
}

/// A figure of one thing in each iteration, without a target.
const fn figure(
    title: &'static str,
    id: &'static str,
    parts: &'static [Part],
    rest: &'static str,
) -> Figure {
    Figure { title, id, per: 1.0, parts, rest, ratio_max: None, rate_min: None }
}

const SHARE_REST: &str = "the transcript and random numbers";
const ACCEPT_REST: &str = "the transcript";
const COMBINE_REST: &str = "the comparison of what was asked with what was answered";

pub(crate) const FIGURES: &[Figure] = &[
    Figure {
        ratio_max: Some(1.25),
        ..figure(
            "one contribution for one register: encrypt, prove, sign, encode",
            "contribution/whole",
            &[
                part(3.0, "multiple of G", "contribution/fixed-base"),
                part(1.0, "multiple of Y by its table", "contribution/key-table"),
                part(1.0, "addition", "contribution/add"),
                part(3.0, "encoding of a point", "contribution/compress"),
                part(1.0, "Ed25519 signature", "contribution/sign"),
            ],
            "two transcripts, random numbers, statement and message in CBOR",
        )
    },
    Figure {
        per: 200.0,
        ratio_max: Some(1.25),
        rate_min: Some(12_000.0),
        ..figure(
            "verify and fold one contribution, in batches of 200",
            "verification/batch-200",
            &[
                part(600.0, "decoding of a point", "verification/decompress"),
                part(200.0, "strict check of an Ed25519 signature", "verification/verify-strict"),
                part(1.0, "multiplication of 401 points", "verification/batch-check-200"),
                part(400.0, "addition", "verification/add"),
            ],
            "message and statement in CBOR, read and written again for its one encoding, the \
             transcript",
        )
    },
    Figure {
        per: 200.0,
        ..figure(
            "verify and fold one contribution, one by one as they come in",
            "verification/one-by-one-200",
            &[
                part(600.0, "decoding of a point", "verification/decompress"),
                part(200.0, "strict check of an Ed25519 signature", "verification/verify-strict"),
                part(200.0, "multiples of two points", "verification/double-base"),
                part(400.0, "addition", "verification/add"),
            ],
            "as in batches",
        )
    },
    figure(
        "a holder's share of 1 sum",
        "share/share-1",
        &[
            part(2.0, "multiple of a point", "share/variable-base"),
            part(1.0, "multiple of G", "share/fixed-base"),
            part(4.0, "encoding of a point", "share/compress"),
            part(1.0, "weighted point", "share/combination-1"),
        ],
        SHARE_REST,
    ),
    figure(
        "a holder's shares of 100 sums",
        "share/share-100",
        &[
            part(101.0, "multiple of a point", "share/variable-base"),
            part(1.0, "multiple of G", "share/fixed-base"),
            part(202.0, "encoding of a point", "share/compress"),
            part(1.0, "100 weighted points", "share/combination-100"),
        ],
        SHARE_REST,
    ),
    figure(
        "a holder's shares of 1000 sums",
        "share/share-1000",
        &[
            part(1001.0, "multiple of a point", "share/variable-base"),
            part(1.0, "multiple of G", "share/fixed-base"),
            part(2002.0, "encoding of a point", "share/compress"),
            part(1.0, "1000 weighted points", "share/combination-1000"),
        ],
        SHARE_REST,
    ),
    figure(
        "the collector's check of a share of 1 sum",
        "share/accept-1",
        &[
            part(1.0, "decoding of a point", "share/decompress"),
            part(3.0, "encoding of a point", "share/compress"),
            part(2.0, "weighted point", "share/combination-1"),
            part(2.0, "multiples of two points", "share/double-base"),
        ],
        ACCEPT_REST,
    ),
    figure(
        "the collector's check of shares of 100 sums",
        "share/accept-100",
        &[
            part(100.0, "decoding of a point", "share/decompress"),
            part(102.0, "encoding of a point", "share/compress"),
            part(2.0, "100 weighted points", "share/combination-100"),
            part(2.0, "multiples of two points", "share/double-base"),
        ],
        ACCEPT_REST,
    ),
    figure(
        "the collector's check of shares of 1000 sums",
        "share/accept-1000",
        &[
            part(1000.0, "decoding of a point", "share/decompress"),
            part(1002.0, "encoding of a point", "share/compress"),
            part(2.0, "1000 weighted points", "share/combination-1000"),
            part(2.0, "multiples of two points", "share/double-base"),
        ],
        ACCEPT_REST,
    ),
    figure(
        "combine the shares of 10 holders and decode with a forecast",
        "combine/combine-10",
        &[
            part(15.0, "addition", "combine/add"),
            part(2.0, "multiple of G", "combine/fixed-base"),
            part(1.0, "encoding of 4 points", "combine/compress-batch-4"),
        ],
        COMBINE_REST,
    ),
    figure(
        "combine the shares of 50 holders and decode with a forecast",
        "combine/combine-50",
        &[
            part(55.0, "addition", "combine/add"),
            part(2.0, "multiple of G", "combine/fixed-base"),
            part(1.0, "encoding of 4 points", "combine/compress-batch-4"),
        ],
        COMBINE_REST,
    ),
    figure(
        "combine the shares of 200 holders and decode with a forecast",
        "combine/combine-200",
        &[
            part(205.0, "addition", "combine/add"),
            part(2.0, "multiple of G", "combine/fixed-base"),
            part(1.0, "encoding of 4 points", "combine/compress-batch-4"),
        ],
        COMBINE_REST,
    ),
    Figure {
        per: 16.0,
        ..figure(
            "decode a sum below 2^32 with a forecast",
            "decode/forecast-16",
            &[
                part(32.0, "multiple of G", "decode/fixed-base"),
                part(64.0, "addition", "decode/add"),
                part(16.0, "encoding of 4 points", "decode/compress-batch-4"),
            ],
            "the look into the table",
        )
    },
    Figure {
        per: 16.0,
        ..figure(
            "decode a sum below 2^32 without a forecast",
            "decode/no-forecast-16",
            &[
                part(32.0, "multiple of G", "decode/fixed-base"),
                part(32_768.0, "addition", "decode/add"),
                part(128.0, "encoding of 256 points", "decode/compress-batch-256"),
            ],
            "the look into the table for each of 2,048 steps on average, and the unused rest of \
             the last batch",
        )
    },
    figure(
        "build the table of 2^20 entries",
        "decode/table-20",
        &[
            part(1_048_576.0, "addition", "decode/add"),
            part(4096.0, "encoding of 256 points", "decode/compress-batch-256"),
        ],
        "the entries, written all over 16 MiB",
    ),
];

/// The same work by another library.
pub(crate) struct Rival {
    pub(crate) library: &'static str,
    /// Where a Python library's results are.
    pub(crate) file: Option<&'static str>,
    /// What a reading costs its sender, what it costs its receiver, and help
    /// with one sum, each divided by a number.
    pub(crate) ids: [(&'static str, f64); 3],
    pub(crate) what: &'static str,
}

pub(crate) const OTHERS: &[Rival] = &[
    Rival {
        library: "hushgrid",
        file: None,
        ids: [
            ("contribution/whole", 1.0),
            ("verification/batch-200", 200.0),
            ("share/share-1", 1.0),
        ],
        what: "ElGamal over ristretto255, every holder needed; proof of knowledge, signature, \
               encoding; no proof of range",
    },
    Rival {
        library: "elastic-elgamal 0.4.0-beta.1",
        file: None,
        ids: [
            ("elastic-elgamal/encrypt", 1.0),
            ("elastic-elgamal/add", 1.0),
            ("elastic-elgamal/share", 1.0),
        ],
        what: "ElGamal over ristretto255, shared key; no proof, no signature; the receiver \
               decodes and adds",
    },
    Rival {
        library: "elastic-elgamal 0.4.0-beta.1, range below 2^16",
        file: None,
        ids: [
            ("elastic-elgamal/encrypt-range", 1.0),
            ("elastic-elgamal/verify-range-and-add", 1.0),
            ("elastic-elgamal/share", 1.0),
        ],
        what: "the same with a proof of range for every reading; no signature",
    },
    Rival {
        library: "prio 0.18, Prio3Sum of 16 bits",
        file: None,
        ids: [("prio/shard", 1.0), ("prio/both-aggregators", 1.0), ("prio/unshard", 1.0)],
        what: "two aggregators, both counted, of which one must be honest; proof of range; no \
               encryption of the shares, no signature",
    },
    Rival {
        library: "petlib",
        file: Some("petlib.json"),
        ids: [("encrypt", 1.0), ("read-and-add", 1.0), ("decrypt", 1.0)],
        what: "ElGamal over P-256 in OpenSSL from Python, one key; no proof, no signature; the \
               help is the whole decryption",
    },
    Rival {
        library: "python-paillier with gmpy2",
        file: Some("phe.json"),
        ids: [("encrypt", 1.0), ("read-and-add", 1.0), ("decrypt", 1.0)],
        what: "Paillier of 128-bit strength from Python, one key; no proof, no signature; the \
               help is the whole decryption",
    },
];
