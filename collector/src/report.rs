//! `collector report`: the bills of each tariff step and window, and what of
//! each meter's slots is not in them.

use std::io::Write;

use aggregation::ElGamal;
use anyhow::Context as _;
use clap::Args;
use host::clock;
use host::store::{Sqlite, Store as _};
use protocol::id::Epoch;
use protocol::record::{Records, Sort};
use protocol::report::{self, Agreement, Line, OfPortion, Report};
use protocol::roster::AcceptedRoster;
use protocol::slot::Window;
use serde_json::json;

use crate::config::{Config, RegionConfig};
use crate::epoch::Wanted;
use crate::region::database;

/// What to report, and how.
#[derive(Args, Debug)]
pub struct Options {
    /// Of which regions.
    #[command(flatten)]
    pub wanted: Wanted,
    /// One epoch; all that are kept unless given.
    #[arg(long)]
    pub epoch: Option<u32>,
    /// One window, by its number in its epoch; all of them unless given.
    #[arg(long)]
    pub window: Option<u64>,
    /// One line of comma-separated values for each meter, register and step.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// One JSON object for each step of a window.
    #[arg(long)]
    pub json: bool,
}

/// The columns of `--csv`.
const COLUMNS: &str = "region,epoch,window,begins,step,meter,register,wh,slots,joined_slots,\
                       withheld_slots,pooled_slots,estimated_slots,estimated_wh";

/// Reports from the databases of a configuration, also while the collector
/// runs.
///
/// # Errors
/// Where a database cannot be read, or nowhere to write.
pub fn show(options: &Options, output: &mut impl Write) -> anyhow::Result<()> {
    let config: Config = host::config::load(&options.wanted.config)?;
    if options.csv {
        writeln!(output, "{COLUMNS}")?;
    }
    for region in options.wanted.regions(&config)? {
        let reports = reports(&config, region)?;
        for report in reports.iter().filter(|report| options.is_wanted(report.epoch)) {
            options.write(report, output)?;
        }
        if reports.is_empty() && !options.csv && !options.json {
            writeln!(output, "region {}: no epoch yet; is the collector running?", region.name)?;
        }
    }
    Ok(())
}

fn reports(config: &Config, region: &RegionConfig) -> anyhow::Result<Vec<Report>> {
    let (keystore, name) = (config.keystore()?, database(&region.name));
    if !keystore.dir().join(&name).exists() {
        return Ok(Vec::new());
    }
    let records = Sqlite::open_to_read(&keystore, &name)?.load()?;
    let rosters = rosters(config, region, &records)?;
    let read = |roster: &AcceptedRoster<ElGamal>| Ok(report::of(roster, &records, clock::now())?);
    rosters.iter().map(read).collect()
}

/// The rosters that are kept, in order; each ends where the next one begins.
fn rosters(
    config: &Config,
    region: &RegionConfig,
    records: &Records,
) -> anyhow::Result<Vec<AcceptedRoster<ElGamal>>> {
    let (_, registrar) = config.identities(&mut clock::generator()?)?;
    let kept = records.of(Sort::PastRoster).chain(records.of(Sort::Roster));
    let open = |(_, bytes)| {
        AcceptedRoster::open(bytes, &region.name, &registrar.key())
            .with_context(|| format!("region {}", region.name))
    };
    let mut rosters: Vec<AcceptedRoster<ElGamal>> =
        kept.map(open).collect::<anyhow::Result<_>>()?;
    AcceptedRoster::end_in_turn(&mut rosters);
    Ok(rosters)
}

impl Options {
    fn is_wanted(&self, epoch: Epoch) -> bool {
        self.epoch.is_none_or(|wanted| wanted == epoch.0)
    }

    fn write(&self, report: &Report, output: &mut impl Write) -> anyhow::Result<()> {
        let is_wanted = |of: &&OfPortion| self.window.map(Window).is_none_or(|w| w == of.window);
        for of in report.portions.iter().filter(is_wanted) {
            if self.json {
                let said = json!({ "region": report.region, "epoch": report.epoch, "bills": of });
                writeln!(output, "{said}")?;
            } else if self.csv {
                write_csv(report, of, output)?;
            } else {
                write_table(report, of, output)?;
            }
        }
        Ok(())
    }
}

fn write_csv(report: &Report, of: &OfPortion, output: &mut impl Write) -> anyhow::Result<()> {
    let begins = clock::utc(of.begins);
    for line in &of.lines {
        writeln!(
            output,
            "{},{},{},{begins},{},{},{},{},{},{},{},{},{},{}",
            report.region,
            report.epoch,
            of.window,
            of.step,
            line.meter,
            line.register,
            number(line.wh),
            line.slots,
            line.joined_slots,
            line.withheld_slots,
            line.pooled_slots,
            line.estimated_slots,
            number(line.estimated_wh),
        )?;
    }
    Ok(())
}

fn write_table(report: &Report, of: &OfPortion, output: &mut impl Write) -> anyhow::Result<()> {
    writeln!(
        output,
        "region {}, epoch {}, window {} from {}, step {}: {} slots, {} billed, {} withheld, {} void",
        report.region,
        report.epoch,
        of.window,
        clock::utc(of.begins),
        of.step,
        of.slots,
        of.billed_slots,
        of.withheld_slots,
        of.void_slots,
    )?;
    if let Some(reason) = &of.reason {
        writeln!(output, "  no bills: {reason}")?;
    }
    writeln!(output, "  {:<16} {:<8} {:>10} {:>6}  not in it", "meter", "register", "Wh", "slots")?;
    for line in &of.lines {
        let (meter, register) = (line.meter.as_str(), line.register.as_str());
        let (wh, slots) = (number(line.wh), line.slots);
        let left = left_out(line);
        let text = format!("  {meter:<16} {register:<8} {wh:>10} {slots:>6}  {left}");
        writeln!(output, "{}", text.trim_end())?;
    }
    for agreement in &of.agreements {
        writeln!(output, "  {}", agrees(agreement))?;
    }
    Ok(writeln!(output)?)
}

/// What is not in a bill, and what is in it beside the window's own slots.
fn left_out(line: &Line) -> String {
    let counts = [
        (line.joined_slots, "of earlier windows are in it"),
        (line.pooled_slots, "uncounted, carried by the meter"),
        (line.withheld_slots, "withheld"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let mut parts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
    if line.estimated_slots > 0 {
        let wh = line.estimated_wh.map_or("nothing to go by".to_owned(), |wh| format!("{wh} Wh"));
        parts.push(format!("{} estimated: {wh}", line.estimated_slots));
    }
    parts.join(", ")
}

/// Whether the sum over meters is the sum over slots.
fn agrees(agreement: &Agreement) -> String {
    let Agreement { register, meters_wh, slots_wh, missing } = agreement;
    match agreement.agrees() {
        Some(true) => {
            format!("{register}: the sum over meters is the sum over slots, {meters_wh} Wh")
        }
        Some(false) => format!(
            "{register}: the sum over meters, {meters_wh} Wh, is NOT the sum over slots, {slots_wh} Wh"
        ),
        None => format!(
            "{register}: {meters_wh} Wh over meters, {slots_wh} Wh over slots; {missing} sums are \
             missing, so that they cannot be compared"
        ),
    }
}

fn number(wh: Option<u64>) -> String {
    wh.map_or_else(String::new, |wh| wh.to_string())
}
