//! Runs the soak and puts its verdict on one page.

use crate::Arguments;
use crate::arena::{self, Outcome, Plan};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{fs, io, thread};

/// Soaks as asked, shows and writes the report; whether all was well. Blocks for all that time.
///
/// # Errors
/// When a server can not be run, or the report can not be written.
pub(crate) fn soak(arguments: &Arguments) -> io::Result<bool> {
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("fastport"),
    };
    let folder = Folder::make()?;
    let plan = Plan {
        program: &program,
        folder: &folder.0,
        duration: Duration::from_secs_f64(arguments.minutes * 60.0),
        seed: arguments.seed,
    };
    let outcomes = thread::scope(|scope| {
        let runs: Vec<_> = arguments
            .engine
            .iter()
            .map(|engine| (engine, scope.spawn(|| arena::run(&plan, engine))))
            .collect();
        runs.into_iter()
            .map(|(engine, run)| {
                let outcome = run
                    .join()
                    .map_err(|_| io::Error::other("a client panicked"));
                outcome
                    .and_then(|outcome| outcome)
                    .map(|outcome| (engine.as_str(), outcome))
            })
            .collect::<io::Result<Vec<_>>>()
    })?;
    let (page, passed) = page(arguments, &outcomes);
    println!("\n{page}");
    if let Some(path) = &arguments.report {
        fs::write(path, page)?;
    }
    Ok(passed)
}

/// A folder of its own for settings and logs; removed with what is in it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn make() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("fastport-soak-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn page(arguments: &Arguments, outcomes: &[(&str, Outcome)]) -> (String, bool) {
    let mut page = String::new();
    let passed = outcomes
        .iter()
        .all(|(_, outcome)| failures(outcome).is_empty());
    let total = |count: fn(&Outcome) -> u64| -> u64 {
        outcomes.iter().map(|(_, outcome)| count(outcome)).sum()
    };
    let _ = writeln!(
        page,
        "# Soak report\n\n\
         {} minutes, {} at the same time, seed {}: **{}**. {} messages were checked byte by byte; \
         {} lost, {} doubled, {} out of order, {} damaged. {} connections.\n",
        arguments.minutes,
        if outcomes.len() == 1 {
            "one server".into()
        } else {
            format!("{} servers", outcomes.len())
        },
        arguments.seed,
        if passed { "passed" } else { "FAILED" },
        grouped(total(|outcome| outcome.ledger.checked().0)),
        total(|outcome| outcome.ledger.lost.load(Ordering::Relaxed)),
        total(|outcome| outcome.ledger.doubled.load(Ordering::Relaxed)),
        total(|outcome| outcome.ledger.disordered.load(Ordering::Relaxed)),
        total(|outcome| outcome.ledger.damaged.load(Ordering::Relaxed)),
        grouped(total(|outcome| outcome.ledger.connections())),
    );
    let _ = writeln!(page, "{}\n", machine());
    figures(&mut page, outcomes);
    deeds(&mut page, outcomes);
    for (engine, outcome) in outcomes {
        let _ = writeln!(
            page,
            "\n`--engine {engine}`: {}; {}.",
            outcome.ready, outcome.ended.summary
        );
        // Without the time that it begins with.
        let warning = outcome
            .ended
            .warnings
            .first()
            .and_then(|line| line.split_once(" WARN "));
        if let Some((_, warning)) = warning {
            let _ = writeln!(page, "\nThe first warning: {}", warning.trim());
        }
        for failure in failures(outcome) {
            let _ = writeln!(page, "\n* **{failure}**");
        }
    }
    let _ = writeln!(
        page,
        "\nWritten by `cargo xtask soak --minutes {}`.",
        arguments.minutes
    );
    (page, passed)
}

