//! A soak: real server processes under mixed load for minutes or hours, judged from outside.
//!
//! Honest clients check each byte that comes back; slow, hostile and vanishing ones, storms of
//! connections and a stopped server do their worst meanwhile. The servers are ordinary
//! `fastport server` processes: what is known of them is what a peer sees, what `/proc` says, what
//! they log, and what they count at their end. `cargo xtask soak` builds and starts it.
//!
//! Linux only: it looks into `/proc` and stops processes by signals.
//!
//! | module | owns |
//! |---|---|
//! | [`arena`] | one server and everything that is done to it |
//! | [`clients`] | the kinds of clients, a thread each |
//! | [`figures`] | single ordeals that are measured, instead of a soak |
//! | [`ledger`] | what was checked and what was found wrong |
//! | [`message`] | frames whose every byte follows from client and number |
//! | [`process`] | the server's process, and what `/proc` says of it |
//! | [`report`] | the verdict, on one page |
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod arena;
#[cfg(target_os = "linux")]
mod clients;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod figures;
#[cfg(target_os = "linux")]
mod halt;
#[cfg(target_os = "linux")]
mod ledger;
#[cfg(target_os = "linux")]
mod message;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod random;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod samples;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// Loads FastPort's server with honest and hostile clients and checks what comes of it.
#[derive(Parser, Debug)]
struct Arguments {
    /// How long the load lasts, in minutes.
    #[arg(long, default_value_t = 10.0, value_parser = minutes)]
    minutes: f64,
    /// The server's engine; may be given more than once, each is a server of its own.
    #[arg(long, default_values = ["auto", "poll"])]
    engine: Vec<String>,
    /// The program `fastport`; by default the one beside this program.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where to write the report, in Markdown; it is shown in any case.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Instead of a soak: measure single ordeals one after the other, and show the figures.
    #[arg(long)]
    figures: bool,
    /// With `--figures`: a tenth of each ordeal, for a look that takes a minute.
    #[arg(long, requires = "figures")]
    small: bool,
    /// What all choices follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().map_err(|_| "not a number".to_owned())?;
    let range = 0.1..=10_080.0;
    if range.contains(&minutes) {
        Ok(minutes)
    } else {
        Err("from 0.1 to 10080".to_owned())
    }
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = if arguments.figures {
        figures::run(&arguments)
    } else {
        report::soak(&arguments)
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    let _ = Arguments::parse();
    eprintln!("error: the soak looks into /proc, which is Linux");
    ExitCode::FAILURE
}
