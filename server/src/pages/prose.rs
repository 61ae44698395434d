//! Texts in which what stands between backquotes is code: hints, help, descriptions.

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub text: &'a str,
    pub is_code: bool,
}

/// The pieces of a text.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let pieces = text.split('`').enumerate().map(|(n, text)| Piece { text, is_code: n % 2 == 1 });
    pieces.filter(|piece| !piece.text.is_empty()).collect()
}

/// The paragraphs of a text: an empty line lies between them.
pub(crate) fn paragraphs(text: &str) -> Vec<&str> {
    text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_backquotes_is_code() {
        let piece = |text, is_code| Piece { text, is_code };
        assert_eq!(
            pieces("Run `meshwire login`."),
            [piece("Run ", false), piece("meshwire login", true), piece(".", false)]
        );
        assert_eq!(pieces(""), []);
        assert_eq!(paragraphs("one\ntwo\n\nthree\n"), ["one\ntwo", "three"]);
    }
}
