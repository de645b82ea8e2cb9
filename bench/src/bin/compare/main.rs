//! Runs FastPort, its peers and the limit side by side, in alternating rounds, under one load
//! generator, and writes what came out as a table.
//!
//! The server has one core and the load another. What is compared is compared within a round: the
//! machine's mood changes from minute to minute, and a ratio of neighbours does not see it.
#![forbid(unsafe_code)]

mod chart;
mod load;
mod scenario;
mod server;
mod table;

use clap::Parser;
use fastport_bench::descriptors;
use load::{Load, Measurement};
use scenario::Scenario;
use server::{Programs, ServerKind};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs servers side by side and writes a table.
#[derive(Parser)]
struct Arguments {
    /// Rounds; each runs every server once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Workloads to run.
    #[arg(long = "scenario", value_enum, value_delimiter = ',',
        default_values_t = [Scenario::S1, Scenario::S2, Scenario::S7, Scenario::S3])]
    scenarios: Vec<Scenario>,
    /// Servers to run.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = ServerKind::ALL)]
    servers: Vec<ServerKind>,
    /// How long each server is measured in each round, as `fastport bench --duration` takes it.
    #[arg(long, default_value = "5s")]
    duration: String,
    /// Requests of each session before measuring begins.
    #[arg(long, default_value_t = 10)]
    warmup: u32,
    /// Core of the servers.
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// Core of the load generator.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// The FastPort binary, server and load generator.
    #[arg(long)]
    fastport: Option<PathBuf>,
    /// Also draws the processor time of a message, relative to the limit, to this file.
    #[arg(long, value_name = "FILE.svg")]
    chart: Option<PathBuf>,
    /// Also writes the tables to this file.
    #[arg(long, value_name = "FILE.md")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    descriptors::raise_limit()?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fastport = match &arguments.fastport {
        Some(path) => path.clone(),
        None => here.join("../target/release/fastport"),
    };
    let programs = Programs::find(fastport)?;
    let load = Load {
        program: programs.fastport.clone(),
        core: arguments.load_core,
        duration: arguments.duration.clone(),
        warmup: arguments.warmup,
    };
    let mut text = table::machine(arguments.rounds, &arguments.duration);
    print!("{text}");
    let mut groups = Vec::new();
    for scenario in &arguments.scenarios {
        let mut servers = arguments.servers.clone();
        // It knows no messages.
        servers.retain(|kind| *kind != ServerKind::Limit || scenario.is_raw());
        let rounds = measure(arguments, &programs, &load, *scenario, &servers)?;
        let section = table::section(*scenario, &servers, &rounds);
        print!("{section}");
        text.push_str(&section);
        groups.push((*scenario, table::costs(&servers, &rounds)));
    }
    if let Some(path) = &arguments.chart {
        groups.retain(|(_, bars)| !bars.is_empty());
        std::fs::write(path, chart::draw(&groups))?;
    }
    match &arguments.output {
        Some(path) => std::fs::write(path, text),
        None => Ok(()),
    }
}

/// What each server did in one round, in the order of the arguments.
pub(crate) type Round = Vec<Result<Measurement, String>>;

/// All rounds of one scenario. Odd rounds run the servers backwards.
fn measure(
    arguments: &Arguments,
    programs: &Programs,
    load: &Load,
    scenario: Scenario,
    servers: &[ServerKind],
) -> io::Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for number in 0..arguments.rounds {
        let mut round: Round = vec![Err("not run".to_owned()); servers.len()];
        let mut order: Vec<usize> = (0..servers.len()).collect();
        if number % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let kind = servers[at];
            let server = programs.start(kind, arguments.server_core)?;
            round[at] = load.run(scenario, &server);
            let shown = match &round[at] {
                Ok(measured) => format!("{:.0} messages/s", measured.messages_per_second),
                Err(failure) => format!("FAILED: {failure}"),
            };
            eprintln!("{scenario:?} round {} {}: {shown}", number + 1, kind.name());
        }
        rounds.push(round);
    }
    Ok(rounds)
}
