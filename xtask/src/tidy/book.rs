//! docs/ is a book that mdBook makes: docs/SUMMARY.md lists its chapters, once each, in a form that
//! mdBook takes, and no link of a chapter leads out of the book, where its pages have nothing.
//!
//! So that this is known without installing mdBook. That links end at a file at all, and at a
//! heading, is `pages`.

use super::Finding;
use super::markdown::links;
use super::pages::{finding, within};
use std::path::Path;

/// The book's pages are below this folder.
const BOOK: &str = "docs/";
const SUMMARY: &str = "docs/SUMMARY.md";

/// What is wrong with the book of these pages: each a path and its text.
pub(super) fn check(pages: &[(String, String)]) -> Vec<Finding> {
    let Some((_, summary)) = pages.iter().find(|(path, _)| path == SUMMARY) else {
        let message = "there is no table of contents".to_owned();
        return vec![finding("book", SUMMARY, 1, message)];
    };
    let mut findings = malformed(summary);
    for (path, text) in pages {
        if let Some(name) = path.strip_prefix(BOOK)
            && path != SUMMARY
        {
            findings.extend(listed_wrongly(path, name, summary));
            findings.extend(ways_out(path, text));
        }
    }
    findings
}

/// Lines that are neither a chapter nor the title of a part; mdBook stops at those, or leaves out
/// what follows. Where a chapter is indented, so must be the list that it is in.
fn malformed(summary: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut deepest = 0;
    for (index, line) in summary.lines().enumerate() {
        let entry = line.trim_start();
        let indentation = line.len() - entry.len();
        let chapter = entry.strip_prefix("- ").unwrap_or(entry);
        let is_listed = chapter.len() < entry.len();
        let problem = if line.is_empty() || line.starts_with("# ") {
            deepest = 0;
            None
        } else if !is_link(chapter) {
            Some("neither a chapter nor the title of a part")
        } else if indentation > 0 && (!is_listed || indentation > deepest + 4) {
            Some("indented, but in no list")
        } else {
            deepest = indentation;
            None
        };
        findings.extend(problem.map(|what| finding("book", SUMMARY, index + 1, what.to_owned())));
    }
    findings
}

/// Whether the line is one link to a page and nothing else.
fn is_link(line: &str) -> bool {
    let target = line
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(".md)"))
        .and_then(|rest| rest.split_once("]("));
    target.is_some_and(|(title, target)| !title.is_empty() && !target.contains(['(', ')', ' ']))
}

/// A page that no reader finds, or that mdBook would make twice.
fn listed_wrongly(path: &str, name: &str, summary: &str) -> Option<Finding> {
    let times = links(summary)
        .iter()
        .filter(|(_, target)| *target == name)
        .count();
    let message = format!("{name} is {times} times in {SUMMARY}, once is wanted");
    (times != 1).then(|| finding("book", path, 1, message))
}

/// Links that leave the book: mdBook makes a page of what is in it alone.
fn ways_out(path: &str, text: &str) -> Vec<Finding> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let relative = links(text)
        .into_iter()
        .filter(|(_, target)| !target.contains("://") && !target.starts_with(['#', 'm']));
    let out = relative.filter(|(_, target)| {
        let file = target.split('#').next().unwrap_or(target);
        within(folder, file).is_some_and(|file| !file.starts_with(BOOK))
    });
    let message = |target| format!("{target} is not in the book: name the file instead");
    out.map(|(line, target)| finding("book", path, line, message(target)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(summary: &str, page: &str) -> Vec<String> {
        let pages = [
            (SUMMARY.to_owned(), summary.to_owned()),
            ("docs/guide/a.md".to_owned(), page.to_owned()),
            ("README.md".to_owned(), "[x](elsewhere.md)".to_owned()),
        ];
        check(&pages)
            .into_iter()
            .map(|found| format!("{}:{} {}", found.path, found.line, found.message))
            .collect()
    }

    #[test]
    fn a_sound_book_is_quiet() {
        let summary = "# Summary\n\n[Begin](guide/a.md)\n\n# Part\n\n";
        let page = "[up](../SUMMARY.md) [here](#here) [out](https://example.org) [b](b.svg)";
        assert_eq!(problems(summary, page), [""; 0]);
    }

    #[test]
    fn each_page_is_listed_once() {
        let found = problems("# Summary\n- [B](b.md)\n", "");
        assert_eq!(
            found,
            ["docs/guide/a.md:1 guide/a.md is 0 times in docs/SUMMARY.md, once is wanted"]
        );
        assert_eq!(
            problems("- [A](guide/a.md)\n- [B](guide/a.md)\n", "").len(),
            1
        );
    }

    #[test]
    fn what_mdbook_does_not_take_is_found() {
        let found = problems(
            "- [A](guide/a.md) and more\ntext\n      - [B](b.md)\n  [C](c.md)\n- [D](guide/a.md)",
            "",
        );
        let lines: Vec<_> = found.iter().map(|line| &line[..17]).collect();
        assert_eq!(
            lines,
            [
                "docs/SUMMARY.md:1",
                "docs/SUMMARY.md:2",
                "docs/SUMMARY.md:3",
                "docs/SUMMARY.md:4",
                "docs/guide/a.md:1"
            ]
        );
    }

    #[test]
    fn links_stay_in_the_book() {
        let found = problems("- [A](guide/a.md)", "text\n[out](../../README.md#part)");
        assert_eq!(
            found,
            ["docs/guide/a.md:2 ../../README.md#part is not in the book: name the file instead"]
        );
    }
}
