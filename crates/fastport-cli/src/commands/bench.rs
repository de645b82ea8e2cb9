//! `fastport bench`: runs the plan, shows and stores what it measured.

use crate::arguments::BenchArguments;
use crate::bench::plan::Plan;
use crate::bench::report::RunReport;
use crate::bench::runner;
use crate::failure::Failure;
use crate::output::{csv, json, table};
use crate::{address, descriptors, logging, terminal};
use fastport::Error;
use std::net::SocketAddr;

/// Runs the benchmark as often as asked.
///
/// # Errors
/// Wrong options, a server that can not be reached, a run with a loss.
pub(crate) fn run(arguments: &BenchArguments, log: Option<&str>) -> Result<(), Failure> {
    let plan = Plan::new(arguments).map_err(Failure::Usage)?;
    let addresses = arguments.connect.iter().map(|text| address::resolve(text));
    let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    let _log = logging::start(log, "warn")?;
    let unwritable = |error| {
        let path = arguments.output.as_deref().unwrap_or("".as_ref());
        Failure::while_doing(format_args!("cannot write {}", path.display()), error)
    };
    if let Some(path) = &arguments.output {
        csv::check(path).map_err(unwritable)?;
    }
    descriptors::raise_limit();
    let mut runs = Vec::with_capacity(arguments.runs);
    for _ in 0..arguments.runs {
        let run = one_run(&plan, &addresses)?;
        if !arguments.json {
            terminal::say(table::run_table(&run));
        }
        if let Some(path) = &arguments.output {
            csv::append(path, std::slice::from_ref(&run)).map_err(unwritable)?;
        }
        runs.push(run);
    }
    if arguments.json {
        terminal::say(json::object(&runs));
    } else if runs.len() > 1 {
        terminal::say(table::runs_table(&runs));
    }
    judge(&runs)
}

/// One run, with an error that says what to do when nobody listens.
pub(crate) fn one_run(plan: &Plan, addresses: &[SocketAddr]) -> Result<RunReport, Failure> {
    runner::run(plan, addresses).map_err(|error| match error {
        Error::Connect { .. } => Failure::Runtime(format!(
            "{error}; is a server listening there? try `fastport server`"
        )),
        error => error.into(),
    })
}

/// A run with a loss makes the command fail; the table has told why.
pub(crate) fn judge(runs: &[RunReport]) -> Result<(), Failure> {
    let failed: Vec<_> = runs.iter().filter(|run| run.is_failed()).collect();
    match failed.first() {
        None => Ok(()),
        Some(first) => Err(Failure::Runtime(format!(
            "{} of {} runs failed: {}",
            failed.len(),
            runs.len(),
            first
                .first_loss
                .as_deref()
                .unwrap_or("not everything came back")
        ))),
    }
}
