//! The ceremony that opens an epoch.

use super::{Figure, Parts, figure, parts};

/// A region whose ceremony is measured.
#[derive(Clone, Copy)]
pub(crate) struct Ceremony {
    pub(crate) members: usize,
    pub(crate) threshold: usize,
}

/// Two thirds of the members, rounded up, open a sum.
pub(crate) const CEREMONIES: [Ceremony; 3] = [
    Ceremony { members: 10, threshold: 7 },
    Ceremony { members: 50, threshold: 34 },
    Ceremony { members: 200, threshold: 134 },
];

const SIGNATURE: &str = "strict check of an Ed25519 signature";
const LONG: &str = "strict check of the signature of a dealing";

pub(super) fn figures() -> Vec<Figure> {
    let all = |of: Ceremony| [of.deal(), of.receive(), of.collector()];
    CEREMONIES.into_iter().flat_map(all).collect()
}

impl Ceremony {
    fn deal(self) -> Figure {
        let Self { members, threshold } = self;
        let parts = self.key_parts(parts("ceremony"));
        let parts = parts
            .with(threshold + 2, "multiple of G", "fixed-base")
            .with(threshold + 2 + members, "encoding of a point", "compress")
            .with(members, "multiple of a point", "variable-base");
        figure(
            format!("a member of {members} checks all key parts and deals"),
            format!("ceremony/deal-{members}"),
            parts.all(),
            "the values of the polynomial, ciphers, transcripts, all messages in CBOR",
        )
    }

    fn receive(self) -> Figure {
        let Self { members, .. } = self;
        let parts = self.dealings(parts("ceremony"));
        let parts = parts.with(members, "multiple of a point", "variable-base").with(
            members,
            "encoding of a point",
            "compress",
        );
        figure(
            format!("a member of {members} checks all dealings, takes its share and joins"),
            format!("ceremony/receive-{members}"),
            self.group(parts).all(),
            "digests, ciphers, transcripts, all messages in CBOR",
        )
    }

    fn collector(self) -> Figure {
        let Self { members, .. } = self;
        let parts = self.dealings(self.key_parts(parts("ceremony")));
        let parts = parts.with(members, SIGNATURE, "verify-strict");
        figure(
            format!("the collector's whole ceremony of {members} members"),
            format!("ceremony/collector-{members}"),
            self.group(parts).all(),
            "the digest of all dealings, once for each confirmation; transcripts, all messages \
             in CBOR",
        )
    }

    /// Everybody's key part with its proof.
    fn key_parts(self, parts: Parts) -> Parts {
        parts.checks_of(self.members, 2, (SIGNATURE, "verify-strict"))
    }

    /// Everybody's dealing with its proof: the commitments, the dealer's key,
    /// and the nonce are points.
    fn dealings(self, parts: Parts) -> Parts {
        let Self { members, threshold } = self;
        parts
            .checks_of(members, threshold + 2, (LONG, &format!("verify-dealing-{members}")))
            .with(members, "multiple of a point", "variable-base")
            .with(members, "encoding of a point", "compress")
    }

    /// The sum of all dealings, and its value at the place of every member:
    /// factors of 1, 2, 3, ... by doubling and adding; then the check that the
    /// roster's keys are such values. Both make a group with its table.
    fn group(self, parts: Parts) -> Parts {
        let Self { members, threshold } = self;
        let bits = |place: usize| (place.ilog2() + place.count_ones()) as usize;
        let places: usize = (1..=members).map(bits).sum();
        let keys = members + 1;
        parts
            .with(threshold * (members + places), "addition", "add")
            .with(keys, "encoding of a point", "compress")
            .with(keys, "decoding of a point", "decompress")
            .with(1, format!("multiplication of {keys} points"), &format!("interpolation-{keys}"))
            .with(2, "table of Y", "table")
    }
}

impl Parts {
    fn checks_of(self, messages: usize, points: usize, (title, signature): (&str, &str)) -> Self {
        self.with(messages * points, "decoding of a point", "decompress")
            .with(messages, title, signature)
            .with(messages, "multiples of two points", "double-base")
    }
}
