//! Hashes as hexadecimal text.

use std::fmt::Write as _;

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

use crate::store::Digest;

/// Bytes as hexadecimal text, in lower case.
pub fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A hash from its text as [`hex_of`] writes it, and in no other form.
pub fn digest_of(text: &str) -> Option<Digest> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes?.try_into().ok() } else { None }
}

pub(in crate::store) fn serialize<S: Serializer>(
    digest: &Digest,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hex_of(digest))
}

pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Digest, D::Error> {
    let digest = digest_of(&String::deserialize(from)?);
    digest.ok_or_else(|| D::Error::custom("expected a SHA-256: 64 of the characters 0-9 a-f"))
}
