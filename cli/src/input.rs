//! Text from standard input.

use std::io::Read;

use crate::failure::{Failure, Outcome};

/// More than any message or token, so that a wrong pipe is told soon.
const LARGEST: u64 = 1024 * 1024;

/// Reads all of standard input, without the one line end that a shell puts there.
pub(crate) fn stdin_text() -> Outcome<String> {
    text_of(std::io::stdin().lock())
}

fn text_of(input: impl Read) -> Outcome<String> {
    let mut bytes = Vec::new();
    input
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::failed(format!("cannot read standard input: {error}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::usage("standard input is too large: more than 1 MiB"));
    }
    let mut text =
        String::from_utf8(bytes).map_err(|_| Failure::usage("standard input is not UTF-8 text"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn one_line_end_goes() {
        for (input, text) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("", "")]
        {
            assert_eq!(text_of(input.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(text_of(&[0xFF, 0xFE][..]).unwrap_err().exit(), Exit::Usage);
        assert_eq!(text_of(std::io::repeat(b'x')).unwrap_err().exit(), Exit::Usage);
    }
}
