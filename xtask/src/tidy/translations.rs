//! A translated page has the same code and names the same tests as its original.
//!
//! Prose can only be compared by a reader; what can rot without anybody noticing is code.

use super::Finding;
use super::markdown::{Block, blocks};
use super::named_tests::names;
use std::collections::BTreeSet;

/// Translations, each with its original.
pub(super) const PAGES: [(&str, &str); 1] = [("README.ko.md", "README.md")];

/// Where the translation at `path` is not what `original` is.
pub(super) fn differences(path: &str, text: &str, original: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (ours, theirs) = (blocks(text), blocks(original));
    let content = |block: &Block<'_>| (block.info.to_owned(), block.lines.join("\n"));
    for block in &ours {
        if !theirs.iter().any(|other| content(other) == content(block)) {
            findings.push(finding(path, block.line, "the original has no such code"));
        }
    }
    if ours.len() != theirs.len() {
        let message = format!(
            "{} blocks of code, the original has {}",
            ours.len(),
            theirs.len()
        );
        findings.push(finding(path, 1, &message));
    }
    let named = |page| names(page).map(|(_, name)| name).collect::<BTreeSet<_>>();
    for name in named(text).symmetric_difference(&named(original)) {
        let message = format!("{name} is named by one of original and translation alone");
        findings.push(finding(path, 1, &message));
    }
    findings
}

fn finding(path: &str, line: usize, message: &str) -> Finding {
    Finding {
        rule: "translation",
        path: path.to_owned(),
        line,
        amount: 1,
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGINAL: &str = "Run `a_test_that_is_there`:\n```sh\ncargo test\n```\n";

    #[test]
    fn the_same_code_and_names_are_no_difference() {
        let translated = "`a_test_that_is_there` 실행:\n\n```sh\ncargo test\n```\n";
        assert_eq!(differences("README.ko.md", translated, ORIGINAL), []);
    }

    #[test]
    fn changed_missing_and_unnamed_things_are_found() {
        let changed = "```sh\ncargo tset\n```\n";
        let found = differences("README.ko.md", changed, ORIGINAL);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].line, 1);
        assert!(found[1].message.contains("a_test_that_is_there"));
        assert_eq!(differences("README.ko.md", "", ORIGINAL).len(), 2);
    }
}
