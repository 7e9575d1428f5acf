//! What others need for the same work, and what they give for it.

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
        what: "ElGamal over ristretto255, a threshold of holders needed; proof of knowledge, \
               signature, encoding; no proof of range",
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
