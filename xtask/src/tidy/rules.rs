//! The rules themselves, each on one file at a time.

use super::Finding;
use super::code_text::{blank_comments_and_literals, is_word};

/// Everything that is wrong with the file at `path` (from the root, `/` between folders).
pub(super) fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let mut report = Report {
        path,
        findings: Vec::new(),
    };
    machine_paths(&mut report, text);
    if path.ends_with(".rs") {
        let code = blank_comments_and_literals(text);
        file_name(&mut report);
        module_doc(&mut report, text);
        file_lines(&mut report, text);
        line_chars(&mut report, text);
        function_lines(&mut report, &code);
        banned_words(&mut report, &code);
        foreign_locks(&mut report, &code);
        forbid_unsafe(&mut report, &code);
    }
    report.findings
}

/// Collects what one file does wrong.
struct Report<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, rule: &'static str, line: usize, amount: usize, message: String) {
        self.findings.push(Finding {
            rule,
            path: self.path.to_owned(),
            line,
            amount,
            message,
        });
    }
}

/// A path of one machine works on no other.
fn machine_paths(report: &mut Report<'_>, text: &str) {
    for (number, line) in numbered(text) {
        for folder in MACHINE_FOLDERS {
            let path = format!("/{folder}");
            for (at, _) in line.match_indices(&path) {
                let before = line[..at].chars().next_back();
                let after = line[at + path.len()..].chars().next();
                let inside = before.is_some_and(|c| is_word(c) || "./~-*>)}]".contains(c));
                if !inside && !after.is_some_and(|c| is_word(c) || c == '-') {
                    report.add(
                        "machine-path",
                        number,
                        1,
                        format!("names {path} of one machine"),
                    );
                }
            }
        }
    }
}

/// `x.rs` beside `x/`, and a name that says what the file owns.
fn file_name(report: &mut Report<'_>) {
    let name = report.path.rsplit('/').next().unwrap_or(report.path);
    if name == "mod.rs" {
        report.add("file-name", 1, 1, "x.rs beside x/, not x/mod.rs".to_owned());
    }
    let stem = name.trim_end_matches(".rs");
    if BANNED_NAMES.contains(&stem) {
        report.add(
            "file-name",
            1,
            1,
            format!("{stem} says nothing of what it owns"),
        );
    }
}

fn module_doc(report: &mut Report<'_>, text: &str) {
    if !text.starts_with("//!") {
        let message = "a file opens with //! and says what it owns".to_owned();
        report.add("module-doc", 1, 1, message);
    }
}

/// In crates with unsafe code a module is the scope of every SAFETY argument in it: shorter.
fn file_lines(report: &mut Report<'_>, text: &str) {
    let limit = if in_unsafe_crate(report.path) {
        400
    } else {
        600
    };
    let lines = text.lines().count();
    if lines > limit {
        let message = format!("{lines} lines, {limit} at most: look for a seam");
        report.add("file-lines", limit + 1, lines, message);
    }
}

fn line_chars(report: &mut Report<'_>, text: &str) {
    for (number, line) in numbered(text) {
        let chars = line.chars().count();
        if chars > LINE_CHARS_MAX {
            let message = format!("{chars} characters, {LINE_CHARS_MAX} at most");
            report.add("line-chars", number, 1, message);
        }
    }
}

fn function_lines(report: &mut Report<'_>, code: &str) {
    for (line, lines, name) in functions(code) {
        if lines > FUNCTION_LINES_MAX {
            let message = format!("fn {name} has {lines} lines, {FUNCTION_LINES_MAX} at most");
            report.add("function-lines", line, lines, message);
        }
    }
}

/// Waiting for a time, code left for later, and clocks outside the place that owns time.
fn banned_words(report: &mut Report<'_>, code: &str) {
    for (rule, word, message) in BANNED_WORDS {
        for (number, line) in numbered(code) {
            for (at, _) in line.match_indices(word) {
                let before = line[..at].chars().next_back();
                let after = line[at + word.len()..].chars().next();
                if !before.is_some_and(is_word) && !after.is_some_and(is_word) {
                    report.add(rule, number, 1, message.to_owned());
                }
            }
        }
    }
}

