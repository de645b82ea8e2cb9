//! How many instructions the hot paths take, counted by valgrind, held against committed figures.
//!
//! A count is the same on a busy machine as on an idle one, so that a path which has become dearer
//! fails in CI and not in a chart a year later. Each path runs in a process of its own, twice, the
//! second time for twice as many rounds: the difference is what the rounds cost, without the start.
//! It begins with a planted regression, which it must find.
#![forbid(unsafe_code)]

mod committed;
mod counting;
mod paths;

use clap::Parser;
use committed::Verdict;
use counting::count;
use paths::Path;
use std::io;
use std::process::ExitCode;

/// Counts the instructions of the hot paths and compares them with what is committed.
#[derive(Parser)]
struct Arguments {
    /// Write the figures that were counted, instead of comparing.
    #[arg(long)]
    write: bool,
    /// Paths to count [default: all].
    #[arg(long = "path", value_enum, value_delimiter = ',')]
    paths: Vec<Path>,
    /// Only run a path for so many rounds: what is counted.
    #[arg(long, hide = true, value_name = "N")]
    run: Option<u32>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// False when a path has become dearer, or so much cheaper that its figure must be renewed.
fn run(arguments: &Arguments) -> io::Result<bool> {
    let paths: &[Path] = if arguments.paths.is_empty() {
        &Path::ALL
    } else {
        &arguments.paths
    };
    if let Some(rounds) = arguments.run {
        return paths
            .iter()
            .try_for_each(|path| path.run(rounds))
            .map(|()| true);
    }
    let mut figures = committed::read()?;
    let mut all_fine = arguments.write || finds_what_is_planted()?;
    for path in paths {
        let counted = count(*path)?;
        if arguments.write {
            figures.insert(path.name(), counted);
            println!("{:<12} {counted}", path.name());
        } else {
            let verdict = committed::judge(&figures, &path.name(), counted);
            println!("{:<12} {counted:>8}  {verdict}", path.name());
            all_fine &= verdict.is_fine();
        }
    }
    if arguments.write {
        committed::write(&figures)?;
    }
    Ok(all_fine)
}

/// Whether a path that has become a quarter dearer is found: a check that finds nothing proves
/// nothing.
fn finds_what_is_planted() -> io::Result<bool> {
    let name = Path::Framer.name();
    let sound = [(name.clone(), count(Path::Framer)?)].into();
    let planted = count(Path::Planted)?;
    let found = matches!(
        committed::judge(&sound, &name, planted),
        Verdict::Dearer { .. }
    );
    let verdict = if found {
        "found, as it must be"
    } else {
        "FAILED: not found"
    };
    println!("{:<12} {planted:>8}  {verdict}", "planted");
    Ok(found)
}
