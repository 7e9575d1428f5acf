//! What a run of faults amounts to, for a person or a program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::fault::Faults;
use super::judge::Findings;
use crate::processes::Role;

/// All that is known at the end.
#[derive(Serialize)]
pub(super) struct Summary {
    event: &'static str,
    broker: &'static str,
    seed: u64,
    seconds: f64,
    /// How often each fault met which role.
    faults: BTreeMap<String, u64>,
    kills: BTreeMap<&'static str, Kills>,
    /// Parties that ended by themselves, by role.
    ended: BTreeMap<&'static str, u64>,
    slots: u64,
    opened: u64,
    whole: u64,
    abandoned: u64,
    bills: u64,
    unclaimed: u64,
    receipts: u64,
    refused: u64,
    wrong: u64,
    missing: u64,
    uneven_meters: u64,
    damaged_databases: u64,
    measured_wh: u64,
    lost_wh: u64,
    /// From the last fault until everything was complete.
    settled_s: Option<f64>,
    bound_s: f64,
    /// What is not as it has to be.
    findings: Vec<String>,
    success: bool,
}

#[derive(Serialize)]
struct Kills {
    all: u64,
    /// Of the process of that role that was killed least often.
    least: u64,
}

/// How a run went.
pub(super) struct Course {
    pub(super) has_mosquitto: bool,
    pub(super) seed: u64,
    pub(super) took: Duration,
    pub(super) ended: BTreeMap<Role, u64>,
    pub(super) refused: u64,
    pub(super) settled: Option<Duration>,
    pub(super) bound: Duration,
}

impl Summary {
    pub(super) fn new(course: &Course, faults: &Faults, findings: &Findings) -> Self {
        let named = faults.counts().iter();
        let kills = Role::ALL.iter().filter_map(|role| {
            let least = faults.least_kills(*role)?;
            Some((role.as_str(), Kills { all: faults.kills(*role), least }))
        });
        // An agent has no reason to end; a collector ends with its broker.
        let agents_ended = course.ended.contains_key(&Role::Agent);
        let mut said: Vec<_> = findings.all().cloned().collect();
        said.extend(agents_ended.then(|| "an agent has ended by itself".to_owned()));
        said.extend(course.settled.is_none().then(|| "it was not complete in time".to_owned()));
        let count = |found: &Vec<String>| found.len() as u64;
        Self {
            event: "summary",
            broker: if course.has_mosquitto { "mosquitto" } else { "embedded" },
            seed: course.seed,
            seconds: course.took.as_secs_f64(),
            faults: named
                .map(|((fault, of), n)| (format!("{fault}-{}", of.as_str()), *n))
                .collect(),
            kills: kills.collect(),
            ended: course.ended.iter().map(|(role, count)| (role.as_str(), *count)).collect(),
            slots: findings.slots,
            opened: findings.opened,
            whole: findings.whole,
            abandoned: findings.abandoned,
            bills: findings.bills,
            unclaimed: findings.unclaimed,
            receipts: findings.receipts,
            refused: course.refused,
            wrong: count(&findings.wrong),
            missing: count(&findings.missing),
            uneven_meters: count(&findings.uneven),
            damaged_databases: count(&findings.damaged),
            measured_wh: findings.measured_wh,
            lost_wh: findings.lost_wh,
            settled_s: course.settled.map(|settled| settled.as_secs_f64()),
            bound_s: course.bound.as_secs_f64(),
            success: findings.is_good() && said.is_empty(),
            findings: said,
        }
    }

    pub(super) fn is_success(&self) -> bool {
        self.success
    }

    pub(super) fn json(&self) -> String {
        // A map with text keys, which JSON can say.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Lines for a person.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} s with the {} broker, seed {}\n",
            self.seconds.round(),
            self.broker,
            self.seed
        );
        let faults = self.faults.iter().map(|(fault, count)| format!("{fault} {count}"));
        let kills = self.kills.iter();
        let kills =
            kills.map(|(role, of)| format!("{role} {} (each {} or more)", of.all, of.least));
        let ended = self.ended.iter().map(|(role, count)| format!("{role} {count}"));
        for (what, list) in [
            ("faults", faults.collect::<Vec<_>>()),
            ("killed", kills.collect()),
            ("ended by themselves", ended.collect()),
        ] {
            // Writing to memory cannot fail.
            writeln!(text, "{what}: {}", list.join(", ")).ok();
        }
        let settled = self.settled_s.map_or("never".to_owned(), |s| format!("after {s:.0} s"));
        write!(
            text,
            "{} slots: {} opened, {} of them with every meter, {} abandoned with a reason\n\
             {} bills, {} not claimed in time; {} receipts that said on time; {} refusals\n\
             complete after the last fault: {settled}, bound {:.0} s\n\
             {} sums wrong, {} things missing; of {} Wh {} given up, {} meters uneven; {} \
             databases damaged",
            self.slots,
            self.opened,
            self.whole,
            self.abandoned,
            self.bills,
            self.unclaimed,
            self.receipts,
            self.refused,
            self.bound_s,
            self.wrong,
            self.missing,
            self.measured_wh,
            self.lost_wh,
            self.uneven_meters,
            self.damaged_databases,
        )
        .ok();
        for found in &self.findings {
            write!(text, "\n  {found}").ok();
        }
        text
    }
}
