//! The serial ports of this machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::line::{Setting, open_serial};

/// How the names of serial ports begin: adapters, and the ports of boards.
const NAMES: [&str; 4] = ["ttyUSB", "ttyACM", "ttyAMA", "ttyS"];

/// Every port once, by the name that survives replugging where it has one.
///
/// # Panics
/// Outside of a tokio runtime.
pub(super) fn list(dev: &Path) -> Vec<PathBuf> {
    let mut ports = entries(&by_id_dir(dev));
    let named: BTreeSet<PathBuf> = ports.iter().filter_map(|port| target(port)).collect();
    let is_new = |port: &PathBuf| target(port).is_none_or(|target| !named.contains(&target));
    ports.extend(entries(dev).into_iter().filter(|port| is_port(port) && is_new(port)));
    ports
}

/// The name of a port that survives replugging, or the one given.
pub(super) fn by_id(dev: &Path, port: &Path) -> PathBuf {
    let wanted = target(port);
    let is_it = |named: &PathBuf| wanted.is_some() && target(named) == wanted;
    entries(&by_id_dir(dev)).into_iter().find(is_it).unwrap_or_else(|| port.to_owned())
}

fn by_id_dir(dev: &Path) -> PathBuf {
    dev.join("serial/by-id")
}

/// What a folder holds, in order; nothing where there is no folder.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let ports: BTreeSet<PathBuf> = entries.collect();
    ports.into_iter().collect()
}

/// The device behind a link.
fn target(port: &Path) -> Option<PathBuf> {
    fs::canonicalize(port).ok()
}

/// Whether this is a serial port. The kernel names some ttyS that are not
/// there: these cannot be opened.
fn is_port(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let named = NAMES.iter().find(|begin| name.starts_with(*begin));
    named.is_some_and(|begin| *begin != "ttyS" || open_serial(path, Setting::P1).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn dev(files: &[&str], named: &[(&str, &str)]) -> tempfile::TempDir {
        let dev = tempfile::tempdir().unwrap();
        fs::create_dir_all(by_id_dir(dev.path())).unwrap();
        for file in files {
            fs::write(dev.path().join(file), "").unwrap();
        }
        for (name, file) in named {
            symlink(Path::new("../..").join(file), by_id_dir(dev.path()).join(name)).unwrap();
        }
        dev
    }

    #[tokio::test]
    async fn a_port_is_listed_once_by_its_lasting_name() {
        let files = ["null", "ttyACM0", "ttyAMA0", "ttyS0", "ttyUSB0", "ttyUSB1", "tty1"];
        let dev = dev(&files, &[("usb-b-port0", "ttyUSB0"), ("usb-a-port0", "ttyACM0")]);
        let expected = ["serial/by-id/usb-a-port0", "serial/by-id/usb-b-port0"];
        let expected = expected.into_iter().chain(["ttyAMA0", "ttyUSB1"]);
        let expected: Vec<_> = expected.map(|port| dev.path().join(port)).collect();
        assert_eq!(list(dev.path()), expected);
    }

    #[test]
    fn a_port_goes_by_its_lasting_name_where_it_has_one() {
        let dev = dev(&["ttyUSB0", "ttyUSB1"], &[("usb-meter", "ttyUSB0")]);
        let name = |port: &str| by_id(dev.path(), &dev.path().join(port));
        assert_eq!(name("ttyUSB0"), by_id_dir(dev.path()).join("usb-meter"));
        assert_eq!(name("ttyUSB1"), dev.path().join("ttyUSB1"));
        assert_eq!(name("ttyUSB2"), dev.path().join("ttyUSB2"));
    }
}
