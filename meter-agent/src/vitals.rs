//! How the machine under the meter is doing. No reading is among it.

use std::path::Path;

use serde::Serialize;
use sysinfo::{
    Components, DiskRefreshKind, Disks, Pid, ProcessRefreshKind, ProcessesToUpdate, System,
};

/// One look at the machine. What it does not tell is absent: null in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vitals {
    /// The agent's version.
    pub version: &'static str,
    /// Seconds since the machine started.
    pub uptime_s: Option<u64>,
    /// Processes that ran or waited to, over the last minute, times 1000.
    pub load_1m_milli: Option<u32>,
    /// Memory that all processes use.
    pub memory_used_bytes: Option<u64>,
    /// Memory that this process holds.
    pub agent_memory_bytes: Option<u64>,
    /// What is left on the file system of the state directory.
    pub disk_free_bytes: Option<u64>,
    /// The hottest sensor, in whole degrees Celsius.
    pub temperature_c: Option<i32>,
}

/// The machine, held open so that a look is cheap.
pub struct Machine {
    system: Option<System>,
    disks: Option<Disks>,
    /// Place among `disks` of the one that holds the state directory.
    state_disk: Option<usize>,
    components: Option<Components>,
    agent: Option<Pid>,
}

impl Machine {
    /// Finds what there is to look at; `state_dir` is where the agent writes.
    #[must_use]
    pub fn open(state_dir: &Path) -> Self {
        let disks = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing()).ok();
        Self {
            system: System::new().ok(),
            state_disk: disks.as_ref().and_then(|disks| disk_of(disks, state_dir)),
            disks,
            components: Components::new_with_refreshed_list().ok(),
            agent: sysinfo::get_current_pid().ok(),
        }
    }

    /// Looks at the machine.
    pub fn vitals(&mut self) -> Vitals {
        Vitals {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: System::uptime().ok(),
            load_1m_milli: System::load_average().ok().and_then(|load| milli(load.one)),
            memory_used_bytes: self.memory_used(),
            agent_memory_bytes: self.agent_memory(),
            disk_free_bytes: self.disk_free(),
            temperature_c: self.temperature(),
        }
    }

    fn memory_used(&mut self) -> Option<u64> {
        let system = self.system.as_mut()?;
        system.refresh_memory();
        known(system.used_memory())
    }

    fn agent_memory(&mut self) -> Option<u64> {
        let (system, agent) = (self.system.as_mut()?, self.agent?);
        let only = ProcessesToUpdate::Some(&[agent]);
        system.refresh_processes_specifics(only, true, ProcessRefreshKind::nothing().with_memory());
        known(system.process(agent)?.memory())
    }

    fn disk_free(&mut self) -> Option<u64> {
        let disk = self.disks.as_mut()?.get_mut(self.state_disk?)?;
        disk.refresh_specifics(DiskRefreshKind::nothing().with_storage());
        known(disk.total_space())?;
        Some(disk.available_space())
    }

    fn temperature(&mut self) -> Option<i32> {
        let components = self.components.as_mut()?;
        components.refresh(true);
        components.iter().filter_map(|c| degrees(c.temperature()?)).max()
    }
}

/// The disk with the longest mount point above `dir`, and of several on that
/// point the last, which covers the others.
fn disk_of(disks: &Disks, dir: &Path) -> Option<usize> {
    let dir = dir.canonicalize().ok()?;
    let above = disks.iter().enumerate().filter(|(_, disk)| dir.starts_with(disk.mount_point()));
    above.max_by_key(|(_, disk)| disk.mount_point().components().count()).map(|(place, _)| place)
}

/// A size of zero is one that could not be read.
fn known(bytes: u64) -> Option<u64> {
    (bytes > 0).then_some(bytes)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range, whole")]
fn milli(load: f64) -> Option<u32> {
    let milli = (load * 1000.0).round();
    (0.0..=f64::from(u32::MAX)).contains(&milli).then_some(milli as u32)
}

#[expect(clippy::cast_possible_truncation, reason = "in range, whole")]
fn degrees(celsius: f32) -> Option<i32> {
    let celsius = celsius.round();
    (-273.0..=1000.0).contains(&celsius).then_some(celsius as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_the_json_stay() {
        let vitals = Vitals {
            version: "1.2.3",
            uptime_s: Some(86_400),
            load_1m_milli: Some(250),
            memory_used_bytes: Some(300_000_000),
            agent_memory_bytes: Some(8_000_000),
            disk_free_bytes: Some(4_000_000_000),
            temperature_c: None,
        };
        let expected = concat!(
            r#"{"version":"1.2.3","uptime_s":86400,"load_1m_milli":250,"#,
            r#""memory_used_bytes":300000000,"agent_memory_bytes":8000000,"#,
            r#""disk_free_bytes":4000000000,"temperature_c":null}"#,
        );
        assert_eq!(serde_json::to_string(&vitals).unwrap(), expected);
    }

    #[test]
    fn a_number_that_makes_no_sense_is_absent() {
        assert_eq!(milli(0.25), Some(250));
        assert_eq!([milli(-1.0), milli(f64::NAN), milli(f64::INFINITY)], [None; 3]);
        assert_eq!((degrees(47.6), degrees(-12.5)), (Some(48), Some(-13)));
        assert_eq!([degrees(f32::NAN), degrees(-300.0)], [None; 2]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_machine_tells_its_uptime_and_its_agents_memory_at_every_look() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::open(dir.path());
        for _ in 0..2 {
            let vitals = machine.vitals();
            assert!(vitals.uptime_s.is_some() && vitals.load_1m_milli.is_some());
            assert!(vitals.agent_memory_bytes < vitals.memory_used_bytes);
        }
    }

    #[test]
    fn a_state_directory_that_is_not_there_has_no_disk() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::open(&dir.path().join("absent"));
        assert_eq!(machine.vitals().disk_free_bytes, None);
    }
}
