//! Text files in which each line stands for itself, such as `.gitignore`.

/// The text with these lines in it, and those of them that it did not have.
pub(super) fn add(text: &str, wanted: &[String]) -> (String, Vec<String>) {
    let mut text = text.to_owned();
    let mut added = Vec::new();
    for line in wanted {
        if text.lines().any(|found| found.trim() == line) {
            continue;
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

/// The text without this line, once.
pub(super) fn remove(text: &str, line: &str) -> String {
    let mut taken = false;
    text.split_inclusive('\n')
        .filter(|found| {
            let this = !taken && found.trim() == line;
            taken |= this;
            !this
        })
        .collect()
}
