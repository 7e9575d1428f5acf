//! Fewer operations that fail in the same way.

use crate::judge::Violation;
use crate::operation::Step;
use crate::world::Failure;

/// How often the world is played again at most.
const TRIES: usize = 100;

/// Drops operations, in halves, quarters and so on to single ones, as long as a
/// failure of the same sort is left. `fails` plays steps.
#[must_use]
pub fn shrink(
    steps: Vec<Step>,
    failure: Failure,
    fails: impl Fn(&[Step]) -> Option<Failure>,
) -> (Vec<Step>, Failure) {
    let (mut steps, mut failure) = (steps, failure);
    steps.truncate(failure.operation);
    let mut size = steps.len().div_ceil(2);
    let mut tries = 0;
    while size > 0 {
        let mut at = 0;
        while at < steps.len() && tries < TRIES {
            tries += 1;
            let mut fewer = steps.clone();
            fewer.drain(at..steps.len().min(at + size));
            match fails(&fewer) {
                Some(found) if is_same(&found.violation, &failure.violation) => {
                    (steps, failure) = (fewer, found);
                }
                _ => at += size,
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    (steps, failure)
}

fn is_same(a: &Violation, b: &Violation) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}
