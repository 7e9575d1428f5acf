//! What a meter's clock shows. Nothing is placed in time by it; it tells a
//! telegram that is repeated, the pace of a capture, and two clocks that differ.

use protocol::slot::Timestamp;

/// A time on the meter's clock. All of these dialects are spoken where Central
/// European Time is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Seconds since 1970-01-01T00:00:00 on the meter's clock.
    local_s: u64,
    season: Option<Season>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Season {
    Summer,
    Winter,
}

impl Stamp {
    /// Reads `YYMMDDhhmmss` and, where there is one, `S` for summer or `W` for
    /// winter time.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (digits, season) = match text.split_last()? {
            (b'S', digits) => (digits, Some(Season::Summer)),
            (b'W', digits) => (digits, Some(Season::Winter)),
            _ => (text, None),
        };
        let mut fields = [0; 6];
        if digits.len() != 2 * fields.len() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for (field, pair) in fields.iter_mut().zip(digits.chunks_exact(2)) {
            *field = pair.iter().fold(0, |field, digit| field * 10 + u64::from(digit - b'0'));
        }
        let [year, month, day, hour, minute, second] = fields;
        let is_time = hour < 24 && minute < 60 && second < 60;
        let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
        let local_s = || days(2_000 + year, month, day) * 86_400 + hour * 3_600 + minute * 60;
        (is_time && is_date).then(|| Self { local_s: local_s() + second, season })
    }

    /// The instant that is meant; none where the season is not said.
    #[must_use]
    pub fn instant(self) -> Option<Timestamp> {
        let ahead_s = match self.season? {
            Season::Summer => 7_200,
            Season::Winter => 3_600,
        };
        Some(Timestamp((self.local_s - ahead_s) * 1_000))
    }

    /// Seconds after `earlier`; none if it is before. The hour that comes
    /// twice in autumn counts once.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> Option<u64> {
        match (self.instant(), earlier.instant()) {
            (Some(at), Some(before)) => at.0.checked_sub(before.0).map(|ms| ms / 1_000),
            _ => self.local_s.checked_sub(earlier.local_s),
        }
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, with the year
/// taken to begin in March, so that the leap day is its last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month < 3 { year - 1 } else { year };
    let months = (month + 9) % 12;
    let day_of_year = (153 * months + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(text: &str) -> Stamp {
        Stamp::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_stamp_is_an_instant_where_its_season_is_said() {
        let at = |text| stamp(text).instant().map(|at| at.0 / 1_000);
        assert_eq!(at("190324150519W"), Some(1_553_436_319));
        assert_eq!(at("240229120000W"), Some(1_709_204_400));
        assert_eq!(at("240701120000S"), Some(1_719_828_000));
        assert_eq!(at("190324150519"), None);
    }

    #[test]
    fn the_hours_of_daylight_saving_are_what_they_are() {
        let seconds = |from, to| stamp(to).seconds_since(stamp(from));
        assert_eq!(seconds("240331015959W", "240331030000S"), Some(1));
        assert_eq!(seconds("241027025959S", "241027020000W"), Some(1));
        assert_eq!(seconds("241027020000W", "241027025959S"), None);
        assert_eq!(seconds("241027025959", "241027020000"), None);
    }

    #[test]
    fn what_is_no_time_is_no_stamp() {
        for text in ["", "W", "1903241505W", "190324150519X", "191324150519W", "190332150519W"] {
            assert_eq!(Stamp::parse(text.as_bytes()), None, "{text}");
        }
        for text in ["190324250519W", "190324156019W", "190324150560W", "1903241505é"] {
            assert_eq!(Stamp::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Stamp::parse(b"000000000000W"), None);
    }
}
