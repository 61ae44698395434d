//! What two stores, or a store and a file, are compared by.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::store::Digest;
use crate::store::moving::{Kind, Record, hex_of};

/// How many bytes of a checksum are shown.
const SHOWN: usize = 8;

/// How many records of each kind there are, with a checksum for each kind.
///
/// The checksum is the sum of the SHA-256 of its records, modulo 2^256: it does not depend on their order,
/// which an engine need not keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    kinds: BTreeMap<Kind, (u64, Digest)>,
}

impl Tally {
    /// Counts a record; its line in a file, without the end of the line.
    ///
    /// # Errors
    /// Never: a record can be written as JSON.
    pub fn add(&mut self, record: &Record) -> serde_json::Result<Vec<u8>> {
        let line = serde_json::to_vec(record)?;
        let (count, sum) = self.kinds.entry(record.kind()).or_default();
        *count += 1;
        add(sum, &Sha256::digest(&line).into());
        Ok(line)
    }

    /// The number of records of each kind, also of those of which there are none.
    pub fn counts(&self) -> BTreeMap<Kind, u64> {
        Kind::ALL.into_iter().map(|kind| (kind, self.of(kind).0)).collect()
    }

    /// The number of all records.
    pub fn total(&self) -> u64 {
        self.kinds.values().map(|(count, _)| count).sum()
    }

    /// The kinds in which two differ.
    pub fn differences(&self, other: &Self) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| self.of(*kind) != other.of(*kind)).collect()
    }

    fn of(&self, kind: Kind) -> (u64, Digest) {
        self.kinds.get(&kind).copied().unwrap_or_default()
    }
}

/// A table of kinds, counts and the beginnings of the checksums.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<13}{:>12}  checksum", "kind", "records")?;
        for kind in Kind::ALL {
            let (count, sum) = self.of(kind);
            let sum = hex_of(sum.get(..SHOWN).unwrap_or_default());
            writeln!(f, "{kind:<13}{count:>12}  {sum}")?;
        }
        write!(f, "{:<13}{:>12}", "all", self.total())
    }
}

/// Adds to a sum, modulo 2^256, the last byte being the lowest.
fn add(sum: &mut Digest, digest: &Digest) {
    let mut carry = 0_u16;
    for (byte, more) in sum.iter_mut().zip(digest).rev() {
        let [high, low] = (u16::from(*byte) + u16::from(*more) + carry).to_be_bytes();
        *byte = low;
        carry = u16::from(high);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_carries_and_begins_again() {
        let mut sum = [0xff; 32];
        let mut one = [0; 32];
        one[31] = 1;
        add(&mut sum, &one);
        assert_eq!(sum, [0; 32]);
        add(&mut sum, &[0x80; 32]);
        add(&mut sum, &[0x80; 32]);
        let mut expected = [1; 32];
        expected[31] = 0;
        assert_eq!(sum, expected);
    }
}
