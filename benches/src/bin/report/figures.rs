//! What is on the page: every figure with its parts and its target.

mod attendance;
mod ceremony;
mod ranges;
mod rounds;
mod sums;

/// A figure beside its parts.
pub(crate) struct Figure {
    pub(crate) title: String,
    /// Where criterion put it.
    pub(crate) id: String,
    /// What is done so often in one iteration.
    pub(crate) per: f64,
    pub(crate) parts: Vec<Part>,
    /// What else there is to do.
    pub(crate) rest: &'static str,
    pub(crate) ratio_max: Option<f64>,
    pub(crate) rate_min: Option<f64>,
    pub(crate) time_max_ms: Option<f64>,
}

/// A part, and how often an iteration of the figure has it.
pub(crate) struct Part {
    pub(crate) count: f64,
    pub(crate) title: String,
    pub(crate) id: String,
}

/// Every figure of ours.
pub(crate) fn figures() -> Vec<Figure> {
    let all = [
        rounds::figures(),
        attendance::figures(),
        sums::figures(),
        ranges::figures(),
        ceremony::figures(),
    ];
    all.into_iter().flatten().collect()
}

pub(crate) use ceremony::{CEREMONIES, Ceremony};

/// A figure of one thing in each iteration, without a target.
fn figure(
    title: impl Into<String>,
    id: impl Into<String>,
    parts: Vec<Part>,
    rest: &'static str,
) -> Figure {
    let (title, id) = (title.into(), id.into());
    let (ratio_max, rate_min, time_max_ms) = (None, None, None);
    Figure { title, id, per: 1.0, parts, rest, ratio_max, rate_min, time_max_ms }
}

/// The parts of a benchmark's group, each as often as an iteration has it.
struct Parts {
    group: &'static str,
    parts: Vec<Part>,
}

fn parts(group: &'static str) -> Parts {
    Parts { group, parts: Vec::new() }
}

impl Parts {
    fn with(mut self, count: usize, title: impl Into<String>, id: &str) -> Self {
        let (count, id) = (count as f64, format!("{}/{id}", self.group));
        match self.parts.iter_mut().find(|part| part.id == id) {
            Some(known) => known.count += count,
            None => self.parts.push(Part { count, title: title.into(), id }),
        }
        self
    }

    /// Points that are decoded, strictly checked signatures, and what checks
    /// the proofs in one batch, of so many contributions or claims.
    fn checks(self, count: usize) -> Self {
        self.with(3 * count, "decoding of a point", "decompress")
            .with(count, "strict check of an Ed25519 signature", "verify-strict")
            .with(
                1,
                format!("multiplication of {} points", 2 * count + 1),
                &format!("batch-check-{count}"),
            )
    }

    /// The same where they come in one at a time.
    fn checks_one_by_one(self, count: usize) -> Self {
        self.with(3 * count, "decoding of a point", "decompress")
            .with(count, "strict check of an Ed25519 signature", "verify-strict")
            .with(count, "multiples of two points", "double-base")
    }

    /// What is asked of all holders about so many sums.
    fn ask(self, sums: usize) -> Self {
        self.with(sums, "encoding of a point", "compress")
    }

    /// A holder's shares of so many sums that it is asked about.
    fn respond(self, sums: usize) -> Self {
        self.with(sums + 1, "multiple of a point", "variable-base")
            .with(1, "multiple of G", "fixed-base")
            .with(sums + 2, "encoding of a point", "compress")
            .with(1, weighted(sums), &format!("combination-{sums}"))
    }

    /// The checks of so many holders' shares of so many sums that they are
    /// asked about.
    fn accept(self, holders: usize, sums: usize) -> Self {
        self.with(holders * sums, "decoding of a point", "decompress")
            .with(2 * holders, "encoding of a point", "compress")
            .with(2 * holders, weighted(sums), &format!("combination-{sums}"))
            .with(2 * holders, "multiples of two points", "double-base")
    }

    /// So many sums decoded near their forecasts.
    fn decode(self, sums: usize) -> Self {
        self.with(2 * sums, "multiple of G", "fixed-base").with(
            sums,
            "encoding of 4 points",
            "compress-batch-4",
        )
    }

    fn all(self) -> Vec<Part> {
        self.parts
    }
}

fn weighted(points: usize) -> String {
    match points {
        1 => "weighted point".to_owned(),
        _ => format!("{points} weighted points"),
    }
}