/// The session layer's locks are made in one place, so that all of them are counted.
fn foreign_locks(report: &mut Report<'_>, code: &str) {
    if !report.path.starts_with(COUNTED_LOCKS) || report.path.ends_with("/lock.rs") {
        return;
    }
    for (number, line) in numbered(code) {
        let mut words = line.split(|c| !is_word(c));
        let standard = line.contains("std::sync");
        if words.any(|word| word == "parking_lot" || standard && LOCKS.contains(&word)) {
            let message = "a lock that nobody counts: take that of crate::lock".to_owned();
            report.add("lock", number, 1, message);
        }
    }
}

/// Every crate but the three that are there for it does without unsafe code, and says so.
fn forbid_unsafe(report: &mut Report<'_>, code: &str) {
    let squeezed: String = code.split_whitespace().collect();
    let crate_root = is_crate_root(report.path) && !in_unsafe_crate(report.path);
    if crate_root && !squeezed.contains("#![forbid(unsafe_code)]") {
        let message = "a crate's root says #![forbid(unsafe_code)]".to_owned();
        report.add("forbid-unsafe", 1, 1, message);
    }
}

fn is_crate_root(path: &str) -> bool {
    path.ends_with("/src/lib.rs")
        || path.ends_with("/main.rs")
        || path
            .rsplit_once('/')
            .is_some_and(|(folder, _)| folder.ends_with("/src/bin"))
}

fn in_unsafe_crate(path: &str) -> bool {
    UNSAFE_CRATES.iter().any(|folder| path.starts_with(folder))
}

/// The functions with a body in blanked code: first line from 1, number of lines, name.
fn functions(code: &str) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let rest = &code[at + 3..];
        let name: String = rest
            .trim_start()
            .chars()
            .take_while(|c| is_word(*c))
            .collect();
        // `fn (` is a pointer type.
        if name.is_empty() {
            continue;
        }
        if let Some(length) = body_end(rest) {
            let line = code[..at].matches('\n').count() + 1;
            let lines = rest[..length].matches('\n').count() + 1;
            found.push((line, lines, name));
        }
    }
    found
}

/// Where the body closes, if the signature is followed by one and not by a semicolon.
fn body_end(signature: &str) -> Option<usize> {
    let mut brackets = 0i32;
    let mut braces = 0i32;
    for (at, c) in signature.char_indices() {
        match c {
            '(' | '[' if braces == 0 => brackets += 1,
            ')' | ']' if braces == 0 => brackets -= 1,
            ';' if braces == 0 && brackets == 0 => return None,
            '{' if brackets == 0 => braces += 1,
            '}' if brackets == 0 => {
                braces -= 1;
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(n, line)| (n + 1, line))
}

const LINE_CHARS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
const UNSAFE_CRATES: [&str; 3] = [
    "crates/fastport-engine/",
    "crates/fastport-buffer/",
    "crates/fastport-system/",
];
const COUNTED_LOCKS: &str = "crates/fastport/src/";
const LOCKS: [&str; 3] = ["Mutex", "RwLock", "Condvar"];
const MACHINE_FOLDERS: [&str; 4] = ["work", "root", "home", "Users"];
const BANNED_NAMES: [&str; 6] = ["util", "utils", "misc", "helper", "helpers", "common"];
const BANNED_WORDS: [(&str, &str, &str); 4] = [
    (
        "sleep",
        "thread::sleep",
        "wait for an event, not for a time",
    ),
    ("later", "todo!", "finish it or leave it out"),
    ("later", "unimplemented!", "finish it or leave it out"),
    (
        "clock",
        "Instant::now",
        "time comes from the clock that is passed in",
    ),
];

#[cfg(test)]
mod tests;
