//! The style check: walks the repository, applies the rules, subtracts the listed exceptions.
//!
//! A rule fails the build or does not exist. What breaks a rule for a good reason stands in
//! xtask/tidy-exceptions.txt with its amount, and that file may only shrink: an entry that allows
//! more than there is fails like a finding does.

mod book;
mod code_text;
mod exceptions;
mod markdown;
mod named_tests;
mod pages;
mod rules;
mod translations;

use exceptions::Exceptions;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// One place where a rule is broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// The rule's name, as in the exceptions file.
    rule: &'static str,
    /// The file, from the repository's root, with `/` between folders.
    path: String,
    /// The line, from 1.
    line: usize,
    /// How much is wrong: 1, or the length of what is too long.
    amount: usize,
    /// What is wrong, in words.
    message: String,
}

/// Checks the repository at `root`; with `shrink` lowers the exceptions to what is needed.
pub(crate) fn run(root: &Path, shrink: bool) -> bool {
    match check(root, shrink) {
        Ok(complaints) if complaints.is_empty() => {
            println!("tidy: nothing to complain about");
            true
        }
        Ok(complaints) => {
            for complaint in &complaints {
                println!("{complaint}");
            }
            println!("tidy: {} complaints", complaints.len());
            false
        }
        Err(error) => {
            println!("tidy: can not read the repository: {error}");
            false
        }
    }
}

fn check(root: &Path, shrink: bool) -> io::Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut sources = String::new();
    let mut pages = Vec::new();
    for path in files_below(root)? {
        // Files that are not text carry no rules.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let relative = path.strip_prefix(root).unwrap_or(&path);
        let relative = relative.to_string_lossy().replace('\\', "/");
        findings.extend(rules::check_file(&relative, &text));
        if relative.ends_with(".md") {
            findings.extend(pages::check_page(root, &relative, &text)?);
        }
        if relative.ends_with(".rs") && !relative.starts_with("xtask/") {
            sources.push_str(&text);
        }
        if relative.ends_with(".md") {
            pages.push((relative, text));
        }
    }
    findings.extend(book::check(&pages));
    for page in named_tests::PAGES {
        let text = fs::read_to_string(root.join(page))?;
        findings.extend(named_tests::unknown(page, &text, &sources));
    }
    for (page, original) in translations::PAGES {
        let read = |path| fs::read_to_string(root.join(path));
        let (text, original) = (read(page)?, read(original)?);
        findings.extend(translations::differences(page, &text, &original));
    }
    if !crate::sbom::is_current(root)? {
        findings.push(Finding {
            rule: "bill-of-materials",
            path: crate::sbom::FILE.to_owned(),
            line: 1,
            amount: 1,
            message: "not what Cargo.lock says: run `cargo xtask sbom` and commit it".to_owned(),
        });
    }
    let list = root.join(EXCEPTIONS_FILE);
    let exceptions = match Exceptions::parse(&fs::read_to_string(&list)?) {
        Ok(exceptions) => exceptions,
        Err(line) => return Ok(vec![format!("{EXCEPTIONS_FILE}: can not read {line:?}")]),
    };
    if !shrink {
        return Ok(exceptions.judge(&findings));
    }
    let shrunk = exceptions.shrunk_to(&findings);
    fs::write(&list, shrunk.to_text())?;
    Ok(shrunk.judge(&findings))
}

/// Every file of the repository, in a stable order, without what tools and builds put there.
fn files_below(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED_FOLDERS.iter().any(|skipped| name == *skipped) {
                folders.push(entry.path());
            } else if kind.is_file() && !SKIPPED_FILES.iter().any(|skipped| name == *skipped) {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

const EXCEPTIONS_FILE: &str = "xtask/tidy-exceptions.txt";
const SKIPPED_FOLDERS: [&str; 4] = [".git", "target", "corpus", "artifacts"];
/// `.git` is a file in a linked worktree; lock files are cargo's.
const SKIPPED_FILES: [&str; 2] = [".git", "Cargo.lock"];
