//! Whole numbers in JSON: `7.0` is the same number as `7` (RFC 8259 section 6 knows one kind of number, and JSON
//! Schema calls both an integer), and some languages write it so.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

use crate::MessageId;

/// The integer that a float is; `None` for one with a fraction, or beyond 53 bits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "within 53 bits a float without a fraction is that integer"
)]
pub(crate) fn from_float(number: f64) -> Option<i64> {
    let is_whole = number.fract() == 0.0 && number.abs() <= MessageId::MAX.get() as f64;
    is_whole.then_some(number as i64)
}

/// Reads a whole number.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct Whole;

    impl Visitor<'_> for Whole {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number")
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
            Ok(number)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
            i64::try_from(number).map_err(|_| E::custom("the number is too large"))
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
            from_float(number).ok_or_else(|| E::custom("the number is not whole, or too large"))
        }
    }

    deserializer.deserialize_i64(Whole)
}

/// Reads a field that may be absent or `null`.
pub(crate) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    struct Field;

    impl<'de> Visitor<'de> for Field {
        type Value = Option<u32>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number")
        }

        fn visit_none<E: Error>(self) -> Result<Option<u32>, E> {
            Ok(None)
        }

        fn visit_unit<E: Error>(self) -> Result<Option<u32>, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Option<u32>, D::Error> {
            let number = number(value)?;
            u32::try_from(number)
                .map(Some)
                .map_err(|_| D::Error::custom("the number is out of range"))
        }
    }

    deserializer.deserialize_option(Field)
}

#[cfg(test)]
mod tests {
    use crate::{CreateInvite, MessageId, SetCursor};

    #[test]
    fn a_number_without_a_fraction_is_whole() {
        for (text, id) in [("7", 7), ("7.0", 7), ("1.748e15", 1_748_000_000_000_000), ("-0.0", 0)] {
            let read: MessageId = serde_json::from_str(text).unwrap();
            assert_eq!(read.get(), id, "{text}");
            assert!(serde_json::from_str::<SetCursor>(&format!(r#"{{"cursor":{text}}}"#)).is_ok());
        }
        for bad in ["7.5", "-1.0", "1e16", "1e300", "18446744073709551615", "\"7\"", "null"] {
            assert!(serde_json::from_str::<MessageId>(bad).is_err(), "{bad}");
        }
        for (text, uses) in [("3", Some(3)), ("3.0", Some(3)), ("null", None)] {
            let read: CreateInvite =
                serde_json::from_str(&format!(r#"{{"max_uses":{text}}}"#)).unwrap();
            assert_eq!(read.max_uses, uses, "{text}");
        }
        for bad in ["3.5", "-1", "4294967296.0", "\"3\""] {
            let text = format!(r#"{{"max_uses":{bad}}}"#);
            assert!(serde_json::from_str::<CreateInvite>(&text).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<CreateInvite>("{}").unwrap().max_uses.is_none());
    }
}
