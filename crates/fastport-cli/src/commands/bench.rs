//! `fastport bench`: runs the plan, shows and stores what it measured.

use crate::arguments::BenchArguments;
use crate::bench::compare::begins_with_second;
use crate::bench::limits::Limits;
use crate::bench::plan::Plan;
use crate::bench::report::RunReport;
use crate::bench::runner;
use crate::failure::Failure;
use crate::output::environment::Environment;
use crate::output::{csv, json, report, table};
use crate::tls::ClientTls;
use crate::{address, descriptors, logging, terminal};
use fastport::Error;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::Path;

/// Rounds of a comparison unless told otherwise: an interval from fewer is wide.
const ROUNDS: usize = 10;

/// A server that is put under load, and what came of it.
struct Subject {
    name: String,
    addresses: Vec<SocketAddr>,
    plan: Plan,
    runs: Vec<RunReport>,
}

/// Runs the benchmark as often as asked.
///
/// # Errors
/// Wrong options, a server that can not be reached, a run with a loss or beyond a limit.
pub(crate) fn run(arguments: &BenchArguments, log: Option<&str>) -> Result<(), Failure> {
    let mut subjects = subjects(arguments)?;
    let rounds = rounds(arguments).map_err(Failure::Usage)?;
    let _log = logging::start(log, "warn")?;
    if let Some(path) = &arguments.output {
        csv::check(path).map_err(|error| unwritable(path, error))?;
    }
    if let Some(path) = &arguments.report {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.map_err(|error| unwritable(path, error))?;
    }
    let environment = Environment::read(command_line());
    descriptors::raise_limit();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        if begins_with_second(round) {
            order.reverse();
        }
        for index in order {
            measure(&mut subjects[index], arguments)?;
        }
    }
    show(&subjects, arguments.json);
    if let Some(path) = &arguments.report {
        let page = report::page(&servers(&subjects), &environment);
        std::fs::write(path, page).map_err(|error| unwritable(path, error))?;
    }
    judge_all(&subjects, &limits(arguments))
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
pub(crate) fn judge(runs: &[RunReport], limits: &Limits) -> Result<(), Failure> {
    let broken = limits.broken_by(runs);
    if broken.is_empty() {
        Ok(())
    } else {
        Err(Failure::Runtime(broken.join("; ")))
    }
}

/// The server that was asked for, or the two that are compared.
fn subjects(arguments: &BenchArguments) -> Result<Vec<Subject>, Failure> {
    let mut plan = Plan::new(arguments).map_err(Failure::Usage)?;
    let first = arguments.compare.first().unwrap_or(&arguments.connect[0]);
    plan.tls = ClientTls::read(&arguments.tls, first)?;
    if !arguments.tls_resume {
        plan.tls = plan.tls.without_resumption();
    }
    let subject = |name: String, texts: &[String], plan: Plan| {
        let addresses = texts.iter().map(|text| address::resolve(text));
        Ok(Subject {
            name,
            addresses: addresses.collect::<Result<_, Failure>>()?,
            plan,
            runs: Vec::new(),
        })
    };
    if arguments.compare.is_empty() {
        let name = arguments.connect.join(",");
        return Ok(vec![subject(name, &arguments.connect, plan)?]);
    }
    let compared = arguments.compare.iter().map(|text| {
        // The CSV has no column for the server.
        let test_name = format!("{}@{text}", plan.test_name);
        let plan = Plan {
            test_name,
            ..plan.clone()
        };
        subject(text.clone(), std::slice::from_ref(text), plan)
    });
    compared.collect()
}

fn rounds(arguments: &BenchArguments) -> Result<usize, String> {
    match (arguments.runs, arguments.compare.is_empty()) {
        (runs, true) => Ok(runs.unwrap_or(1)),
        (Some(runs), false) if runs < 3 => Err(format!(
            "--runs {runs}: an interval needs at least 3 rounds with --compare"
        )),
        (runs, false) => Ok(runs.unwrap_or(ROUNDS)),
    }
}

fn limits(arguments: &BenchArguments) -> Limits {
    Limits {
        p99_max: arguments.max_p99,
        loss_max: arguments.max_loss,
    }
}

/// One run of a server; it is shown and stored at once, so that a later failure loses nothing.
fn measure(subject: &mut Subject, arguments: &BenchArguments) -> Result<(), Failure> {
    let run = one_run(&subject.plan, &subject.addresses)?;
    if !arguments.json {
        terminal::say(table::run_table(&run));
    }
    if let Some(path) = &arguments.output {
        let appended = csv::append(path, std::slice::from_ref(&run));
        appended.map_err(|error| unwritable(path, error))?;
    }
    subject.runs.push(run);
    Ok(())
}

fn show(subjects: &[Subject], as_json: bool) {
    match (subjects, as_json) {
        ([first, second], true) => terminal::say(json::comparison([
            (&first.name, &first.runs),
            (&second.name, &second.runs),
        ])),
        ([first, second], false) => terminal::say(table::comparison([
            (&first.name, &first.runs),
            (&second.name, &second.runs),
        ])),
        ([subject], true) => terminal::say(json::object(&subject.runs)),
        ([subject], false) if subject.runs.len() > 1 => {
            terminal::say(table::runs_table(&subject.runs));
        }
        _ => {}
    }
}

fn servers(subjects: &[Subject]) -> Vec<report::Server<'_>> {
    let servers = subjects.iter().map(|subject| report::Server {
        name: &subject.name,
        runs: &subject.runs,
    });
    servers.collect()
}

/// Every server must keep the limits; with two it is said which did not.
fn judge_all(subjects: &[Subject], limits: &Limits) -> Result<(), Failure> {
    for subject in subjects {
        judge(&subject.runs, limits).map_err(|failure| match subjects {
            [_, _] => Failure::while_doing(&subject.name, failure),
            _ => failure,
        })?;
    }
    Ok(())
}

fn command_line() -> String {
    let words = std::env::args_os().skip(1);
    let words = words.map(|word| word.to_string_lossy().into_owned());
    let words: Vec<_> = std::iter::once("fastport".to_owned())
        .chain(words)
        .collect();
    words.join(" ")
}

fn unwritable(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::while_doing(format_args!("cannot write {}", path.display()), error)
}
