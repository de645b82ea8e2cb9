//! FastPort's command line: server, client, bench, demo, status, admin, config, service.
//!
//! A library only so that what reads text from people can be fuzzed; the program is [`main`].
//!
//! Exit status: 0 when all went well, 1 when something failed while running, 2 when what was asked
//! for is wrong, 70 when a worker died, 130 when a second signal ended the process.
#![forbid(unsafe_code)]

mod address;
mod administration;
mod arguments;
mod bench;
mod clock;
mod commands;
mod dashboard;
mod descriptors;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod logging;
mod manager;
mod output;
mod quantity;
mod services;
mod serving;
mod settings;
mod signals;
mod terminal;
mod tls;

use arguments::{Arguments, Command, ServerArguments};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

/// The program `fastport`: reads its arguments, does what they say, and tells its exit status.
/// Blocks until that is done.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Told) {
                eprintln!("error: {failure}");
            }
            failure.status()
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let log = arguments.log.as_deref();
    match &arguments.command {
        None => commands::server::run(&ServerArguments::default(), log),
        Some(Command::Server(server)) => commands::server::run(server, log),
        Some(Command::Client(client)) => commands::client::run(client, log),
        Some(Command::Bench(bench)) => commands::bench::run(bench, log),
        Some(Command::Service(service)) => commands::service::run(service, log),
        Some(Command::Status(status)) => commands::status::run(status),
        Some(Command::Admin(admin)) => commands::admin::run(admin),
        Some(Command::Config(config)) => commands::config::run(config),
        Some(Command::Demo) => commands::demo::run(log),
    }
}
