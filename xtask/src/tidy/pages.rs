//! Pages lead where they say, and quote code as it is.
//!
//! Relative links of every Markdown page end at a file of the repository. In the guide, Rust is
//! either compiled, so the page is listed in crates/fastport/src/guide.rs, or a piece of the file
//! that the comment before the block names.

use super::Finding;
use super::markdown::{Block, anchors, blocks, links};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

const GUIDE: &str = "docs/guide/src/";
/// The file whose doctests are the guide's code.
const GUIDE_TESTS: &str = "crates/fastport/src/guide.rs";

/// What is wrong with the page at `path` in the repository at `root`.
///
/// # Errors
/// When a file that the rules need can not be read.
pub(super) fn check_page(root: &Path, path: &str, text: &str) -> io::Result<Vec<Finding>> {
    let mut findings = dead_links(path, text, |target| root.join(target).exists());
    findings.extend(dead_anchors(path, text, |target| {
        fs::read_to_string(root.join(target)).ok()
    }));
    if path.starts_with(GUIDE) {
        let tests = fs::read_to_string(root.join(GUIDE_TESTS))?;
        findings.extend(uncompiled(path, text, &tests));
        findings.extend(misquoted(path, text, |quoted| {
            fs::read_to_string(root.join(quoted)).ok()
        }));
    }
    Ok(findings)
}

/// Relative links that end nowhere.
fn dead_links(path: &str, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    for (line, target) in links(text) {
        let file = target.split('#').next().unwrap_or(target);
        if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        if !within(folder, file).is_some_and(|file| exists(&file)) {
            findings.push(finding("dead-link", path, line, format!("no file {file}")));
        }
    }
    findings
}

/// Links to a part of a page that has no such heading.
fn dead_anchors(path: &str, text: &str, read: impl Fn(&Path) -> Option<String>) -> Vec<Finding> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    for (line, target) in links(text) {
        let Some((file, anchor)) = target.split_once('#') else {
            continue;
        };
        let other = match file {
            "" => Some(text.to_owned()),
            _ if !file.ends_with(".md") || file.contains("://") => continue,
            // That there is no such file is said elsewhere.
            _ => within(folder, file).and_then(|file| read(&file)),
        };
        if other.is_some_and(|page| !anchors(&page).iter().any(|there| there == anchor)) {
            let message = format!("no heading {target}");
            findings.push(finding("dead-link", path, line, message));
        }
    }
    findings
}

