//! A TCP proxy between one party and the broker, which spoils connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The most that is read at once.
const CHUNK: usize = 16 * 1024;
/// After a connection that could not be accepted, and between two pieces of a
/// split one.
const PAUSE: Duration = Duration::from_millis(1);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the broker.
    Up,
    /// From the broker.
    Down,
}

/// What becomes of bytes under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// They arrive.
    Clear,
    /// In one direction they are lost, and nobody is told.
    Hole(Direction),
    /// They arrive so much later, in both directions.
    Slow(Duration),
    /// They arrive in pieces of so many.
    Split(usize),
}

/// How connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// With a FIN.
    Closed,
    /// With an RST.
    Reset,
}

#[derive(Clone, Copy)]
struct State {
    passage: Passage,
    /// How often all connections were cut, and how the last time.
    cuts: u64,
    cut: Cut,
}

/// A port at which one party finds the broker. It closes when this is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Opens a port that leads to the broker's, whether or not that answers.
    pub(crate) async fn open(broker: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free port")?;
        let address = listener.local_addr()?;
        let (state, seen) =
            watch::channel(State { passage: Passage::Clear, cuts: 0, cut: Cut::Closed });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, broker, seen));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// Where it answers.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What becomes of bytes from now on. Who has lost some, without knowing,
    /// loses the connection at last.
    pub(crate) fn set(&self, passage: Passage) {
        self.state.send_modify(|state| {
            if matches!(state.passage, Passage::Hole(_)) {
                state.cuts += 1;
                state.cut = Cut::Reset;
            }
            state.passage = passage;
        });
    }

    /// Ends all connections.
    pub(crate) fn cut(&self, cut: Cut) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.cut = cut;
        });
    }
}

async fn accept(listener: TcpListener, broker: u16, seen: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((party, _)) => {
                    connections.spawn(connect(party, broker, seen.clone()));
                }
                Err(_) => sleep(PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, to its end. A broker that is not there refuses it.
async fn connect(mut party: TcpStream, broker: u16, mut seen: watch::Receiver<State>) {
    seen.mark_unchanged();
    let cuts = seen.borrow().cuts;
    let Ok(mut upstream) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)).await else { return };
    // Fails only for a connection that has ended.
    party.set_nodelay(true).and_then(|()| upstream.set_nodelay(true)).ok();
    let cut = {
        let ((from_party, to_party), (from_broker, to_broker)) = (party.split(), upstream.split());
        tokio::select! {
            _ = carry(from_party, to_broker, Direction::Up, seen.clone()) => None,
            _ = carry(from_broker, to_party, Direction::Down, seen.clone()) => None,
            state = seen.wait_for(|state| state.cuts > cuts) => state.ok().map(|state| state.cut),
        }
    };
    if cut == Some(Cut::Reset) {
        party.set_zero_linger().and_then(|()| upstream.set_zero_linger()).ok();
    }
}

/// Carries bytes in one direction, until there are no more.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    seen: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        let passage = seen.borrow().passage;
        match passage {
            Passage::Hole(lost) if lost == direction => {}
            Passage::Clear | Passage::Hole(_) => to.write_all(bytes).await?,
            Passage::Slow(delay) => {
                sleep(delay).await;
                to.write_all(bytes).await?;
            }
            Passage::Split(size) => {
                for piece in bytes.chunks(size.max(1)) {
                    to.write_all(piece).await?;
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A party's connection through a proxy, and the broker's end of it.
    async fn pair() -> (Proxy, TcpStream, TcpStream) {
        let broker = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::open(broker.local_addr().unwrap().port()).await.unwrap();
        let party = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.unwrap();
        let (upstream, _) = broker.accept().await.unwrap();
        (proxy, party, upstream)
    }

    async fn said(stream: &mut TcpStream, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
        bytes
    }

    /// How the other end finds its connection ended.
    async fn end(stream: &mut TcpStream) -> io::Result<usize> {
        timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap()
    }

    #[tokio::test]
    async fn bytes_arrive_whole_however_they_are_split_or_late() {
        let (proxy, mut party, mut broker) = pair().await;
        for passage in [Passage::Clear, Passage::Split(3), Passage::Slow(Duration::from_millis(20))]
        {
            proxy.set(passage);
            party.write_all(b"contribution").await.unwrap();
            assert_eq!(said(&mut broker, 12).await, b"contribution", "{passage:?}");
            broker.write_all(b"receipt").await.unwrap();
            assert_eq!(said(&mut party, 7).await, b"receipt", "{passage:?}");
        }
    }

    #[tokio::test]
    async fn a_cut_is_seen_at_both_ends_as_it_was_made() {
        let (proxy, mut party, mut broker) = pair().await;
        proxy.cut(Cut::Closed);
        assert_eq!((end(&mut party).await.unwrap(), end(&mut broker).await.unwrap()), (0, 0));
        let (proxy, mut party, mut broker) = pair().await;
        proxy.cut(Cut::Reset);
        for stream in [&mut party, &mut broker] {
            assert_eq!(end(stream).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
    }

    #[tokio::test]
    async fn a_hole_swallows_one_direction_and_ends_with_the_connection() {
        let (proxy, mut party, mut broker) = pair().await;
        proxy.set(Passage::Hole(Direction::Up));
        party.write_all(b"lost").await.unwrap();
        broker.write_all(b"heard").await.unwrap();
        assert_eq!(said(&mut party, 5).await, b"heard");
        proxy.set(Passage::Clear);
        assert_eq!(end(&mut broker).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn without_a_broker_a_connection_ends_at_once() {
        let (proxy, party, broker) = pair().await;
        drop((party, broker));
        let mut late = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.unwrap();
        assert!(end(&mut late).await.is_ok_and(|count| count == 0));
    }
}