/// Everything for which the soak fails.
fn failures(outcome: &Outcome) -> Vec<String> {
    let (count, mut failures) = outcome.ledger.findings();
    if count > failures.len() {
        failures.push(format!("{count} findings in all"));
    }
    let trend = &outcome.trend;
    if !trend.is_memory_level() {
        failures.push(format!(
            "resident memory grew: {:?} KiB",
            trend.resident_kib
        ));
    }
    if trend.threads_min != trend.threads_max {
        failures.push(format!(
            "{} to {} threads",
            trend.threads_min, trend.threads_max
        ));
    }
    if outcome.ledger.checked().0 == 0 {
        failures.push("nothing was checked".to_owned());
    }
    failures
}

fn figures(page: &mut String, outcomes: &[(&str, Outcome)]) {
    type Row<'a> = (&'a str, fn(&Outcome) -> String);
    let rows: [Row<'_>; 10] = [
        ("messages checked byte by byte", |o| {
            grouped(o.ledger.checked().0)
        }),
        ("bytes of them, MB", |o| {
            grouped(o.ledger.checked().1 / 1_000_000)
        }),
        ("lost / doubled / out of order / damaged", |o| {
            let ledger = &o.ledger;
            let counts = [
                &ledger.lost,
                &ledger.doubled,
                &ledger.disordered,
                &ledger.damaged,
            ];
            counts
                .map(|count| count.load(Ordering::Relaxed).to_string())
                .join(" / ")
        }),
        ("connections", |o| grouped(o.ledger.connections())),
        (
            "resident memory, MiB: medians of each fifth of the time",
            |o| o.trend.resident_kib.map(mib).join(", "),
        ),
        ("resident memory, MiB: before, most", |o| {
            format!(
                "{}, {}",
                mib(o.before.resident_kib),
                mib(o.trend.resident_max_kib)
            )
        }),
        ("descriptors: before, most, after", |o| {
            let most = o.trend.descriptors_max;
            format!("{}, {most}, {}", o.before.descriptors, o.after.descriptors)
        }),
        ("threads: least, most", |o| {
            format!("{}, {}", o.trend.threads_min, o.trend.threads_max)
        }),
        ("of one processor, %: under load, idle after", |o| {
            format!("{:.0}, {:.1}", o.trend.processor_percent, o.idle_percent)
        }),
        ("log: warnings, errors", |o| {
            format!("{}, {}", o.ended.warnings.len(), o.ended.errors.len())
        }),
    ];
    let names = outcomes.iter().map(|(engine, _)| format!("`{engine}`"));
    table(
        page,
        "",
        names,
        rows.iter()
            .map(|(name, cell)| (*name, outcomes.iter().map(|(_, o)| cell(o)).collect())),
    );
}

fn deeds(page: &mut String, outcomes: &[(&str, Outcome)]) {
    let all: Vec<_> = outcomes
        .iter()
        .map(|(_, outcome)| outcome.ledger.deeds())
        .collect();
    let mut names: Vec<_> = all.iter().flat_map(|deeds| deeds.keys().copied()).collect();
    names.sort_unstable();
    names.dedup();
    let engines = outcomes.iter().map(|(engine, _)| format!("`{engine}`"));
    let count = |deeds: &std::collections::BTreeMap<&str, u64>, name| {
        grouped(deeds.get(name).copied().unwrap_or(0))
    };
    page.push('\n');
    let rows = names
        .iter()
        .map(|name| (*name, all.iter().map(|deeds| count(deeds, name)).collect()));
    table(page, "what was done", engines, rows);
}

fn table<'a>(
    page: &mut String,
    title: &str,
    columns: impl Iterator<Item = String>,
    rows: impl Iterator<Item = (&'a str, Vec<String>)>,
) {
    let columns: Vec<_> = columns.collect();
    let _ = writeln!(page, "| {title} | {} |", columns.join(" | "));
    let _ = writeln!(page, "|---|{}", "---:|".repeat(columns.len()));
    for (name, cells) in rows {
        let _ = writeln!(page, "| {name} | {} |", cells.join(" | "));
    }
}

fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

/// What it ran on.
fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!(
        "Linux {}, {cores} processors, clients and servers on the same.",
        kernel.trim()
    )
}

/// A count with separators.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
