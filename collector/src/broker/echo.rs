//! A round trip through the broker, in packets of MQTT 3.1.1.
//!
//! An open port says nothing about the router, and a CONNACK nothing about the way of a message:
//! what comes back here was taken in, kept, and handed out.

use std::io;
use std::net::SocketAddr;

use protocol::topic;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Connects under the name of a number, subscribes to the topic of the watch, publishes another
/// number there with `QoS` 0 and waits until that comes back.
///
/// It leaves without DISCONNECT: rumqttd takes out a client that sends it once for the packet and
/// once for the end of its connection, the second time by a number that may be another's by then.
///
/// # Errors
/// Where anything but the one right answer comes, or the connection ends.
pub(super) async fn round_trip(listen: SocketAddr, (watch, look): (u32, u32)) -> io::Result<()> {
    let mut stream = TcpStream::connect(listen).await?;
    stream.set_nodelay(true)?;
    exchange(&mut stream, &connect(watch), &[0x20, 2, 0, 0]).await?;
    exchange(&mut stream, &subscribe(), &[0x90, 3, 0, 1, 0]).await?;
    let publish = publish(look);
    exchange(&mut stream, &publish, &publish).await
}

/// Sends a packet and takes its answer.
async fn exchange(stream: &mut TcpStream, packet: &[u8], expected: &[u8]) -> io::Result<()> {
    stream.write_all(packet).await?;
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).await?;
    if answer == expected { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// CONNECT (section 3.1): a clean session with a keep-alive of 60 s.
fn connect(watch: u32) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60];
    put_text(&mut body, &format!("broker-watch-{watch:010}"));
    packet(0x10, body)
}

/// SUBSCRIBE (section 3.8) with the packet id 1 and `QoS` 0.
fn subscribe() -> Vec<u8> {
    let mut body = vec![0, 1];
    put_text(&mut body, &topic::of_watch());
    body.push(0);
    packet(0x82, body)
}

/// PUBLISH (section 3.3) with `QoS` 0.
fn publish(look: u32) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, &topic::of_watch());
    body.extend(look.to_be_bytes());
    packet(0x30, body)
}

/// A body of fewer than 128 bytes behind its fixed header (section 2.2).
fn packet(kind: u8, body: Vec<u8>) -> Vec<u8> {
    let mut packet = vec![kind, u8::try_from(body.len()).unwrap_or(u8::MAX)];
    packet.extend(body);
    packet
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    body.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const CONNACK: &[u8] = &[0x20, 2, 0, 0];
    const SUBACK: &[u8] = &[0x90, 3, 0, 1, 0];

    /// A round trip through a broker that answers each packet so, and then ends the connection.
    async fn through(answers: [&[u8]; 3]) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let listen = listener.local_addr()?;
        let broker = async {
            let (mut stream, _) = listener.accept().await?;
            for (packet, answer) in [connect(7), subscribe(), publish(9)].iter().zip(answers) {
                let mut taken = vec![0; packet.len()];
                stream.read_exact(&mut taken).await?;
                assert_eq!(&taken, packet);
                stream.write_all(answer).await?;
            }
            Ok(())
        };
        tokio::try_join!(round_trip(listen, (7, 9)), broker).map(|_| ())
    }

    #[tokio::test]
    async fn a_message_that_comes_back_is_a_round_trip() {
        through([CONNACK, SUBACK, &publish(9)]).await.unwrap();
    }

    #[tokio::test]
    async fn a_broker_that_greets_and_hands_out_nothing_is_none() {
        let error = through([CONNACK, SUBACK, b""]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn neither_is_one_that_refuses_or_hands_out_another_message() {
        let refused: &[u8] = &[0x90, 3, 0, 1, 0x80];
        for answers in [[CONNACK, refused, b""], [CONNACK, SUBACK, &publish(8)]] {
            let error = through(answers).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
