//! What was found on a line, for people and for programs.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use super::heard::{Found, Verdict};
use super::line::Setting;
use crate::source::p1::{Baud, Line};

/// A line that was looked at.
pub(super) struct Finding {
    pub(super) line: Line,
    /// The speed at which the verdict was reached, on a serial port.
    pub(super) setting: Option<Setting>,
    /// An error where the line cannot be opened.
    pub(super) verdict: io::Result<Verdict>,
}

impl Finding {
    /// Whether an agent can read this line.
    pub(super) fn is_usable(&self) -> bool {
        matches!(self.verdict, Ok(Verdict::P1(_)))
    }

    /// Some lines for a person.
    pub(super) fn human(&self) -> String {
        let name = name(&self.line);
        let at = self.setting.map_or(String::new(), |setting| format!(" at {setting}"));
        let Ok(Verdict::P1(found)) = &self.verdict else {
            return format!("{name}{at}\n  {}\n", self.says());
        };
        let block = block(&self.line);
        let place = "Put this in place of [source] in meter-agent.toml:";
        format!("{name}{at}\n{}\n{place}\n\n{block}\n", registers(found, &self.says()))
    }

    /// One JSON object on a line.
    pub(super) fn json(&self) -> String {
        let name = quoted(&name(&self.line));
        let setting = self.setting.map_or("null".to_owned(), |at| quoted(&at.to_string()));
        let (verdict, says) = (self.verdict_name(), quoted(&self.says()));
        let mut json = format!(
            r#"{{"event":"line","line":{name},"setting":{setting},"verdict":"{verdict}","says":{says}"#
        );
        if let Ok(Verdict::P1(found)) = &self.verdict {
            let interval = found.interval.map_or("null".to_owned(), |i| i.as_millis().to_string());
            let (import, export) = (array(&found.import), array(&found.export));
            let (telegrams, checksum) = (found.telegrams, found.has_checksum);
            let block = quoted(&block(&self.line));
            // Writing to a string does not fail.
            write!(
                json,
                r#","telegrams":{telegrams},"interval_ms":{interval},"checksum":{checksum},"import":{import},"export":{export},"source":{block}"#
            )
            .ok();
        }
        json + "}\n"
    }

    fn verdict_name(&self) -> &'static str {
        match &self.verdict {
            Ok(Verdict::P1(_)) => "p1",
            Ok(Verdict::Sml) => "sml",
            Ok(Verdict::Refused(_)) => "refused",
            Ok(Verdict::Noise(_)) => "noise",
            Ok(Verdict::Silent) => "silent",
            Err(_) => "closed",
        }
    }

    fn says(&self) -> String {
        match &self.verdict {
            Ok(Verdict::P1(found)) => in_words(found),
            Ok(Verdict::Sml) => "this is SML, not supported yet".to_owned(),
            Ok(Verdict::Refused(refusal)) => {
                format!("telegrams come, but none is accepted: {refusal}")
            }
            Ok(Verdict::Noise(bytes)) => format!(
                "{bytes} bytes came and no telegram: another speed, a cable that does not invert \
                 the signal as P1 needs, an encrypted port, or no meter. A meter that sends \
                 seldom needs a longer --seconds"
            ),
            Ok(Verdict::Silent) => format!("no byte came: {}", silence(&self.line)),
            Err(error) => format!("cannot be opened: {error}. {}", remedy(&self.line, error)),
        }
    }
}

/// What a line is called.
pub(super) fn name(line: &Line) -> String {
    match line {
        Line::Device { path, .. } | Line::File { path, .. } => path.display().to_string(),
        Line::Tcp { address } => address.clone(),
    }
}

fn in_words(found: &Found) -> String {
    let telegrams = match found.telegrams {
        1 => "1 telegram".to_owned(),
        more => format!("{more} telegrams"),
    };
    let interval = found.interval.map_or("interval not seen".to_owned(), every);
    let checksum = if found.has_checksum { "with a checksum" } else { "without a checksum" };
    format!("P1: {telegrams}, {interval}, {checksum}")
}

