//! Which of the code under test the corpora reach: every function that was compiled in, and how
//! many of its edges were taken.
//!
//! libFuzzer tells it itself, function by function, from the counters that steer it: no other tool
//! is needed but a symbolizer, which AddressSanitizer's library calls.

use super::target::{self, Workplace};
use std::collections::BTreeMap;

/// Prints the share of edges that each target's corpus reaches, by the file that they are in.
pub(super) fn report(place: &Workplace, names: &[&str]) -> bool {
    println!("\n| target | file | functions reached | edges reached |");
    println!("|---|---|---:|---:|");
    let mut passed = true;
    for name in names {
        let mut files = BTreeMap::<String, Share>::new();
        let mut command = place.command(name);
        command
            .args(["-runs=0", "-print_coverage=1"])
            .arg(place.corpus(name));
        passed &= target::follow(command, &mut |line| {
            if let Some(function) = Function::read(line) {
                files
                    .entry(function.file.clone())
                    .or_default()
                    .add(&function);
            }
        });
        passed &= !files.is_empty();
        for (file, share) in files {
            println!(
                "| {name} | {file} | {} of {} | {} of {} ({} %) |",
                share.functions_reached,
                share.functions,
                share.edges_reached,
                share.edges,
                100 * share.edges_reached / share.edges.max(1),
            );
        }
    }
    passed
}

/// What of one file was reached.
#[derive(Debug, Default)]
struct Share {
    functions: usize,
    functions_reached: usize,
    edges: usize,
    edges_reached: usize,
}

impl Share {
    fn add(&mut self, function: &Function) {
        self.functions += 1;
        self.functions_reached += usize::from(function.reached > 0);
        self.edges += function.edges;
        self.edges_reached += function.reached;
    }
}

/// A function of this project, as libFuzzer's report tells it.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    file: String,
    reached: usize,
    edges: usize,
}

impl Function {
    /// Reads `COVERED_FUNC: hits: 9 edges: 6/8 NAME FILE:LINE`, or the same with `UNCOVERED_FUNC`;
    /// `None` for another line and for other people's code.
    fn read(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once("COVERED_FUNC: ")?;
        let edges = rest.split_once("edges: ")?.1.split_whitespace().next()?;
        let (reached, edges) = edges.split_once('/')?;
        let at = rest.find("crates/fastport")?;
        let file = rest[at..].split(':').next()?;
        let in_sources = file.ends_with(".rs") && file.contains("/src/");
        in_sources.then_some(())?;
        Some(Self {
            file: file.to_owned(),
            reached: if kind == "UN" {
                0
            } else {
                reached.parse().ok()?
            },
            edges: edges.parse().ok()?,
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
        let function = |reached, edges| Function {
            file: "crates/fastport/src/a.rs".to_owned(),
            reached,
            edges,
        };
        assert_eq!(Function::read(covered), Some(function(6, 8)));
        assert_eq!(Function::read(uncovered), Some(function(0, 3)));
        assert_eq!(
            Function::read("COVERED_FUNC: hits: 9 edges: 6/8 f /std/vec.rs:7"),
            None
        );
        assert_eq!(
            Function::read("COVERED_PC: 0x1 in f crates/fastport/src/a.rs:7"),
            None
        );
    }
}
