//! What an agent finds at its start: its folder, its database, and whether the
//! clock agrees with them.

use aggregation::ElGamal;
use anyhow::Context as _;
use host::Keystore;
use host::clock::{self, BUILT};
use host::health::Pulse;
use host::lock::Lock;
use host::store::{self, OpenError, Sqlite, Store as _, Turns};
use protocol::meter::Meter;

use crate::config::Config;

/// All that the meter keeps.
pub(crate) const DATABASE: &str = "meter.db";

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
        let recorded = self.meter(config)?.measured_until();
        let look = || {
            pulse.look_at(&self.turns)?;
            Ok(clock::doubt(clock::now(), BUILT, recorded, marker.look()))
        };
        clock::until_believed(pulse, look).await
    }
}

/// The agent's database. A damaged one is put aside and never used again:
/// a ledger with a hole in it would let the same question be answered twice.
fn open_store(keystore: &Keystore) -> anyhow::Result<Sqlite> {
    match Sqlite::open(keystore, DATABASE) {
        Err(damage @ OpenError::Damaged { .. }) => {
            let aside = store::set_aside(keystore, DATABASE, clock::now())?;
            tracing::error!(
                "{damage}. It was put aside as {}, and this meter begins with an empty one: it \
                 has no key share and no ledger, so it is in no epoch until it joins the next \
                 one; until then its energy is not reported, and what waited to be carried is lost",
                aside.display()
            );
            Ok(Sqlite::open(keystore, DATABASE)?)
        }
        opened => Ok(opened?),
    }
}
