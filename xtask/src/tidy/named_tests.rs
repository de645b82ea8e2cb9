//! Some pages say which tests hold what; who renames a test renames it there.

use super::Finding;

/// The pages whose names are checked.
pub(super) const PAGES: [&str; 5] = [
    "README.md",
    "SECURITY.md",
    "docs/fault-matrix.md",
    "docs/limits.md",
    "docs/pitfalls.md",
];

/// The names in the text of a page that no function has. `sources` is the text of all Rust files.
pub(super) fn unknown(page: &str, text: &str, sources: &str) -> Vec<Finding> {
    names(text)
        .filter(|(_, word)| !sources.contains(&format!("fn {word}(")))
        .filter(|(_, word)| !sources.contains(&format!("fn {word}<")))
        .map(|(line, word)| Finding {
            rule: "named-tests",
            path: page.to_owned(),
            line,
            amount: 1,
            message: format!("no test is called {word}"),
        })
        .collect()
}

/// The names of tests in the text of a page, with their lines.
pub(super) fn names(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    let words = lines.flat_map(|(index, line)| {
        let words = line.split('`').skip(1).step_by(2);
        words.map(move |word| (index + 1, word))
    });
    words.filter(|(_, word)| is_name(word))
}

/// Tests have long names; settings, functions and files do not look like that.
fn is_name(word: &str) -> bool {
    word.matches('_').count() >= 3
        && word
            .bytes()
            .all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_its_test_is_found_and_other_words_are_not() {
        let page = "| `a_test_that_is_there` |\n| `a_test_that_is_gone`, `send_buffer` |";
        let found = unknown("page.md", page, "fn a_test_that_is_there() {}");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
        assert!(found[0].message.contains("a_test_that_is_gone"));
    }
}
