//! What systemd would hear of a party: a socket of ours in its place.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);
/// Within which a party has to be heard.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(4);

/// A socket for `sd_notify`.
pub(crate) struct Systemd {
    dir: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Systemd {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        Self { dir, socket }
    }

    /// What it hands to a party that it starts.
    pub(crate) fn environment(&self) -> [(&'static str, OsString); 2] {
        [
            ("NOTIFY_SOCKET", self.dir.path().join("notify").into()),
            ("WATCHDOG_USEC", WATCHDOG.as_micros().to_string().into()),
        ]
    }

    /// Waits for a line of which this is so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let mut heard = Vec::new();
        while !heard.iter().any(|line: &String| is_so(line)) {
            match self.hear(PATIENCE) {
                Some(lines) => heard = lines,
                None => panic!("waited in vain for {what}; heard last: {heard:?}"),
            }
        }
    }

    /// Waits until no line for the watchdog has come within its span.
    pub(crate) fn until_watchdog_bites(&self) {
        while let Some(lines) = self.hear(WATCHDOG) {
            assert!(lines.iter().all(|line| line != "STOPPING=1"), "{lines:?}");
        }
    }

    fn hear(&self, wait: Duration) -> Option<Vec<String>> {
        self.socket.set_read_timeout(Some(wait)).unwrap();
        let mut datagram = [0; 4096];
        match self.socket.recv(&mut datagram) {
            Ok(length) => {
                let text = std::str::from_utf8(&datagram[..length]).unwrap();
                Some(text.lines().map(str::to_owned).collect())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}
