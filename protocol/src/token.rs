//! The form of an API token: `mw_` and 36 base62 characters, of which the last 6 are a checksum.
//!
//! The checksum lets a scanner tell a real token from a look-alike without asking us, and lets the server
//! refuse a mistyped one before it asks the store.

/// NEVER CHANGE THE PREFIX OF EXISTING TOKENS: secret scanners and `.mesh.json` checks look for it.
pub const TOKEN_PREFIX: &str = "mw_";

/// Characters of a whole token.
pub const TOKEN_LENGTH: usize = TOKEN_PREFIX.len() + RANDOM_LENGTH + CHECKSUM_LENGTH;

/// Random base62 characters in a token: 178 bits.
const RANDOM_LENGTH: usize = 30;
const CHECKSUM_LENGTH: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The text is not a token: a slip, or not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a MeshWire token: expected mw_ and 36 letters and digits, the last 6 a checksum")]
pub struct InvalidToken;

/// Makes a whole token of 30 random base62 characters.
///
/// # Errors
/// [`InvalidToken`] when `random` has another length or other characters.
pub fn finish_token(random: &str) -> Result<String, InvalidToken> {
    if random.len() != RANDOM_LENGTH || !random.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(InvalidToken);
    }
    Ok(format!("{TOKEN_PREFIX}{random}{}", checksum(random)))
}

/// Checks the form of a token: length, prefix, alphabet and checksum.
pub fn check_token(token: &str) -> Result<(), InvalidToken> {
    let body = token.strip_prefix(TOKEN_PREFIX).ok_or(InvalidToken)?;
    if token.len() != TOKEN_LENGTH || !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(InvalidToken);
    }
    let (random, sum) = body.split_at(RANDOM_LENGTH);
    if checksum(random) == sum { Ok(()) } else { Err(InvalidToken) }
}

/// A token as it may be shown: its prefix, dots, and the last six characters.
pub fn mask_token(token: &str) -> String {
    let suffix = token
        .is_ascii()
        .then(|| token.len().checked_sub(CHECKSUM_LENGTH).and_then(|at| token.get(at..)))
        .flatten()
        .unwrap_or_default();
    format!("{TOKEN_PREFIX}••••••••••••{suffix}")
}

/// CRC-32 (IEEE 802.3) of the random part in base62, most significant digit first, padded with zeros.
fn checksum(random: &str) -> String {
    let mut rest = crc32fast::hash(random.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % BASE62.len()];
        rest /= BASE62.len();
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: &str = "abcdefghijklmnopqrstuvwxyz0123";

    #[test]
    fn a_finished_token_checks() {
        let token = finish_token(RANDOM).unwrap();
        assert_eq!(token.len(), TOKEN_LENGTH);
        assert_eq!(token.len(), 39);
        assert_eq!(check_token(&token), Ok(()));
    }

    #[test]
    fn the_checksum_is_crc32_in_base62() {
        // CRC-32 of "123456789" is 0xCBF43926 = 3421780262 (the check value of CRC-32/ISO-HDLC).
        assert_eq!(checksum("123456789"), "3jZRME");
    }

    #[test]
    fn every_change_of_one_character_is_seen() {
        let token = finish_token(RANDOM).unwrap();
        for at in TOKEN_PREFIX.len()..token.len() {
            for &other in BASE62 {
                let mut changed = token.clone().into_bytes();
                if changed[at] == other {
                    continue;
                }
                changed[at] = other;
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(check_token(&changed), Err(InvalidToken), "{changed}");
            }
        }
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let token = finish_token(RANDOM).unwrap();
        for bad in
            ["", "mw_", &token[1..], &token[..38], &format!("{token}0"), &token.replace('a', "é")]
        {
            assert_eq!(check_token(bad), Err(InvalidToken), "{bad}");
        }
    }

    #[test]
    fn a_mask_shows_only_the_suffix() {
        let token = finish_token(RANDOM).unwrap();
        let masked = mask_token(&token);
        assert!(masked.ends_with(&token[33..]));
        assert!(!masked.contains("abcdef"));
        assert_eq!(mask_token("ab"), "mw_••••••••••••");
        assert_eq!(mask_token("ééééééé"), "mw_••••••••••••");
    }
}
