//! A region whose members a test names, epoch by epoch: agents in processes,
//! and parties that the test plays itself.

use std::collections::BTreeMap;
use std::fs;
use std::iter;
use std::path::PathBuf;

use crate::rig::{Broker, Rig, Watch, agent, results};
use collector::epoch::{EpochCommand, Wanted};
use serde_json::Value;

pub(crate) const REGION: &str = "north";

/// Agents that have files, of whom a test makes members.
const AGENTS: usize = 7;

/// Names and keys of members.
pub(crate) type Members = BTreeMap<String, String>;

pub(crate) struct Street {
    pub(crate) rig: Rig,
    _readings: tempfile::TempDir,
}

impl Street {
    /// Agents `m-0` to `m-6`, which are members of nothing yet.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let readings = dir.path().join("readings.csv");
        fs::write(&readings, table()).unwrap();
        let rig = Rig::new(&[], Broker::Embedded, &readings);
        let registrar = rig.key("collector", "registrar.key");
        (0..AGENTS).for_each(|at| rig.write_agent(REGION, at, &registrar, &readings));
        Self { rig, _readings: dir }
    }

    pub(crate) fn agents(&self, which: impl IntoIterator<Item = usize>) -> Members {
        let member = |at| (format!("m-{at}"), self.rig.key(&agent(REGION, at), "identity.key"));
        which.into_iter().map(member).collect()
    }

    /// Writes the collector's configuration: the members, and lines beside
    /// those that all regions here have.
    pub(crate) fn write(&self, members: &Members, more: &str) {
        let state = self.rig.path("collector");
        let broker = self.rig.path("broker.toml");
        let members: Vec<_> = members
            .iter()
            .map(|(id, key)| format!("{{ id = \"{id}\", key = \"{key}\" }}"))
            .collect();
        let text = format!(
            "state_dir = \"{}\"\n[broker]\nconfig = \"{}\"\nport = {}\n\
             [[region]]\nname = \"{REGION}\"\nslot_seconds = 1\nwindow_slots = 4\ngrace_s = 1\n\
             deadline_s = 8\naudit_percent = 0\nmin_contributors = 3\nmin_slots = 3\n{more}\n\
             members = [{}]\n",
            state.display(),
            broker.display(),
            self.rig.port,
            members.join(", ")
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn start(&mut self, agents: impl IntoIterator<Item = usize>) -> Watch {
        let watch = Watch::on(self.rig.port, &[REGION]);
        self.rig.start("collector", "collector");
        for at in agents {
            self.rig.start("agent", &agent(REGION, at));
        }
        watch
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.rig.path("collector.toml")
    }

    /// What `collector epoch show --json` says beside the running collector.
    pub(crate) fn shown(&self) -> Value {
        let said = self.say(|wanted| EpochCommand::Show { wanted, json: true });
        serde_json::from_str(&said).unwrap()
    }

    /// What `collector epoch next` says.
    pub(crate) fn ask_for_the_next_epoch(&self) -> String {
        self.say(EpochCommand::Next)
    }

    fn say(&self, command: impl Fn(Wanted) -> EpochCommand) -> String {
        let mut output = Vec::new();
        let wanted = Wanted { config: self.config(), region: None };
        command(wanted).execute(&mut output).unwrap();
        String::from_utf8(output).unwrap()
    }
}

/// Agent `m-i` reads 4^i Wh in every slot: a sum shows who is in it.
fn table() -> String {
    let names: Vec<_> = (0..AGENTS).map(|at| format!("m-{at}")).collect();
    let cells: Vec<_> = names.iter().map(|name| reading(name).to_string()).collect();
    let rows = (0..1_500).map(|slot| format!("{slot},{}\n", cells.join(",")));
    iter::once(format!("slot,{}\n", names.join(","))).chain(rows).collect()
}

fn reading(meter: &str) -> u64 {
    4_u64.pow(meter["m-".len()..].parse().unwrap())
}

/// Names in a list of a JSON view.
pub(crate) fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

/// The region's sums of an epoch that were seen.
pub(crate) fn sums(seen: &[(String, Vec<u8>)], epoch: u32) -> Vec<Value> {
    let is_sum = |result: &Value| result["epoch"] == epoch && result["subject"]["region"] == REGION;
    results(seen, REGION).into_iter().filter(is_sum).collect()
}

/// The sums of single meters that were seen.
pub(crate) fn bills(seen: &[(String, Vec<u8>)]) -> impl Iterator<Item = Value> {
    results(seen, REGION).into_iter().filter(|result| result["subject"]["meter"].is_string())
}

/// Whether a sum is that of the meters that it names over its slots.
pub(crate) fn is_right(sum: &Value) -> bool {
    let in_a_slot: u64 = names(&sum["contributors"]).into_iter().map(reading).sum();
    sum["slots"].as_u64().is_some_and(|slots| sum["sum_wh"] == in_a_slot * slots)
}
