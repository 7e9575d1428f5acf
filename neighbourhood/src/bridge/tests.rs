use super::*;

use protocol::reading::Register;
use tokio::io::AsyncReadExt as _;

fn telegram(meter: &str, wh: u64) -> String {
    let (kwh, rest) = (wh / 1_000, wh % 1_000);
    format!("/KMP5 A\r\n\r\n0-0:96.1.1({meter})\r\n1-0:1.8.1({kwh}.{rest:03}*kWh)\r\n!\r\n")
}

fn imports(capture: &str) -> anyhow::Result<Vec<u64>> {
    let telegrams = cut(capture.as_bytes())?;
    Ok(telegrams.iter().map(|captured| captured.stands[&Register::Import]).collect())
}

#[test]
fn a_capture_goes_byte_for_byte_from_its_first_to_its_last_whole_telegram() {
    let begun = "1-0:52.7.0(235.2*V)\r\n!F21E\r\n";
    let whole = format!("{begun}{}{}", telegram("A", 1_000), telegram("A", 1_001));
    let capture = format!("{whole}/KMP5 A\r\n1-0:1.8.1(1.0");
    assert_eq!(imports(&capture).unwrap(), [1_000, 1_001]);
    let bytes: Vec<u8> =
        cut(capture.as_bytes()).unwrap().into_iter().flat_map(|captured| captured.bytes).collect();
    // The last line's end is whose who sends the next.
    assert_eq!(bytes, whole.strip_suffix('\n').unwrap().as_bytes());
}

#[test]
fn a_capture_that_does_not_go_on_is_refused_where_it_stops() {
    for (meter, wh) in [("B", 1_001), ("A", 999), ("A", 1_006)] {
        let capture = telegram("A", 1_000) + &telegram("A", 1_000) + &telegram(meter, wh);
        let refused = imports(&capture).unwrap_err().to_string();
        assert!(refused.starts_with("telegram 3 does not go on"), "{refused}");
    }
    assert!(imports(&(telegram("A", 1_000) + &telegram("A", 1_005))).is_ok());
    let refused = imports(&telegram("A", 1_000)).unwrap_err().to_string();
    assert_eq!(refused, "1 telegrams in it are of use");
}

#[test]
fn a_telegram_goes_in_the_middle_of_a_second() {
    let due = |last| next_due(Timestamp(last)).0;
    assert_eq!([due(7_000), due(7_529), due(7_530), due(7_999)], [7_530, 7_530, 8_530, 8_530]);
}

#[tokio::test]
async fn whoever_connects_gets_the_capture_and_what_went_is_known() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let capture = telegram("A", 1_000) + &telegram("A", 1_001);
    fs::write(file.path(), &capture).unwrap();
    let mut bridge = Bridge::open(file.path()).await.unwrap();
    assert_eq!(bridge.telegrams(), 2);
    assert_eq!(bridge.poll_sent().err(), Some(TryRecvError::Empty));
    let mut meter = TcpStream::connect(bridge.address()).await.unwrap();
    let mut heard = vec![0; capture.len() - 1];
    meter.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, &capture.as_bytes()[..heard.len()]);
    let went = [bridge.poll_sent().ok().unwrap(), bridge.poll_sent().ok().unwrap()];
    for (sent, wh) in went.iter().zip([1_000, 1_001]) {
        assert_eq!(sent.stands, [(Register::Import, wh)].into());
        let phase = u128::from(sent.at.0 % 1_000 - PHASE_MS);
        assert!(phase <= LATE.as_millis(), "{phase}");
    }
    while bridge.poll_sent().err() != Some(TryRecvError::Disconnected) {
        tokio::task::yield_now().await;
    }
}
