//! Disks that are full, and disks whose fsync fails, under real daemons.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use protocol::topic::is_json;

use crate::processes::readings;
use crate::rig::{Broker, Rig, Watch, agent, count};
use crate::shim::SHIM;

/// The disk under a party's folder.
pub(crate) struct Disk {
    dir: PathBuf,
    full: PathBuf,
    /// Which fsync fails, if one does.
    failing: Option<u32>,
}

impl Disk {
    fn under(rig: &Rig, name: &str) -> Self {
        let dir = rig.path(name);
        fs::create_dir_all(&dir).unwrap();
        Self { dir, full: rig.path(&format!("{name}.full")), failing: None }
    }

    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let failing = self.failing.map(|at| ("DISK_FAIL_SYNC", at.to_string().into()));
        let told = [
            ("LD_PRELOAD", SHIM.as_os_str().to_owned()),
            ("DISK_DIR", self.dir.as_os_str().to_owned()),
            ("DISK_FULL", self.full.as_os_str().to_owned()),
        ];
        told.into_iter().chain(failing).collect()
    }

    fn fill(&self) {
        File::create(&self.full).unwrap();
    }

    fn clear(&self) {
        fs::remove_file(&self.full).unwrap();
    }
}

/// How many messages were seen on topics with such a part.
fn heard(seen: &[(String, Vec<u8>)], part: &str) -> usize {
    seen.iter().filter(|(topic, _)| topic.contains(part) && !is_json(topic)).count()
}

/// Waits for so many more of them.
async fn more(watch: &mut Watch, part: &str, by: usize) {
    let least = heard(&watch.seen, part) + by;
    watch.until(part, |seen| heard(seen, part) >= least).await;
}

fn has_no_space(ready: &str) -> bool {
    ready.contains(r#""check":"store","ok":false"#) && ready.contains("disk is full")
}

fn has_space(ready: &str) -> bool {
    ready.contains(r#""check":"store","ok":true"#)
}

/// A rig that runs, the collector and its first agent on disks of a test's own.
async fn running(dir: &tempfile::TempDir) -> (Rig, Watch, [Disk; 2]) {
    let mut rig = Rig::new(&["north"], Broker::Embedded, &readings(dir));
    let disks = [Disk::under(&rig, "collector"), Disk::under(&rig, &agent("north", 0))];
    let mut watch = Watch::on(rig.port, &["north"]);
    rig.start_on(&disks[0], "collector", "collector");
    rig.start_on(&disks[1], "agent", &agent("north", 0));
    (1..3).for_each(|at| rig.start("agent", &agent("north", at)));
    watch.until("a region sum", |seen| count(seen, "north", "region") > 0).await;
    (rig, watch, disks)
}

#[tokio::test]
async fn a_collector_on_a_full_disk_gives_no_receipt_and_goes_on_once_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, mut watch, [disk, _]) = running(&dir).await;
    disk.fill();
    rig.until_health("collector", "/readyz", has_no_space).await;
    // What was on its way before.
    more(&mut watch, "/contribution", 3).await;
    let before = heard(&watch.seen, "/receipt/");
    more(&mut watch, "/contribution", 6).await;
    assert_eq!(heard(&watch.seen, "/receipt/"), before);
    assert!(rig.health("collector", "/livez").await.starts_with("HTTP/1.1 200 "));
    disk.clear();
    rig.until_health("collector", "/readyz", has_space).await;
    more(&mut watch, "/receipt/", 9).await;
    let sums = count(&watch.seen, "north", "region");
    watch.until("a sum after it", |seen| count(seen, "north", "region") > sums + 1).await;
}

#[tokio::test]
async fn an_agent_on_a_full_disk_says_nothing_that_is_not_durable_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, mut watch, [_, disk]) = running(&dir).await;
    let (name, own) = (agent("north", 0), "/m/m-0/");
    disk.fill();
    rig.until_health(&name, "/readyz", has_no_space).await;
    more(&mut watch, "/m/m-1/contribution", 1).await;
    let before = heard(&watch.seen, own);
    more(&mut watch, "/m/m-1/contribution", 2).await;
    assert_eq!(heard(&watch.seen, own), before);
    assert!(rig.health(&name, "/livez").await.starts_with("HTTP/1.1 200 "));
    disk.clear();
    rig.until_health(&name, "/readyz", has_space).await;
    more(&mut watch, "/m/m-0/contribution", 2).await;
    let sums = count(&watch.seen, "north", "region");
    watch.until("a sum after it", |seen| count(seen, "north", "region") > sums).await;
}

#[tokio::test]
async fn a_party_whose_fsync_fails_ends_and_goes_on_with_what_is_on_its_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&["north"], Broker::Embedded, &readings(&dir));
    let names = ["collector".to_owned(), agent("north", 0)];
    let mut watch = Watch::on(rig.port, &["north"]);
    for (role, name) in ["collector", "agent"].into_iter().zip(&names) {
        // Some commits after the start.
        let disk = Disk { failing: Some(18), ..Disk::under(&rig, name) };
        rig.start_on(&disk, role, name);
    }
    (1..3).for_each(|at| rig.start("agent", &agent("north", at)));
    for (role, name) in ["collector", "agent"].into_iter().zip(&names) {
        assert!(!rig.ended(name).await.success());
        let log = rig.log(name);
        assert!(log.contains("what is on the disk is not certain, so this process ends"), "{log}");
        rig.start(role, name);
    }
    watch.until("a bill", |seen| count(seen, "north", "meter") > 0).await;
}

#[tokio::test]
async fn an_agent_whose_database_is_damaged_puts_it_aside_and_begins_with_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, mut watch, _) = running(&dir).await;
    let name = agent("north", 0);
    rig.end(&name, rustix::process::Signal::KILL);
    damage(&rig.path(&name).join("meter.db"));
    rig.start("agent", &name);
    more(&mut watch, "/m/m-0/state", 1).await;
    let log = rig.log(&name);
    assert!(log.contains("is damaged") && log.contains("was put aside as"), "{log}");
    let entries = fs::read_dir(rig.path(&name)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut aside = names.filter(|name| name.starts_with("meter.db.corrupt-"));
    assert!(aside.next().is_some());
}

/// Leaves no page of a database as it was, and no log beside it.
fn damage(path: &Path) {
    let length = fs::metadata(path).unwrap().len().max(4_096);
    fs::write(path, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();
    // Its log would bring back the pages that it holds.
    fs::remove_file(format!("{}-wal", path.display())).unwrap();
}
