//! What a person or a program is shown.

mod human;
mod json;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use protocol::id::{Epoch, MeterId, RegionId};
use protocol::message::Roster;
use protocol::slot::Grid;
use protocol::topic;

use crate::args::Options;
use crate::balance::Balance;
use crate::billed::Billed;
use crate::tally::{Checked, Counts, Settled};
use crate::transcripts::Audit;
use human::Human;

/// One way of showing a run.
pub(crate) enum Display {
    /// Lines for a person.
    Human(Human),
    /// One JSON object on each line of standard output; what is not part of
    /// them goes to standard error.
    Json,
}

/// What is shown last.
pub(crate) struct Summary {
    pub(crate) counts: Counts,
    pub(crate) took: Duration,
    /// The median and the 99th percentile.
    pub(crate) latencies: Option<(Duration, Duration)>,
    /// The captured meter's bills beside its register.
    pub(crate) billed: Option<Billed>,
    /// The energy of all meters, if it could be weighed.
    pub(crate) balance: Option<Balance>,
    /// The transcripts, if they were to be verified.
    pub(crate) audit: Option<Audit>,
}

impl Display {
    /// The display that the command line asks for.
    pub(crate) fn new(options: &Options) -> Self {
        if options.json {
            return Self::Json;
        }
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::Human(Human::new(options, io::stdout().is_terminal() && !unwanted))
    }

    /// Labels the meter that is a P1 capture.
    pub(crate) fn label(&mut self, captured: MeterId) {
        if let Self::Human(human) = self {
            human.label(captured);
        }
    }

    /// Text beside the results.
    pub(crate) fn note(&self, text: &str) -> io::Result<()> {
        match self {
            Self::Human(_) => print(text),
            Self::Json => writeln!(io::stderr(), "{text}"),
        }
    }

    /// The broker accepts connections.
    pub(crate) fn ready(&self, port: u16, region: &RegionId) -> io::Result<()> {
        if let Self::Json = self {
            print(&json::ready(port))?;
        }
        self.note(&format!("the broker listens on 127.0.0.1:{port}; look for yourself with"))?;
        self.note(&format!("  {}", views_command(port, region)))?;
        self.note(&format!("  {}", decode_command(port, region)))
    }

    /// The first epoch is open.
    pub(crate) fn opened(&self, roster: &Roster) -> io::Result<()> {
        match self {
            Self::Human(human) => print(&human.opened(roster)),
            Self::Json => self.note(&format!("the epoch opens with slot {}", roster.first_slot)),
        }
    }

    /// Another epoch follows, which leaves these meters out.
    pub(crate) fn follows(
        &self,
        (epoch, roster): (Epoch, &Roster),
        left_out: &[&MeterId],
    ) -> io::Result<()> {
        let (first, members) = (roster.first_slot, roster.members.len());
        let threshold = roster.parameters.threshold;
        let names: Vec<_> = left_out.iter().map(|meter| meter.as_str()).collect();
        let without = if names.is_empty() { "" } else { ", without " };
        self.note(&format!(
            "epoch {epoch} follows from slot {first} on: {members} members, threshold \
             {threshold}{without}{}",
            names.join(", ")
        ))
    }

    /// A result beside the truth.
    pub(crate) fn result(&self, checked: &Checked, grid: &Grid) -> io::Result<()> {
        match self {
            Self::Human(human) => human.result(checked, grid).map_or(Ok(()), |text| print(&text)),
            Self::Json => print(&json::result(checked)),
        }
    }

    /// A span with nothing more to come.
    pub(crate) fn settled(&self, settled: &Settled, grid: &Grid) -> io::Result<()> {
        match self {
            Self::Human(human) => human.settled(settled, grid).map_or(Ok(()), |text| print(&text)),
            Self::Json if settled.missing.is_empty() => Ok(()),
            Self::Json => {
                let reason = settled.reason.as_deref().unwrap_or("nothing came in time");
                let missing = settled.missing.len();
                self.note(&format!("{missing} results of {} are missing: {reason}", settled.span))
            }
        }
    }

    /// What the run amounts to.
    pub(crate) fn summary(&self, summary: &Summary) -> io::Result<()> {
        match self {
            Self::Human(human) => print(&human.summary(summary)),
            Self::Json => print(&json::summary(summary)),
        }
    }
}

fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Shows what the collector publishes for people.
fn views_command(port: u16, region: &RegionId) -> String {
    let views = topic::collector_views(region);
    format!("mosquitto_sub -h 127.0.0.1 -p {port} -t '{views}' -v")
}

/// Shows every message of the region, field by field.
fn decode_command(port: u16, region: &RegionId) -> String {
    let everything = topic::everything(region);
    format!(
        "mosquitto_sub -h 127.0.0.1 -p {port} -t '{everything}' -F '%t %x' \
         | cargo run --release -p collector -- decode"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_read_as_a_person_would_type_them() {
        let region = "demo".parse().unwrap();
        assert_eq!(
            views_command(1883, &region),
            "mosquitto_sub -h 127.0.0.1 -p 1883 -t 'hushgrid/v1/demo/c/+/json' -v"
        );
        assert_eq!(
            decode_command(1883, &region),
            "mosquitto_sub -h 127.0.0.1 -p 1883 -t 'hushgrid/v1/demo/#' -F '%t %x' \
             | cargo run --release -p collector -- decode"
        );
    }
}
