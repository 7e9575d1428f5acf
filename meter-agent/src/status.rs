//! `meter-agent status`: what has become of this household's energy, from its
//! own database: on its own terminal and nowhere else.

use std::io::{self, Write};

use aggregation::ElGamal;
use clap::Args;
use protocol::account::{self, Account, OfEpoch, OfGap, OfPool, OfStep, Slots, Why, Withholding};
use protocol::slot::{Grid, Window};
use protocol::tariff::StepName;
use serde_json::{Value, json};

use crate::config::Config;
use crate::sent::{records, utc};

/// How to show it.
#[derive(Args, Debug)]
#[group(skip)]
pub struct ShowStatus {
    /// One JSON object per line: `event` is `step`, `gap` or `pool`, and
    /// instants are in milliseconds since 1970.
    #[arg(long)]
    pub json: bool,
}

impl ShowStatus {
    /// Writes what has become of the energy, also while the agent runs.
    ///
    /// # Errors
    /// Where there is no database that can be read, or nowhere to write.
    pub fn run(&self, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
        let account = account::of::<ElGamal>(&records(config)?, &config.terms())?;
        if self.json {
            write_json(&account, out)?;
        } else {
            write_words(&account, out)?;
        }
        out.flush()?;
        Ok(())
    }
}

fn write_json(account: &Account, out: &mut impl Write) -> anyhow::Result<()> {
    for of in &account.epochs {
        for step in &of.steps {
            let mut line = json!({ "event": "step", "region": of.region, "epoch": of.epoch });
            extend(&mut line, serde_json::to_value(step)?);
            writeln!(out, "{line}")?;
        }
        for gap in &of.gaps {
            writeln!(out, "{}", gap_as_json(of, gap))?;
        }
    }
    for pool in &account.pools {
        writeln!(out, "{}", pool_as_json(pool))?;
    }
    Ok(())
}

fn extend(line: &mut Value, more: Value) {
    if let (Value::Object(line), Value::Object(more)) = (line, more) {
        line.extend(more);
    }
}

fn gap_as_json(of: &OfEpoch, gap: &OfGap) -> Value {
    let waits_for = |(window, step): &(Window, StepName)| json!({ "window": window, "step": step });
    json!({
        "event": "gap",
        "region": of.region,
        "epoch": of.epoch,
        "start_ms": of.grid.start(gap.first),
        "end_ms": of.grid.start(gap.end),
        "slots": gap.end.since(gap.first),
        "wh": gap.energy,
        "waits_for": gap.waits_for.iter().map(waits_for).collect::<Vec<_>>(),
    })
}

fn pool_as_json(pool: &OfPool) -> Value {
    json!({
        "event": "pool",
        "register": pool.register,
        "step": pool.step,
        "waiting_slots": pool.waiting_slots,
        "waiting_wh": pool.waiting_wh,
        "carried_wh": pool.carried_wh,
        "lost_slots": pool.lost_slots,
        "lost_wh": pool.lost_wh,
    })
}

fn write_words(account: &Account, out: &mut impl Write) -> io::Result<()> {
    if account.epochs.is_empty() {
        writeln!(out, "this meter takes part in no epoch whose sums may be opened still")?;
    }
    for of in &account.epochs {
        let OfEpoch { region, epoch, min_slots, .. } = of;
        writeln!(out, "region {region}, epoch {epoch}: bills of {min_slots} slots and more")?;
        for step in &of.steps {
            write_step(of, step, out)?;
        }
        for gap in &of.gaps {
            write_gap(&of.grid, gap, out)?;
        }
    }
    let min_slots = account.epochs.last().map(|of| of.min_slots);
    account.pools.iter().try_for_each(|pool| write_pool(pool, min_slots, out))
}

