//! Spans of a cycle as people write them: `mon-fri 07:00-22:00`.

use std::num::NonZeroU32;

use thiserror::Error;

use super::WEEK_S;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_S: u32 = 86_400;

/// A text that names no times.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("times `{text}`: {wrong}")]
pub struct TimesError {
    /// The text.
    pub text: String,
    /// What is wrong with it, and what would be accepted.
    pub wrong: String,
}

/// The spans of a step in seconds of the cycle, in order, those that touch
/// joined. Times are UTC. In a cycle of a week a text is `mon-fri 07:00-22:00`,
/// `sun 00:00-24:00`, or `07:00-22:00` for every day; in any other it is a time
/// since the cycle began: `00:00:30-00:01:00`. A span that ends before it
/// begins ends in the day, or the cycle, after.
///
/// # Errors
/// The first text that names no times.
pub fn read_times<T: AsRef<str>>(
    texts: &[T],
    cycle_s: NonZeroU32,
) -> Result<Vec<(u32, u32)>, TimesError> {
    let mut spans = Vec::new();
    for text in texts {
        let text = text.as_ref();
        let read = read(text, cycle_s.get());
        spans.extend(read.map_err(|wrong| TimesError { text: text.to_owned(), wrong })?);
    }
    spans.sort_unstable();
    Ok(joined(spans))
}

/// Texts that [`read_times`] reads as these spans.
#[must_use]
pub fn write_times(spans: &[(u32, u32)], cycle_s: NonZeroU32) -> Vec<String> {
    if cycle_s != WEEK_S {
        return spans.iter().map(|span| clock_span(*span)).collect();
    }
    // The times of a day, with the days that they hold on.
    let mut runs: Vec<((u32, u32), Vec<usize>)> = Vec::new();
    for (day, starts) in (0..).step_by(DAY_S as usize).take(DAYS.len()).enumerate() {
        for &(from, to) in spans.iter().filter(|(from, to)| *from < starts + DAY_S && *to > starts)
        {
            let times = (from.max(starts) - starts, to.min(starts + DAY_S) - starts);
            match runs.iter_mut().find(|(other, days)| *other == times && follows(days, day)) {
                Some((_, days)) => days.push(day),
                None => runs.push((times, vec![day])),
            }
        }
    }
    runs.iter().map(|(times, days)| day_names(days) + &clock_span(*times)).collect()
}

fn follows(days: &[usize], day: usize) -> bool {
    days.last().is_some_and(|last| last + 1 == day)
}

fn day_names(days: &[usize]) -> String {
    let name = |day: Option<&usize>| day.and_then(|day| DAYS.get(*day)).copied().unwrap_or("");
    match days.len() {
        7 => String::new(),
        1 => format!("{} ", name(days.first())),
        _ => format!("{}-{} ", name(days.first()), name(days.last())),
    }
}

fn clock_span((from, to): (u32, u32)) -> String {
    format!("{}-{}", clock(from), clock(to))
}

fn clock(second: u32) -> String {
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    match seconds {
        0 => format!("{hours:02}:{minutes:02}"),
        _ => format!("{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// Spans in order, those that touch made one.
fn joined(spans: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    let mut joined: Vec<(u32, u32)> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => joined.push((from, to)),
        }
    }
    joined
}

fn read(text: &str, cycle_s: u32) -> Result<Vec<(u32, u32)>, String> {
    let is_week = cycle_s == WEEK_S.get();
    let (days, times) = match text.split_once(' ') {
        Some((_, _)) if !is_week => {
            return Err(format!("days are for a cycle of {WEEK_S} s, a week; leave them out"));
        }
        Some((days, times)) => (read_days(days)?, times.trim_start()),
        None if is_week => ((0..7).collect(), text),
        None => (vec![0], text),
    };
    // What recurs: a day of the week, or the cycle.
    let length = if is_week { DAY_S } else { cycle_s };
    let (from, to) = times.split_once('-').ok_or("write FROM-TO, such as 07:00-22:00")?;
    let (from, to) = (read_clock(from, length - 1)?, read_clock(to, length)?);
    if from == to {
        return Err(format!("that is no time; {} is all of it", clock_span((0, length))));
    }
    let lasts = if to > from { to - from } else { to + length - from };
    let spans = days.iter().map(|day| day * length + from).map(|from| (from, from + lasts));
    let cut = |(from, to): (u32, u32)| [(from, to.min(cycle_s)), (0, to.saturating_sub(cycle_s))];
    Ok(spans.flat_map(cut).filter(|(from, to)| from < to).collect())
}

/// The days from the one to the other, also over a Sunday.
fn read_days(text: &str) -> Result<Vec<u32>, String> {
    let read = |day: &str| {
        let day = (0..).zip(DAYS).find(|(_, name)| *name == day).map(|(at, _)| at);
        day.ok_or_else(|| {
            format!("`{text}` are no days: {}, or two of them with a `-`", DAYS.join(", "))
        })
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u32, u32) = (read(first)?, read(last)?);
    Ok((first..=if first <= last { last } else { last + 7 }).map(|day| day % 7).collect())
}

fn read_clock(text: &str, latest: u32) -> Result<u32, String> {
    let wrong = || {
        let latest = clock(latest);
        format!("`{text}` is no time: HH:MM or HH:MM:SS, from 00:00 to {latest}")
    };
    let parts: Vec<_> = text.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes] => (hours, minutes, "00"),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return Err(wrong()),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let number = |part: &str| part.parse().ok().filter(|_| digits(part) && part.len() >= 2);
    let of_60 = |part: &str| number(part).filter(|number| *number < 60 && part.len() == 2);
    let (hours, minutes, seconds): (Option<u32>, _, _) =
        (number(hours).filter(|hours| *hours < 1000), of_60(minutes), of_60(seconds));
    let at = hours.zip(minutes).zip(seconds).map(|((h, m), s)| h * 3600 + m * 60 + s);
    at.filter(|at| *at <= latest).ok_or_else(wrong)
}
