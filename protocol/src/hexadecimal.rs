//! Byte strings that people read in hexadecimal: `#[serde(with)]` for 32 bytes.

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};
use serde_bytes::ByteArray;

pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_str(&hex::encode(bytes))
    } else {
        serializer.serialize_bytes(bytes)
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u8; 32], D::Error> {
    if !deserializer.is_human_readable() {
        return ByteArray::deserialize(deserializer).map(ByteArray::into_array);
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(String::deserialize(deserializer)?, &mut bytes)
        .map_err(D::Error::custom)?;
    Ok(bytes)
}