fn write_step(of: &OfEpoch, step: &OfStep, out: &mut impl Write) -> io::Result<()> {
    let listed = match step.listed {
        None => "no final listing yet".to_owned(),
        Some(window) => {
            let start = utc(of.grid.start(of.grid.first_slot(window)));
            let end = utc(of.grid.window_end(window));
            format!("latest final listing of window {window}, {start} to {end}")
        }
    };
    let OfStep { step: name, slots, .. } = step;
    writeln!(out, "  step {name}: {}, {listed}", count(slots.contributed, "contribution"))?;
    for (slots, became) in became(slots) {
        if slots > 0 {
            writeln!(out, "    {slots} {became}")?;
        }
    }
    if let Some(withholding) = &step.withholding {
        writeln!(out, "    withheld because {}", because(withholding, of.min_slots))?;
    }
    Ok(())
}

/// What became of how many contributions.
fn became(slots: &Slots) -> [(u32, &'static str); 6] {
    [
        (slots.unsettled, "unsettled: no final listing of them was seen"),
        (slots.claimed, "counted and claimed: in this household's bill"),
        (
            slots.unclaimed,
            "counted and in no claim: what it takes to claim them is lost, or their listing came \
             too late; their bill is the difference of the register",
        ),
        (slots.withheld, "counted and withheld: in the sums of the region, in no bill"),
        (slots.pooled, "not counted: their energy waits below, or was carried"),
        (slots.void, "void: the collector asked about two sets; their energy is given up"),
    ]
}

fn because(withholding: &Withholding, min_slots: u16) -> String {
    let why = match withholding.why {
        Why::Own { counted } => {
            let counted = count(counted, "slot");
            format!("this household is counted in {counted}, and a bill takes {min_slots}")
        }
        Why::Others { members: 1 } => {
            format!("1 member beside it is counted in fewer than {min_slots} slots")
        }
        Why::Others { members } => {
            format!("{members} members beside it are counted in fewer than {min_slots} slots")
        }
        Why::Partners => "too few other slots have enough members in common with them".to_owned(),
    };
    let then = if withholding.joins_next {
        "they join the next listing"
    } else {
        "the epoch ends with them; their bill is the difference of the register"
    };
    format!("{why}; {then}")
}

fn write_gap(grid: &Grid, gap: &OfGap, out: &mut impl Write) -> io::Result<()> {
    let (start, end) = (utc(grid.start(gap.first)), utc(grid.start(gap.end)));
    let energy: Vec<_> =
        gap.energy.iter().map(|(register, wh)| format!("{register} {wh} Wh")).collect();
    let listing = |(window, step): &(Window, StepName)| format!("step {step} of window {window}");
    let listings: Vec<_> = gap.waits_for.iter().map(listing).collect();
    writeln!(
        out,
        "  gap {start} to {end}: nothing was contributed; {} wait for the final listing of {}",
        energy.join(" and "),
        listings.join(", ")
    )
}

fn write_pool(pool: &OfPool, min_slots: Option<u16>, out: &mut impl Write) -> io::Result<()> {
    let OfPool { register, step, waiting_wh, carried_wh, lost_wh, .. } = pool;
    writeln!(out, "{register}, step {step}:")?;
    if pool.waiting_slots > 0 {
        let slots = count(pool.waiting_slots, "slot");
        let until =
            min_slots.map_or_else(String::new, |least| format!(", until there are {least} slots"));
        writeln!(out, "  {waiting_wh} Wh of {slots} in no sum wait to be carried{until}")?;
    }
    if *carried_wh > 0 {
        writeln!(out, "  {carried_wh} Wh are being carried: they are added to the next readings")?;
    }
    if pool.lost_slots > 0 {
        let slots = count(pool.lost_slots, "slot");
        writeln!(
            out,
            "  {lost_wh} Wh of {slots} are given up: void, counted after all, or never settled; \
             the register's difference has them"
        )?;
    }
    if pool.waiting_slots == 0 && *carried_wh == 0 && pool.lost_slots == 0 {
        writeln!(out, "  nothing waits")?;
    }
    Ok(())
}

fn count(number: u32, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
