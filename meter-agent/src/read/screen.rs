//! Readings as lines, for a person or for a program.

use std::collections::BTreeMap;
use std::io::{self, Write};

use protocol::reading::Register;
use protocol::slot::Timestamp;

use crate::source::Quantities;

/// Where readings are shown.
pub(super) struct Screen<'a, W> {
    pub(super) json: bool,
    /// What the energies are of.
    pub(super) of: &'static str,
    pub(super) label: &'static str,
    pub(super) out: &'a mut W,
}

impl<W: Write> Screen<'_, W> {
    /// Says what comes; programs need not be told.
    pub(super) fn begin(&mut self, what: &str) -> io::Result<()> {
        if !self.json {
            let label = self.label;
            writeln!(self.out, "{label}: {what}, and in parentheses the energy since the start")?;
        }
        self.out.flush()
    }

    pub(super) fn show(
        &mut self,
        at: Timestamp,
        energy: &Quantities,
        since: &Quantities,
    ) -> io::Result<()> {
        let (of, label) = (self.of, self.label);
        if self.json {
            let wh = |register| energy.get(&register).map_or("null".to_owned(), u64::to_string);
            let (import, export) = (wh(Register::Import), wh(Register::Export));
            writeln!(
                self.out,
                r#"{{"event":"reading","at":{},"import_wh":{import},"export_wh":{export},"of":"{of}","source":"{label}"}}"#,
                at.0
            )?;
        } else {
            let energies = in_words(energy, since);
            writeln!(self.out, "{}{energies}  {label}", time_of_day(at))?;
        }
        self.out.flush()
    }
}

fn in_words(energy: &BTreeMap<Register, u64>, since: &Quantities) -> String {
    let word = |(register, wh): (&Register, &u64)| {
        let since = since.get(register).copied().unwrap_or_default();
        let (whole, thousandths) = (wh / 1_000, wh % 1_000);
        format!("  {register} {whole}.{thousandths:03} kWh (+{since} Wh)")
    };
    energy.iter().map(word).collect()
}

fn time_of_day(at: Timestamp) -> String {
    let seconds = at.0 / 1_000 % 86_400;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_energy_and_what_came_since() {
        let energy = Quantities::from([(Register::Import, 7_373_999), (Register::Export, 7)]);
        let since = Quantities::from([(Register::Import, 12), (Register::Export, 0)]);
        let expected = "  import 7373.999 kWh (+12 Wh)  export 0.007 kWh (+0 Wh)";
        assert_eq!(in_words(&energy, &since), expected);
        assert_eq!(time_of_day(Timestamp(1_705_316_405_999)), "11:00:05 UTC");
    }
}
