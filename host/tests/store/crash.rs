//! Every store after a crash at any point: a child makes commits under the shim
//! of `tests/shim/disk.c`, and disks are made of what it has done.

use std::fs::{self, File};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use host::store::CommitError;
use protocol::Rng;
use rand::{RngExt as _, SeedableRng as _};

use crate::disk::{Disk, Op, folder, read_log};
use crate::shim::SHIM;
use crate::suite::{FILE, STORES, State, changes, commits, listed, states};

/// A byte for each commit that has returned.
const ACKNOWLEDGED: &str = "acknowledged";
/// Commits until a child opens its store anew.
const RUN: usize = 80;

/// A folder for a child and what is said of it.
struct Trial {
    dir: tempfile::TempDir,
    store: usize,
    seed: u64,
    count: u64,
    large: usize,
    /// What is kept after each number of commits.
    expected: Vec<State>,
}

impl Trial {
    fn new(store: usize, seed: u64, (count, large): (u64, usize)) -> Self {
        let expected = states(&commits(seed, count, large));
        let trial = Self { dir: folder(), store, seed, count, large, expected };
        fs::create_dir(trial.path("state")).unwrap();
        make_private(&trial.path("state"));
        File::create(trial.path("state").join(ACKNOWLEDGED)).unwrap();
        trial
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the child below to its end; what it has said.
    fn run(&self, told: &[(&str, &str)]) -> String {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "crash::child", "--ignored"]).env("LD_PRELOAD", &*SHIM);
        child.env("DISK_DIR", self.path("state")).env("DISK_LOG", self.path("log"));
        child.env("DISK_FULL", self.path("full")).env("TRIAL", self.dir.path());
        let plan = format!("{} {} {} {}", self.store, self.seed, self.count, self.large);
        let run = child.env("PLAN", plan).envs(told.iter().copied()).output().unwrap();
        let said = fs::read_to_string(self.path("said")).unwrap_or_default();
        assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stdout));
        said
    }

    fn log(&self) -> Vec<Op> {
        read_log(&self.path("log"))
    }

    /// Crashes after so many of the child's operations, in some way, and looks
    /// at the disk: what is wrong with it.
    fn crash(&self, log: &[Op], after: usize, rng: &mut Rng) -> Result<(), String> {
        let mut disk = Disk::with(FILE);
        disk.apply(&Op::Create(ACKNOWLEDGED.to_owned()));
        log[..after].iter().for_each(|op| disk.apply(op));
        let image = folder();
        disk.crash(rng, image.path());
        let acknowledged = log[..after].iter().filter(|op| is_acknowledgement(op)).count();
        let found = catch_unwind(AssertUnwindSafe(|| self.opened(image.path())))
            .map_err(|_| "it does not open, or is damaged".to_owned())?;
        let last = self.expected.len().min(acknowledged + 2);
        let allowed = &self.expected[acknowledged..last];
        if allowed.contains(&found) {
            return Ok(());
        }
        let commit = self.expected.iter().position(|state| *state == found);
        Err(format!("{acknowledged} commits were acknowledged, and it holds {commit:?}"))
    }

    fn opened(&self, image: &Path) -> State {
        make_private(image);
        listed(&STORES[self.store].1(image).load().unwrap())
    }
}

fn make_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(path).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn is_acknowledgement(op: &Op) -> bool {
    matches!(op, Op::Write { name, .. } if name == ACKNOWLEDGED)
}

