//! Whatever a line may carry: no panic, no energy that was not measured, and
//! bounded memory.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use protocol::slot::Timestamp;

use super::crc::crc16_as_sent;
use super::frame::{Crc, FrameError, Framer, MAX_TELEGRAM};
use super::series::{Event, MAX_MARKS};
use super::telegram::Telegram;
use super::vectors::{DSMR50, energy, outcomes, with_carriage_returns};
use super::{Misfit, laws};

const WH: (u64, u64) = (7_373_999, 0);

/// [`DSMR50`] a second later, with 1 Wh more.
fn next() -> Vec<u8> {
    with_1_wh_more("240115120001W")
}

fn with_1_wh_more(stamp: &str) -> Vec<u8> {
    let text = String::from_utf8(DSMR50.to_vec()).unwrap();
    let text = text.replace("240115120000W", stamp).replace("003131.998", "003131.999");
    let telegram = &text.as_bytes()[..=text.rfind('!').unwrap()];
    let crc = format!("{:04X}\n", crc16_as_sent(telegram));
    [telegram, crc.as_bytes()].concat()
}

/// The energy of a slot of 10 s with `bytes` between [`DSMR50`] at its
/// beginning and 1 Wh more at its end. A checksum of 16 bits lets one splice in
/// 65,536 pass, and then it must not count.
fn counted(bytes: &[u8]) -> Option<u64> {
    let mut series = laws::series(10);
    let last = with_1_wh_more("240115120010W");
    for (bytes, ms) in [(DSMR50, 0), (bytes, 1_000), (&last, 10_000)] {
        for telegram in outcomes(Crc::Require, bytes).into_iter().filter_map(Result::ok) {
            series.handle_telegram(&telegram, laws::after(ms));
        }
    }
    laws::ready(&mut series, 10, laws::START, 1)[0]
}

/// What was accepted of `bytes`.
fn accepted(crc: Crc, bytes: &[u8]) -> Vec<(u64, u64)> {
    energy(crc, bytes).into_iter().filter_map(Result::ok).collect()
}

/// [`DSMR50`] and the next telegram in turns, by pieces of these lengths.
fn in_pieces(pieces: &[(usize, usize)]) -> Vec<u8> {
    let second = next();
    let (mut first, mut second) = (DSMR50, second.as_slice());
    let mut bytes = Vec::new();
    for (a, b) in pieces.iter().chain([&(usize::MAX, usize::MAX)]) {
        for (rest, taken) in [(&mut first, a), (&mut second, b)] {
            let (piece, left) = rest.split_at(rest.len().min(*taken));
            bytes.extend_from_slice(piece);
            *rest = left;
        }
    }
    bytes
}

proptest! {
    #[test]
    fn binary_noise_is_refused(noise in vec(any::<u8>(), 0..20_000)) {
        for crc in [Crc::Auto, Crc::Require, Crc::Off] {
            prop_assert!(accepted(crc, &noise).is_empty());
        }
    }

    #[test]
    fn noise_around_a_telegram_does_not_hide_it(
        before in vec(any::<u8>(), 0..10_000),
        after in vec(any::<u8>(), 0..10_000),
    ) {
        let bytes = [&before, b"\n".as_slice(), DSMR50, &after].concat();
        prop_assert_eq!(accepted(Crc::Require, &bytes), [WH]);
    }

    #[test]
    fn a_telegram_cut_anywhere_is_whole_or_nothing(cut in any::<Index>(), returns: bool) {
        let whole = if returns { with_carriage_returns(DSMR50) } else { DSMR50.to_vec() };
        let (start, end) = whole.split_at(cut.index(whole.len()));
        let second = next();
        for crc in [Crc::Auto, Crc::Require] {
            for first in [start, end] {
                let accepted = accepted(crc, &[first, &second].concat());
                let (last, rest) = accepted.split_last().unwrap();
                prop_assert_eq!(*last, (WH.0 + 1, 0));
                prop_assert!(rest.iter().all(|wh| *wh == WH));
            }
        }
    }

    #[test]
    fn bytes_lost_within_a_telegram_cost_that_telegram(
        from in any::<Index>(),
        to in any::<Index>(),
    ) {
        let (from, to) = (from.index(DSMR50.len()), to.index(DSMR50.len()));
        let lost = from.min(to)..from.max(to);
        let bytes = [&DSMR50[..lost.start], &DSMR50[lost.end..], &next()].concat();
        prop_assert_eq!(accepted(Crc::Require, &bytes).pop(), Some((WH.0 + 1, 0)));
        prop_assert_eq!(counted(&bytes), Some(1));
    }

    #[test]
    fn a_flipped_byte_is_refused(at in any::<Index>(), flip in 1..=u8::MAX, returns: bool) {
        let mut bytes = if returns { with_carriage_returns(DSMR50) } else { DSMR50.to_vec() };
        let covered = bytes.iter().rposition(|byte| *byte == b'!').unwrap();
        bytes[at.index(covered)] ^= flip;
        prop_assert!(accepted(Crc::Require, &bytes).is_empty());
    }

    #[test]
    fn two_telegrams_in_pieces_into_each_other_count_nothing(
        pieces in vec((1_usize..200, 1_usize..200), 1..20),
    ) {
        prop_assert_eq!(counted(&in_pieces(&pieces)), Some(1));
    }

    #[test]
    fn any_text_within_a_telegram_is_read_or_refused(text in "[-0-9:.()*kWh\r\n/!]{0,300}") {
        // That it does not panic is the law; what it reads is up to the text.
        energy(Crc::Off, format!("/ABC5\n{text}\n!\n").as_bytes());
    }
}

