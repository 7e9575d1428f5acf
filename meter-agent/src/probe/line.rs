//! A line that is opened once.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Cursor, Read as _};
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_serial::{
    DataBits, FlowControl, Parity, SerialPortBuilderExt as _, SerialStream, StopBits,
};

use crate::source::p1::{Baud, Line};

/// How long a bridge may take to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// The most that is read of a capture, in bytes.
const MAX_CAPTURE: u64 = 1 << 26;

/// What comes from a line.
pub(crate) type Stream = Box<dyn AsyncRead + Unpin>;

/// A serial port's speed and framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    baud: u32,
    bits: DataBits,
    parity: Parity,
}

impl Setting {
    /// P1 from DSMR 4 on.
    pub(crate) const P1: Self = Self { baud: 115_200, bits: DataBits::Eight, parity: Parity::None };
    /// P1 to DSMR 3.
    pub(crate) const OLD_P1: Self =
        Self { baud: 9_600, bits: DataBits::Seven, parity: Parity::Even };
    /// Optical heads on meters that send SML.
    pub(crate) const SML: Self = Self { baud: 9_600, bits: DataBits::Eight, parity: Parity::None };

    /// The speed of a P1 port that was heard so. None sends 9600 8N1; one that
    /// was heard so is 7E1 with its parity bits.
    pub(crate) fn baud(self) -> Baud {
        if self.baud == 9_600 { Baud::B9600 } else { Baud::B115200 }
    }
}

impl From<Baud> for Setting {
    fn from(baud: Baud) -> Self {
        match baud {
            Baud::B115200 => Self::P1,
            Baud::B9600 => Self::OLD_P1,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = if self.parity == Parity::None { 'N' } else { 'E' };
        write!(f, "{} {}{parity}1", self.baud, u8::from(self.bits))
    }
}

/// Opens a line; a capture is read at once.
pub(crate) async fn open(line: &Line) -> io::Result<Stream> {
    match line {
        Line::Device { path, baud } => Ok(Box::new(open_serial(path, (*baud).into())?)),
        Line::Tcp { address } => match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(stream) => Ok(Box::new(stream?)),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        },
        Line::File { path, .. } => Ok(Box::new(Cursor::new(read(path)?))),
    }
}

/// Opens a serial port, for nobody else to use meanwhile.
pub(crate) fn open_serial(path: &Path, setting: Setting) -> io::Result<SerialStream> {
    let port = tokio_serial::new(path.to_string_lossy(), setting.baud);
    let port = port.data_bits(setting.bits).parity(setting.parity);
    let port = port.stop_bits(StopBits::One).flow_control(FlowControl::None);
    port.open_native_async().map_err(io::Error::from)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        let text = "it is no regular file; a serial port is a device";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_CAPTURE).read_to_end(&mut bytes)?;
    Ok(bytes)
}
