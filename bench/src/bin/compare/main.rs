//! Runs FastPort, its peers and the limit side by side, in alternating rounds, under one load
//! generator, and writes what came out as a table.
//!
//! The server has one core and the load another. What is compared is compared within a round: the
//! machine's mood changes from minute to minute, and a ratio of neighbours does not see it.
#![forbid(unsafe_code)]

mod asio;
mod beside;
mod chart;
mod contestant;
mod fan_out;
mod load;
mod measurement;
mod memory;
mod open_loop;
mod scenario;
mod server;
mod sockets;
mod table;

use beside::Company;
use clap::Parser;
use contestant::Contestant;
use fastport_bench::cores::on_core;
use fastport_bench::descriptors;
use load::Load;
use measurement::Measurement;
use scenario::Scenario;
use server::{Programs, ServerKind};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use table::Results;

/// Runs servers side by side and writes a table.
#[derive(Parser)]
struct Arguments {
    /// Rounds; each runs every server once [default: 5, with --quick 3].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Workloads to run.
    #[arg(long = "scenario", value_enum, value_delimiter = ',',
        default_values_t = [Scenario::S1, Scenario::S2, Scenario::S7, Scenario::S3])]
    scenarios: Vec<Scenario>,
    /// Servers to run, each as SERVER[:workers=N][:direct=N][:defer][:idle=N][:blocked]: with so
    /// many workers, so many direct descriptors for each, connections accepted with their first
    /// bytes, so many idle sessions beside the load, one session whose handler blocks [default: all
    /// that echo; for FANOUT those that can].
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Contestant>,
    /// Servers that the others are compared with, as far as they run.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "limit,tokio-per-thread,tokio-broadcast"
    )]
    reference: Vec<Contestant>,
    /// Milliseconds that each server is measured for in each round [default: 2000, with --quick
    /// 700].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    duration_ms: Option<u64>,
    /// Short: to see that everything works, not to quote.
    #[arg(long)]
    quick: bool,
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
    let rounds = arguments
        .rounds
        .unwrap_or(if arguments.quick { 3 } else { 5 });
    let duration_ms = arguments
        .duration_ms
        .unwrap_or(if arguments.quick { 700 } else { 2000 });
    let load = Load {
        program: programs.fastport.clone(),
        core: arguments.load_core,
        duration: Duration::from_millis(duration_ms),
        warmup: arguments.warmup,
    };
    let mut text = table::machine(rounds, &format!("{duration_ms} ms"));
    print!("{text}");
    let mut groups = Vec::new();
    for scenario in &arguments.scenarios {
        let contestants = contestants(arguments, &programs, *scenario)?;
        let rounds = (0..rounds).map(|number| {
            let runner = Runner {
                arguments,
                programs: &programs,
                load: &load,
            };
            runner.round(*scenario, &contestants, number)
        });
        let results = Results {
            scenario: *scenario,
            contestants: &contestants,
            references: &arguments.reference,
            rounds: &rounds.collect::<io::Result<Vec<_>>>()?,
        };
        let section = results.section();
        print!("{section}");
        text.push_str(&section);
        groups.push((*scenario, results.bars()));
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

/// Who takes part in a scenario: those that were asked for, as far as they can.
fn contestants(
    arguments: &Arguments,
    programs: &Programs,
    scenario: Scenario,
) -> io::Result<Vec<Contestant>> {
    let by_default: &[ServerKind] = match scenario {
        Scenario::FanOut => &ServerKind::FAN_OUT,
        _ => &ServerKind::ECHO,
    };
    let mut all = arguments.servers.clone();
    if all.is_empty() {
        all.extend(by_default.iter().copied().map(Contestant::alone));
    }
    all.retain(|contestant| scenario.is_raw() || contestant.kind.knows_messages());
    let mut present = Vec::new();
    for contestant in all {
        if programs.has(contestant.kind)? {
            present.push(contestant);
        }
    }
    Ok(present)
}

/// What each server did in one round, in the order of the arguments.
pub(crate) type Round = Vec<Result<Measurement, String>>;

struct Runner<'a> {
    arguments: &'a Arguments,
    programs: &'a Programs,
    load: &'a Load,
}

impl Runner<'_> {
    /// One round of a scenario. Odd ones run the servers backwards.
    fn round(
        &self,
        scenario: Scenario,
        contestants: &[Contestant],
        number: u32,
    ) -> io::Result<Round> {
        let mut round: Round = vec![Err("not run".to_owned()); contestants.len()];
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        if number % 2 == 1 {
            order.reverse();
        }
        for at in order {
            round[at] = self.one(scenario, contestants[at])?;
            let name = contestants[at].name();
            let shown = match &round[at] {
                Ok(measured) => {
                    let cost = scenario.cost();
                    let figure = cost.of(measured).unwrap_or(f64::NAN);
                    format!("{} {figure:.3}", cost.heading().0)
                }
                Err(failure) => format!("FAILED: {failure}"),
            };
            eprintln!("{scenario:?} round {} {name}: {shown}", number + 1);
        }
        Ok(round)
    }

    /// One server, started for this.
    fn one(
        &self,
        scenario: Scenario,
        contestant: Contestant,
    ) -> io::Result<Result<Measurement, String>> {
        let server = self
            .programs
            .start(contestant, self.arguments.server_core)?;
        let begin = || Company::begin(contestant.beside, &server);
        let company = on_core(self.arguments.load_core, begin)?;
        let measured = self.load.run(scenario, &server);
        Ok(company.end().and(measured))
    }
}