/// Found by the law above: the splice lacks a tariff, and its checksum is right.
#[test]
fn a_splice_that_passes_its_checksum_is_not_counted() {
    let splice = in_pieces(&[(134, 127), (100, 162), (84, 82), (124, 187)]);
    assert_eq!(accepted(Crc::Require, &splice), [(4_242_001, 0)]);
    assert_eq!(counted(&splice), Some(1));
}

#[test]
fn an_endless_line_is_refused_and_forgotten() {
    let endless = [b"/ABC5\n1-0:1.8.0(".as_slice(), &vec![b'7'; 1_000_000], b"\n", DSMR50].concat();
    let outcomes = energy(Crc::Auto, &endless);
    assert_eq!(outcomes, [Err(FrameError::TooLong.into()), Ok(WH)]);
    assert!(DSMR50.len() < MAX_TELEGRAM);
}

#[test]
fn a_value_of_thousands_of_digits_does_not_parse() {
    let text = format!("/ABC5\n1-0:1.8.0({}*kWh)\n!\n", "9".repeat(8_000));
    assert!(energy(Crc::Off, text.as_bytes()).iter().all(Result::is_err));
}

#[test]
fn wrong_checksums_count_nothing_for_as_long_as_they_come() {
    let mut bytes = DSMR50.to_vec();
    bytes[100] ^= 1;
    assert!(accepted(Crc::Auto, &bytes.repeat(100)).is_empty());
}

#[test]
fn two_thousand_telegrams_a_second_add_no_energy_and_no_memory() {
    let mut series = laws::series(1);
    let mut framer = Framer::new(Crc::Require);
    let telegrams = [DSMR50, &next()].concat().repeat(1_000);
    let mut at = laws::START.0 * 10;
    for byte in telegrams.iter().cycle().take(telegrams.len() * 3) {
        if let Some(framed) = framer.push(*byte) {
            let telegram = Telegram::parse(&framed.unwrap()).ok().unwrap();
            at += 5;
            series.handle_telegram(&telegram, Timestamp(at / 10));
        }
    }
    let energy = laws::ready(&mut series, 1, laws::START, 2);
    assert!(energy.iter().flatten().all(|wh| *wh <= 1), "{energy:?}");
}

#[test]
fn a_meter_clock_that_goes_back_changes_nothing() {
    for season in ["S", "W", ""] {
        let stamps =
            ["241027025959", "241027020000", "240331015959", "240331030000", "700101000000"];
        let mut series = laws::series(10);
        for (second, stamp) in (0..=20).zip(stamps.iter().cycle()) {
            let telegram = laws::telegram("A", 1_000 + second, &format!("{stamp}{season}"));
            series.handle_telegram(&telegram, laws::after(second * 1_000));
        }
        assert_eq!(laws::ready(&mut series, 10, laws::START, 2), [Some(10), Some(10)]);
    }
}

#[test]
fn the_hours_of_daylight_saving_change_no_slot() {
    // 2024-03-31 and 2024-10-27, 01:00 UTC.
    for (midnight, before, after) in
        [(1_711_846_800, "240331015", "240331030"), (1_729_990_800, "241027025", "241027020")]
    {
        let (summer, winter) = if before < "241" { ("W", "S") } else { ("S", "W") };
        let mut series = laws::series(60);
        let start = Timestamp((midnight - 600) * 1_000);
        for second in 0..=1_200_u64 {
            let (minute, s) = (second / 60 % 10, second % 60);
            let stamp = if second < 600 {
                format!("{before}{minute}{s:02}{summer}")
            } else {
                format!("{after}{minute}{s:02}{winter}")
            };
            let telegram = laws::telegram("A", 5_000 + second / 6, &stamp);
            series.handle_telegram(&telegram, Timestamp(start.0 + second * 1_000));
        }
        assert_eq!(laws::ready(&mut series, 60, start, 20), [Some(10); 20]);
    }
}

#[test]
fn two_meters_on_one_line_count_as_the_first_of_them() {
    let mut series = laws::series(10);
    for second in 0..=20 {
        let first = laws::telegram("A", 1_000 + second, "");
        series.handle_telegram(&first, laws::after(second * 1_000));
        let second_meter = laws::telegram("B", 500_000 + second, "");
        series.handle_telegram(&second_meter, laws::after(second * 1_000 + 500));
    }
    assert_eq!(series.poll_event(), Some(Event::SetAside(Misfit::Meter)));
    assert_eq!(laws::ready(&mut series, 10, laws::START, 2), [Some(10), Some(10)]);
}

#[test]
fn marks_that_nobody_asks_for_are_forgotten() {
    let mut series = laws::series(1);
    let slots = u64::try_from(MAX_MARKS).unwrap() + 10;
    for second in 0..=slots {
        let telegram = laws::telegram("A", second, "");
        series.handle_telegram(&telegram, laws::after(second * 1_000));
    }
    let energy = laws::ready(&mut series, 1, laws::START, slots);
    assert_eq!(energy.iter().flatten().count(), MAX_MARKS - 1);
    assert_eq!(energy.last(), Some(&Some(1)));
}
