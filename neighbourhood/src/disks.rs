//! What the parties keep on their disks, read by somebody who may read all of
//! it.

use std::path::Path;

use aggregation::ElGamal;
use anyhow::{Context as _, ensure};
use collector::{Config, database};
use host::store::{Sqlite, Store as _};
use protocol::envelope::Envelope;
use protocol::id::{Epoch, RegionId};
use protocol::identity::IdentityKey;
use protocol::message::{Outcome, Target};
use protocol::record::{Key, Part, Records, Sort};
use protocol::roster::AcceptedRoster;
use protocol::round::Ended;
use protocol::transcript;

use crate::household::Household;

/// All that a collector keeps of a region, also while it runs.
pub(crate) fn of_collector(config: &Path, region: &RegionId) -> anyhow::Result<Records> {
    let config: Config = host::config::load(config)?;
    Sqlite::open_to_read(&config.keystore()?, &database(region))?.load()
}

/// The roster of an epoch in a collector's records.
pub(crate) fn roster(
    records: &Records,
    epoch: Epoch,
    (region, registrar): (&RegionId, &IdentityKey),
) -> anyhow::Result<AcceptedRoster<ElGamal>> {
    let mut kept = records.of(Sort::PastRoster).chain(records.of(Sort::Roster));
    let found = kept.find(|(key, _)| key.epoch == epoch);
    let (_, bytes) = found.with_context(|| format!("the roster of epoch {epoch}"))?;
    let roster = AcceptedRoster::open(bytes, region, registrar)?;
    ensure!(roster.epoch() == epoch, "a roster of another epoch");
    Ok(roster)
}

/// How a round ended, by a collector's records; none while it is open.
pub(crate) fn end(
    records: &Records,
    epoch: Epoch,
    target: Target,
) -> anyhow::Result<Option<Ended>> {
    let bytes = records.get(&Key::round(epoch, target, &Part::End));
    let end = bytes.map(ciborium::from_reader).transpose();
    end.with_context(|| format!("the end of {target}"))
}

/// Verifies the transcript of a round that was opened.
pub(crate) fn verify(
    records: &Records,
    roster: &AcceptedRoster<ElGamal>,
    target: Target,
) -> anyhow::Result<()> {
    if let Some(kept) = transcript::of(records, roster.epoch(), target)? {
        kept.verify(roster).with_context(|| format!("the transcript of {target}"))?;
    }
    Ok(())
}

/// The results of a round, by a collector's records; none if it was not
/// opened.
pub(crate) fn outcomes(
    records: &Records,
    roster: &AcceptedRoster<ElGamal>,
    target: Target,
) -> anyhow::Result<Vec<Outcome>> {
    let Some(kept) = transcript::of(records, roster.epoch(), target)? else {
        return Ok(Vec::new());
    };
    let read = |message: &_| -> anyhow::Result<Outcome> {
        Ok(roster.open_from_collector(&Envelope::parse(message)?)?)
    };
    kept.results.iter().map(|message| read(message.as_slice())).collect()
}

/// The databases of stopped parties that `SQLite` itself finds damaged, with
/// what it says.
pub(crate) fn damaged(household: &Household) -> anyhow::Result<Vec<String>> {
    let config: Config = host::config::load(&household.collector)?;
    let mut files = vec![config.keystore()?.dir().join(database(&household.region))];
    for agent in &household.agents {
        let config = meter_agent::Config::load(&agent.config)?;
        files.push(config.keystore()?.dir().join(meter_agent::DATABASE));
    }
    let mut damaged = Vec::new();
    for file in files {
        let said = check(&file).with_context(|| file.display().to_string())?;
        if said != "ok" {
            damaged.push(format!("{}: {said}", file.display()));
        }
    }
    Ok(damaged)
}

fn check(file: &Path) -> rusqlite::Result<String> {
    let connection = rusqlite::Connection::open(file)?;
    connection.pragma_query_value(None, "integrity_check", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_database_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("meter.db");
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.execute_batch("CREATE TABLE t (a); CREATE INDEX i ON t (a)").unwrap();
        for _ in 0..500 {
            connection.execute("INSERT INTO t VALUES (hex(randomblob(20)))", ()).unwrap();
        }
        drop(connection);
        assert_eq!(check(&file).unwrap(), "ok");
        let mut bytes = std::fs::read(&file).unwrap();
        let half = bytes.len() / 2;
        bytes.get_mut(half..half + 2_000).unwrap().fill(0x55);
        std::fs::write(&file, bytes).unwrap();
        assert!(check(&file).map_or(true, |said| said != "ok"));
    }
}