/// The child: commits, and writes down each one that has returned.
#[test]
#[ignore = "a part of the tests below, which run it under the shim"]
fn child() {
    let Ok(trial) = std::env::var("TRIAL").map(PathBuf::from) else { return };
    let plan = std::env::var("PLAN").unwrap();
    let plan: Vec<u64> = plan.split(' ').map(|number| number.parse().unwrap()).collect();
    let open = STORES[usize::try_from(plan[0]).unwrap()].1;
    let state = trial.join("state");
    let mut acknowledged = File::options().append(true).open(state.join(ACKNOWLEDGED)).unwrap();
    let mut said = File::create(trial.join("said")).unwrap();
    let full_at = std::env::var("FULL_AT").ok().map(|at| at.parse::<usize>().unwrap());
    let Ok(mut store) = catch_unwind(|| open(&state)) else {
        return writeln!(said, "cannot open").unwrap();
    };
    for (at, steps) in
        commits(plan[1], plan[2], usize::try_from(plan[3]).unwrap()).iter().enumerate()
    {
        if full_at == Some(at) {
            File::create(trial.join("full")).unwrap();
        }
        let mut made = store.commit(&changes(steps));
        while let Err(CommitError::Full { .. }) = made {
            writeln!(said, "full at {at}").unwrap();
            fs::remove_file(trial.join("full")).unwrap();
            made = store.commit(&changes(steps));
        }
        if made.is_err() {
            writeln!(said, "uncertain at {at}").unwrap();
            // As a daemon ends: nothing is closed.
            std::process::exit(0);
        }
        acknowledged.write_all(b"+").unwrap();
        if at % RUN == RUN - 1 {
            store.close().unwrap();
            store = open(&state);
        }
    }
    writeln!(said, "done").unwrap();
    std::process::exit(0);
}

/// Crashes a child's disk at many points; what was wrong, if anything was.
fn faults(trial: &Trial, log: &[Op], crashes: u64) -> Vec<String> {
    let first = log.iter().position(is_acknowledgement).unwrap();
    let crash = |seed| {
        let mut rng = Rng::seed_from_u64(trial.seed << 32 | seed);
        let after = rng.random_range(if seed % 8 == 0 { 0 } else { first }..=log.len());
        let wrong = trial.crash(log, after, &mut rng).err()?;
        Some(format!("seed {seed}, after {after} of {}: {wrong}", log.len()))
    };
    (0..crashes).filter_map(crash).collect()
}

#[test]
fn a_crash_at_any_point_loses_no_acknowledged_commit_and_leaves_no_half_of_one() {
    for (store, (name, _)) in STORES.iter().enumerate() {
        // Many commits; and few large ones, whose log is begun anew.
        for (seed, plan) in [(1, (160, 20_000)), (2, (160, 20_000)), (3, (72, 900_000))] {
            let trial = Trial::new(store, seed, plan);
            assert_eq!(trial.run(&[]), "done\n", "{name}");
            assert_eq!(faults(&trial, &trial.log(), 80), [""; 0], "{name}, trial {seed}");
        }
    }
}

/// The suite itself on trial: a store that asks for no fsync looks the same to
/// the disk as one whose fsyncs are left out.
#[test]
fn a_store_without_fsync_is_found_out() {
    for store in 0..STORES.len() {
        let trial = Trial::new(store, 1, (60, 20_000));
        trial.run(&[]);
        let mut log = trial.log();
        log.retain(|op| !matches!(op, Op::Sync(name) if name != "."));
        let faults = faults(&trial, &log, 20);
        let lost = faults.iter().filter(|fault| fault.contains("acknowledged"));
        assert!(lost.count() > 0, "{faults:?}");
    }
}

#[test]
fn after_an_fsync_that_failed_nothing_is_acknowledged_and_nothing_is_lost() {
    for (store, (name, _)) in STORES.iter().enumerate() {
        for failing in 1.. {
            let trial = Trial::new(store, 7, (32, 900_000));
            let said = trial.run(&[("DISK_FAIL_SYNC", &failing.to_string())]);
            let log = trial.log();
            let acknowledged = log.iter().filter(|op| is_acknowledgement(op)).count();
            if said == "done\n" {
                assert!(failing > 32, "{name}: nobody missed fsync {failing} of 32 commits");
                break;
            }
            let opened = if acknowledged == 0 { "cannot open\n" } else { "" };
            let committed = format!("uncertain at {acknowledged}\n");
            assert!(said == committed || said == opened, "{name}, fsync {failing}: {said}");
            for seed in 0..2 {
                let mut rng = Rng::seed_from_u64(seed);
                assert_eq!(trial.crash(&log, log.len(), &mut rng), Ok(()), "{name}, {failing}");
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_a_commit_and_takes_it_once_there_is_space() {
    for (store, (name, _)) in STORES.iter().enumerate() {
        let trial = Trial::new(store, 5, (20, 20_000));
        let said = trial.run(&[("FULL_AT", "10")]);
        assert_eq!(said, "full at 10\ndone\n", "{name}");
        assert_eq!(trial.opened(&trial.path("state")), trial.expected[20], "{name}");
    }
}
