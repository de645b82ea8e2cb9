//! Which functions of the code under test the corpora reach.
//!
//! libFuzzer tells it itself from the counters that steer it: no other tool is needed but a
//! symbolizer, which AddressSanitizer's library calls. It counts edges too, but most of those are
//! the sanitizer's own checks, which nothing should reach; so functions are what is reported. One
//! that was inlined everywhere is part of its callers.

use super::target::{self, Workplace};
use std::collections::BTreeMap;

/// Prints for each target, and each file of this project in it, how many functions its corpus
/// reaches, and which it does not.
pub(super) fn report(place: &Workplace, names: &[&str]) -> bool {
    println!("\n| target | file | functions reached | not reached |");
    println!("|---|---|---:|---|");
    let mut passed = true;
    for name in names {
        let mut files = BTreeMap::<String, Share>::new();
        let mut command = place.command(name);
        command
            .args(["-runs=0", "-print_coverage=1"])
            .arg(place.corpus(name));
        passed &= target::follow(command, &mut |line| {
            if let Some(function) = Function::read(line) {
                let share = files.entry(function.file.to_owned()).or_default();
                share.add(&function);
            }
        });
        passed &= !files.is_empty();
        for (file, share) in files {
            let all = share.reached + share.missed.len();
            let missed = share.missed.join(", ");
            println!(
                "| {name} | {file} | {} of {all} | {missed} |",
                share.reached
            );
        }
    }
    passed
}

/// What of one file was reached.
#[derive(Debug, Default)]
struct Share {
    reached: usize,
    missed: Vec<String>,
}

impl Share {
    fn add(&mut self, function: &Function<'_>) {
        if function.reached {
            self.reached += 1;
        } else {
            self.missed.push(format!("line {}", function.line));
        }
    }
}

/// A function of this project, as libFuzzer's report tells it.
#[derive(Debug, PartialEq, Eq)]
struct Function<'a> {
    file: &'a str,
    line: &'a str,
    reached: bool,
}

impl<'a> Function<'a> {
    /// Reads `COVERED_FUNC: hits: 9 edges: 6/8 NAME FILE:LINE`, or the same with `UNCOVERED_FUNC`;
    /// `None` for another line and for other people's code.
    fn read(text: &'a str) -> Option<Self> {
        let (kind, rest) = text.split_once("COVERED_FUNC: ")?;
        let place = &rest[rest.find("crates/fastport")?..];
        let (file, line) = place.split_once(':')?;
        (file.ends_with(".rs") && file.contains("/src/")).then_some(Self {
            file,
            line,
            reached: kind != "UN",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Function;

    #[test]
    fn functions_of_this_project_are_read() {
        let covered =
            "COVERED_FUNC: hits: 9 edges: 6/8 fastport::a::B /x/crates/fastport/src/a.rs:7";
        let uncovered = "UNCOVERED_FUNC: hits: 0 edges: 0/3 f /x/crates/fastport/src/a.rs:70";
        let function = |line, reached| Function {
            file: "crates/fastport/src/a.rs",
            line,
            reached,
        };
        assert_eq!(Function::read(covered), Some(function("7", true)));
        assert_eq!(Function::read(uncovered), Some(function("70", false)));
        let other = "COVERED_FUNC: hits: 9 edges: 6/8 f /std/vec.rs:7";
        assert_eq!(Function::read(other), None);
        let pc = "COVERED_PC: 0x1 in f crates/fastport/src/a.rs:7";
        assert_eq!(Function::read(pc), None);
    }
}
