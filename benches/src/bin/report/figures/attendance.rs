//! Which slots of a month may be billed.

use super::{Figure, figure, parts};

const SLOTS: usize = 2976;
const MIN_SLOTS: usize = 10;

pub(super) fn figures() -> Vec<Figure> {
    // A slot is compared with so many others at least, or with all of them.
    let (least, most) = (SLOTS * (MIN_SLOTS - 1), SLOTS * (SLOTS - 1));
    let dropouts = "where 1 % are missing and 10 slots make a bill";
    let worst = "where 30 % are missing and 1,933 slots make a bill";
    vec![
        open(dropouts, "attendance/dropouts-2976", least),
        open(worst, "attendance/worst-2976", most),
    ]
}

fn open(what: &str, id: &str, comparisons: usize) -> Figure {
    Figure {
        time_max_ms: Some(1000.0),
        ..figure(
            format!("the slots that may be billed, of 2,976 with 200 members, {what}"),
            id,
            parts("attendance")
                .with(comparisons, "count of the members that two slots share", "common-200")
                .all(),
            "what counts the partners of each member of each slot",
        )
    }
}