/// A path relative to `folder` as one from the root; `None` when it leaves the repository.
pub(super) fn within(folder: &Path, file: &str) -> Option<PathBuf> {
    let mut path = folder.to_path_buf();
    for part in Path::new(file).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// A chapter whose code nobody compiles.
fn uncompiled(path: &str, text: &str, tests: &str) -> Option<Finding> {
    let name = path.strip_prefix(GUIDE).unwrap_or(path);
    let block = blocks(text).into_iter().find(is_compiled)?;
    let listed = tests.contains(&format!("/{name}\""));
    let message = format!("{GUIDE_TESTS} does not compile this page's code");
    (!listed).then(|| finding("guide", path, block.line, message))
}

fn is_compiled(block: &Block<'_>) -> bool {
    is_rust(block) && !is_quoted(block)
}

fn is_rust(block: &Block<'_>) -> bool {
    block.info.split(',').next() == Some("rust")
}

/// Not compiled where it stands, so it is a piece of something that is.
fn is_quoted(block: &Block<'_>) -> bool {
    is_rust(block) && block.info.split(',').any(|word| word == "ignore")
}

/// Blocks that are not a piece of the file that they say they are from.
fn misquoted(path: &str, text: &str, read: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for block in blocks(text).iter().filter(|block| is_quoted(block)) {
        let quoted = block
            .before
            .strip_prefix("<!-- from ")
            .and_then(|rest| rest.strip_suffix(" -->"));
        let problem = match quoted {
            None => Some("say where it is from: <!-- from PATH -->".to_owned()),
            Some(quoted) => match read(quoted) {
                None => Some(format!("no file {quoted}")),
                Some(source) if has_lines(&source, &block.lines) => None,
                Some(_) => Some(format!("{quoted} has no such lines")),
            },
        };
        findings.extend(problem.map(|what| finding("guide", path, block.line, what)));
    }
    findings
}

/// Whether the lines follow each other in the source, all moved by the same indentation.
fn has_lines(source: &str, lines: &[&str]) -> bool {
    let source: Vec<&str> = source.lines().collect();
    source.windows(lines.len().max(1)).any(|piece| {
        let indentation = piece.iter().zip(lines).find(|(_, line)| !line.is_empty());
        let indentation = indentation.and_then(|(theirs, ours)| theirs.strip_suffix(ours));
        indentation.is_some_and(|indentation| {
            piece.iter().zip(lines).all(|(theirs, ours)| {
                theirs.strip_prefix(indentation) == Some(ours)
                    || (theirs.is_empty() && ours.is_empty())
            })
        })
    })
}

pub(super) fn finding(rule: &'static str, path: &str, line: usize, message: String) -> Finding {
    Finding {
        rule,
        path: path.to_owned(),
        line,
        amount: 1,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_ends_at_a_file_or_is_found() {
        let page = "[a](../b.md#part) [c](d/e.svg)\n[f](https://example.org) [g](#here)\n\
                    [h](gone.md) [i](../../../outside.md)";
        let there = ["docs/b.md", "docs/guide/d/e.svg"];
        let found = dead_links("docs/guide/page.md", page, |path| {
            there.iter().any(|file| Path::new(file) == path)
        });
        let lines: Vec<_> = found.iter().map(|f| (f.line, f.message.as_str())).collect();
        assert_eq!(
            lines,
            [(3, "no file gone.md"), (3, "no file ../../../outside.md")]
        );
    }

    #[test]
    fn a_quotation_is_found_at_any_indentation_and_only_as_a_whole() {
        let source = "fn a() {\n    let b = 1;\n\n    let c = 2;\n}\n";
        assert!(has_lines(source, &["let b = 1;", "", "let c = 2;"]));
        assert!(has_lines(source, &["    let b = 1;", ""]));
        assert!(!has_lines(source, &["let b = 1;", "let c = 2;"]));
        assert!(!has_lines(source, &["let b = 1;", "", "  let c = 2;"]));
    }

    #[test]
    fn quoted_code_names_its_file_and_is_in_it() {
        let quote = |before: &str| format!("{before}\n```rust,ignore\nlet a = 1;\n```\n");
        let read = |path: &str| (path == "a.rs").then(|| "let a = 1;\n".to_owned());
        let problems = |before: &str| misquoted("page.md", &quote(before), read);
        assert_eq!(problems("<!-- from a.rs -->"), []);
        assert_eq!(problems("<!-- from b.rs -->")[0].message, "no file b.rs");
        assert!(problems("")[0].message.contains("where it is from"));
    }

    #[test]
    fn a_link_to_a_heading_finds_it() {
        let page = "# Here\n[a](#here) [b](#there)\n[c](b.md#the-other) [d](b.md#none)\n\
                    [e](https://example.org/b.md#x) [f](gone.md#x)";
        let read = |path: &Path| (path == Path::new("docs/b.md")).then(|| "## The *other*".into());
        let found = dead_anchors("docs/a.md", page, read);
        let lines: Vec<_> = found.iter().map(|f| (f.line, f.message.as_str())).collect();
        assert_eq!(
            lines,
            [(2, "no heading #there"), (3, "no heading b.md#none")]
        );
    }

    #[test]
    fn code_of_a_chapter_is_compiled() {
        let text = "```rust\nlet a = 1;\n```\n";
        let check = |tests| uncompiled("docs/guide/src/a.md", text, tests).is_some();
        assert!(!check("include_str!(\"guide/src/a.md\")"));
        assert!(check("include_str!(\"guide/src/b.md\")"));
    }
}
