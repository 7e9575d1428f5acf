//! Debian's mosquitto, where it is installed.

use std::io::Write as _;
use std::process::Command;

/// Whether Debian's mosquitto is there. Where it is not, `test` is reported as
/// skipped; with `CI=true` it fails instead.
pub(crate) fn has_mosquitto(test: &str) -> bool {
    let there = Command::new("mosquitto").arg("-h").output().is_ok();
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(there || !ci, "{test} needs mosquitto");
    if !there {
        // Written directly, since the harness swallows what a passing test prints.
        writeln!(std::io::stderr(), "SKIPPED {test}: no mosquitto").ok();
    }
    there
}
