//! The checksum of telegrams.

/// The checksum over a telegram as the meter sent it, with the carriage
/// returns that were stripped from it on the way.
///
/// "CRC is a CRC16 value calculated over the preceding characters in the data
/// message (from "/" to "!" using the polynomial: x16+x15+x2+1)" (DSMR 5.0.2
/// P1, §6.2), least significant bit first, from 0.
#[must_use]
pub fn crc16_as_sent(telegram: &[u8]) -> u16 {
    let is_stripped = !telegram.contains(&b'\r');
    telegram.iter().fold(0, |crc, &byte| {
        let restored = if is_stripped && byte == b'\n' { with_byte(crc, b'\r') } else { crc };
        with_byte(restored, byte)
    })
}

fn with_byte(crc: u16, byte: u8) -> u16 {
    let with_bit = |crc: u16, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 };
    (0..8).fold(crc ^ u16::from(byte), with_bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_16_arc() {
        assert_eq!(crc16_as_sent(b"123456789"), 0xbb3d);
        assert_eq!(crc16_as_sent(b"1\n2\n"), crc16_as_sent(b"1\r\n2\r\n"));
        assert_ne!(crc16_as_sent(b"1\n2\r\n"), crc16_as_sent(b"1\r\n2\r\n"));
    }
}
