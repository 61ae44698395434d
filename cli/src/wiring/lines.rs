//! `.gitignore`, in which each line stands for itself, and the last one that fits a file counts.

/// The text with these lines in it, where they count, and those of them that were put there. Of ours, none stays where
/// it does not count.
pub(super) fn add(
    text: &str,
    wanted: &[String],
    is_ours: impl Fn(&str) -> bool,
) -> (String, Vec<String>) {
    let mut text = text.to_owned();
    let mut added = Vec::new();
    for line in wanted {
        let is_there = text.lines().any(|found| is(found, line));
        let mut after = text.lines().rev().take_while(|found| !is(found, line));
        // A line that lets files in again may mean this one.
        if is_there && !after.any(|found| found.starts_with('!')) {
            continue;
        }
        if is_there && is_ours(line) {
            text = remove(&text, line);
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
        added.push(line.clone());
    }
    (text, added)
}

/// The text without this line, once: the last of them, where we put ours.
pub(super) fn remove(text: &str, line: &str) -> String {
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let Some(at) = lines.iter().rposition(|found| is(found, line)) else { return text.to_owned() };
    [lines[..at].concat(), lines[at + 1..].concat()].concat()
}

/// Whether git reads a line as this one: it drops spaces at the end, and no other blank.
fn is(found: &str, line: &str) -> bool {
    found.trim_end_matches(['\r', '\n']).trim_end_matches(' ') == line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_does_not_count_is_put_again() {
        let wanted = [".env".to_owned()];
        for (text, new) in [
            ("", ".env\n"),
            ("a", "a\n.env\n"),
            (".env  \na", ".env  \na"),
            ("!.env*\n.env\n", "!.env*\n.env\n"),
            (".env\n!.env*\n", ".env\n!.env*\n.env\n"),
            (".env\t\n", ".env\t\n.env\n"),
            (" .env\n", " .env\n.env\n"),
        ] {
            let (added, put) = add(text, &wanted, |_| false);
            assert_eq!(added, new);
            assert_eq!(add(&added, &wanted, |_| true), (added.clone(), Vec::new()));
            if !put.is_empty() {
                assert_eq!(
                    remove(&added, ".env").trim_end_matches('\n'),
                    text.trim_end_matches('\n')
                );
            }
        }
        let (moved, _) = add(".env\n!.env*\n", &wanted, |_| true);
        assert_eq!(moved, "!.env*\n.env\n");
    }
}