fn every(interval: Duration) -> String {
    format!("one every {}.{} s", interval.as_secs(), interval.subsec_millis() / 100)
}

fn registers(found: &Found, says: &str) -> String {
    let mut text = format!("  {says}\n");
    for (register, codes) in [("import", &found.import), ("export", &found.export)] {
        let codes = if codes.is_empty() { "none".to_owned() } else { codes.join(" + ") };
        // Writing to a string does not fail.
        writeln!(text, "  {register}: {codes}").ok();
    }
    text
}

fn silence(line: &Line) -> &'static str {
    match line {
        Line::Device { .. } => {
            "is the cable in the meter's P1 port, and has the port been switched on?"
        }
        Line::Tcp { .. } => "is the bridge's own cable in the meter's P1 port?",
        Line::File { .. } => "the file is empty",
    }
}

fn remedy(line: &Line, error: &io::Error) -> &'static str {
    match line {
        Line::Device { .. } if error.kind() == io::ErrorKind::PermissionDenied => {
            "Is this user in the group dialout (`usermod -aG dialout USER`, then log in again)?"
        }
        Line::Device { .. } => {
            "Is it plugged in, or does another program hold it (`systemctl stop meter-agent`)?"
        }
        Line::Tcp { .. } => "Is the bridge switched on, and are address and port right?",
        Line::File { .. } => "A capture is a file of what came from a port",
    }
}

/// The configuration of a line.
fn block(line: &Line) -> String {
    let keys = match line {
        Line::Device { path, baud } => {
            let baud = if *baud == Baud::default() { "" } else { "baud = 9600\n" };
            format!("device = {}\n{baud}", quoted(&path.to_string_lossy()))
        }
        Line::Tcp { address } => format!("tcp = {}\n", quoted(address)),
        Line::File { path, .. } => format!("file = {}\n", quoted(&path.to_string_lossy())),
    };
    format!("[source]\nkind = \"p1\"\n{keys}")
}

fn array(codes: &[String]) -> String {
    let codes: Vec<String> = codes.iter().map(|code| quoted(code)).collect();
    format!("[{}]", codes.join(","))
}

/// A text in quotes, as TOML (basic strings) and JSON both read it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            // Writing to a string does not fail.
            control if control.is_control() => {
                write!(quoted, "\\u{:04x}", u32::from(control)).ok();
            }
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceConfig;

    fn parsed(block: &str) -> SourceConfig {
        #[derive(serde::Deserialize)]
        struct Table {
            source: SourceConfig,
        }
        toml::from_str::<Table>(block).unwrap().source
    }

    #[test]
    fn every_block_is_the_line_that_it_is_made_from() {
        for line in [
            Line::Device { path: "/dev/ttyUSB0".into(), baud: Baud::B115200 },
            Line::Device { path: "/dev/a \"b\\c\n\u{7f}é".into(), baud: Baud::B9600 },
            Line::Tcp { address: "[::1]:2001".into() },
            Line::File { path: "/tmp/capture".into(), speedup: 1, interval_ms: 1_000 },
        ] {
            let SourceConfig::P1(config) = parsed(&block(&line)) else { panic!("not P1") };
            assert_eq!(config.line, line);
        }
    }

    #[test]
    fn a_text_in_quotes_is_read_back_from_json_too() {
        let text = "a \"b\\c\n\t\u{0}\u{7f}\u{85}é";
        assert_eq!(serde_json::from_str::<String>(&quoted(text)).unwrap(), text);
    }

    #[test]
    fn a_port_that_may_not_be_opened_is_no_dead_end() {
        let line = Line::Device { path: "/dev/ttyUSB0".into(), baud: Baud::B115200 };
        let verdict = Err(io::ErrorKind::PermissionDenied.into());
        let finding = Finding { line, setting: None, verdict };
        assert!(finding.human().contains("group dialout") && !finding.is_usable());
        let json: serde_json::Value = serde_json::from_str(&finding.json()).unwrap();
        assert_eq!((&json["verdict"], &json["line"]), (&"closed".into(), &"/dev/ttyUSB0".into()));
    }
}
