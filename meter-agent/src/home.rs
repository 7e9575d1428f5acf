//! What an agent finds at its start: its folder, its database, and whether the
//! clock agrees with them.

use aggregation::ElGamal;
use anyhow::Context as _;
use host::Keystore;
use host::clock::{self, BUILT};
use host::health::Pulse;
use host::lock::Lock;
use host::store::{self, OpenError, Readers, Sqlite, Store as _, Turns};
use protocol::meter::{self, Meter};
use protocol::record::Sort;

use crate::config::Config;

/// All that the meter keeps.
pub const DATABASE: &str = "meter.db";

/// The folder and the database of an agent.
pub(crate) struct Home {
    pub(crate) keystore: Keystore,
    pub(crate) lock: Lock,
    pub(crate) turns: Turns<Sqlite>,
}

impl Home {
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let keystore = config.keystore()?;
        let lock = Lock::take(&keystore)?;
        let key = config.identity(&mut clock::generator()?)?.key();
        tracing::info!(region = %config.region, meter = %config.meter, %key, "starting");
        let turns = Turns::new(open_store(&keystore)?);
        Ok(Self { keystore, lock, turns })
    }

    /// The meter as the database has it, which starts now.
    pub(crate) fn meter(&self, config: &Config) -> anyhow::Result<Meter<ElGamal>> {
        let mut rng = clock::generator()?;
        let identity = config.identity(&mut rng)?;
        let kept = self.turns.store().load()?;
        Meter::new(config.terms(), identity, &kept, rng, clock::now())
            .with_context(|| format!("{DATABASE} in {}", self.keystore.dir().display()))
    }

    /// Waits for a clock by which slots can be cut. No machine lives meanwhile:
    /// a holder helps with what ended after its own start, by its own clock.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub(crate) async fn until_clock_is_believed(
        &self,
        config: &Config,
        pulse: &Pulse,
    ) -> anyhow::Result<()> {
        let marker = config.clock.marker();
        let marks = self.turns.store().load_some(|key| key.sort == Sort::Mark)?;
        let recorded = meter::measured_until(&marks)?;
        let look = || {
            pulse.ask(self.turns.store())?;
            Ok(clock::doubt(clock::now(), BUILT, recorded, marker.look()))
        };
        clock::until_believed(pulse, look).await
    }
}

/// The agent's database. A damaged one is put aside and never used again:
/// a ledger with a hole in it would let the same question be answered twice.
fn open_store(keystore: &Keystore) -> anyhow::Result<Sqlite> {
    match Sqlite::open(keystore, DATABASE, Readers::OfCopies) {
        Err(damage @ OpenError::Damaged { .. }) => {
            let aside = store::set_aside(keystore, DATABASE, clock::now())?;
            tracing::error!(
                "{damage}. It was put aside as {}, and this meter begins with an empty one: it \
                 has no key share and no ledger, so it is in no epoch until it joins the next \
                 one; until then its energy is not reported, and what waited to be carried is lost",
                aside.display()
            );
            Ok(Sqlite::open(keystore, DATABASE, Readers::OfCopies)?)
        }
        opened => Ok(opened?),
    }
}

#[cfg(test)]
mod tests {
    use host::health::{Check, Health};
    use host::store::Store as _;
    use protocol::record::{Change, Key};
    use protocol::slot::Timestamp;

    use super::*;

    /// The home of an agent whose latest slot on disk ended then.
    fn home(dir: &tempfile::TempDir, measured: Timestamp) -> (Config, Home) {
        let text = format!(
            "region = \"north\"\nmeter = \"m-01\"\nstate_dir = \"{}\"\n\
             registrar = \"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"\n\
             [broker]\nurl = \"mqtt://127.0.0.1:1\"\n[clock]\nsynchronised = false\n\
             [source]\nkind = \"simulated\"\nseed = 1\n",
            dir.path().join("state").display()
        );
        let config: Config = toml::from_str(&text).unwrap();
        let mut store =
            Sqlite::open(&config.keystore().unwrap(), DATABASE, Readers::OfCopies).unwrap();
        let mut mark = Vec::new();
        ciborium::into_writer(&(measured, Timestamp(0)), &mut mark).unwrap();
        store.commit(&[Change::Write(Key::mark(), mark.into())]).unwrap();
        store.close().unwrap();
        let home = Home::open(&config).unwrap();
        (config, home)
    }

    /// Whether such an agent starts within an hour, and what it says then.
    async fn starts(measured: Timestamp) -> (bool, String) {
        let dir = tempfile::tempdir().unwrap();
        let (config, home) = home(&dir, measured);
        let pulse = Health::of("meter-agent", "1.2.3", &[]).pulse(None, &[Check::Clock]);
        let waiting = home.until_clock_is_believed(&config, &pulse);
        let hour = std::time::Duration::from_hours(1);
        let believed = tokio::time::timeout(hour, waiting).await.is_ok();
        (believed, pulse.health().in_a_line())
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_whose_clock_is_behind_its_latest_slot_waits_and_says_so() {
        let (believed, status) = starts(Timestamp(4_102_444_800_000)).await;
        assert!(
            !believed && status.contains("slot on disk ended 2100-01-01T00:00:00Z"),
            "{status}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_whose_clock_has_passed_it_starts() {
        assert_eq!(starts(BUILT).await, (true, "all is well".to_owned()));
    }
}
