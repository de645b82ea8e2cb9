//! Runs as lines of a CSV file.
//!
//! Lines are appended; the header is written when the file is new. A file with another header is
//! left alone.

use crate::bench::report::{RunReport, Value};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::Path;

/// The columns, in order. Other programs read these files: names and order are fixed.
pub(crate) const COLUMNS: [&str; 26] = [
    "test_name",
    "iterations",
    "payload_size",
    "avg_latency_ns",
    "min_latency_ns",
    "max_latency_ns",
    "p50_latency_ns",
    "p90_latency_ns",
    "p95_latency_ns",
    "p99_latency_ns",
    "stddev_ns",
    "packets_per_sec",
    "mb_per_sec",
    "requested_sessions",
    "connected_sessions",
    "connection_losses",
    "warmup_requests",
    "warmup_responses",
    "measured_requests",
    "measured_responses",
    "payload_min_bytes",
    "payload_max_bytes",
    "payload_pool_size",
    "connect_elapsed_ns",
    "warmup_elapsed_ns",
    "measured_elapsed_ns",
];

/// Appends the runs to the file, and the header before them when it is new.
///
/// # Errors
/// When the file can not be written, or is no such table.
pub(crate) fn append(path: &Path, runs: &[RunReport]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)?;
    let mut text = String::new();
    if is_new(&mut file)? {
        text.push_str(&header());
        text.push('\n');
    }
    for run in runs {
        text.push_str(&line(run));
        text.push('\n');
    }
    file.write_all(text.as_bytes())
}

/// Checks that runs could be appended, before hours are spent on them.
///
/// # Errors
/// When the file can not be written, or is no such table.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    append(path, &[])
}

/// Whether the file is empty.
///
/// # Errors
/// When what is in it does not begin with the header.
fn is_new(file: &mut std::fs::File) -> io::Result<bool> {
    let expected = header();
    let mut found = Vec::new();
    file.take(expected.len() as u64 + 1)
        .read_to_end(&mut found)?;
    if found.is_empty() {
        return Ok(true);
    }
    match found.strip_prefix(expected.as_bytes()) {
        Some(b"\n" | b"\r") => Ok(false),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file exists and has other columns: choose another file",
        )),
    }
}

fn header() -> String {
    COLUMNS.join(",")
}

fn line(run: &RunReport) -> String {
    COLUMNS.map(|column| cell(&run.value(column))).join(",")
}

/// RFC 4180: a text with a separator, a quote or a line break stands in quotes.
fn cell(value: &Value) -> String {
    match value {
        Value::Text(text) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::Text(text) => text.clone(),
        Value::Count(count) => count.to_string(),
        Value::Number(number) => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;

    /// As published; a literal, so that a change of the list is seen.
    const HEADER: &str = "test_name,iterations,payload_size,avg_latency_ns,min_latency_ns,\
        max_latency_ns,p50_latency_ns,p90_latency_ns,p95_latency_ns,p99_latency_ns,stddev_ns,\
        packets_per_sec,mb_per_sec,requested_sessions,connected_sessions,connection_losses,\
        warmup_requests,warmup_responses,measured_requests,measured_responses,payload_min_bytes,\
        payload_max_bytes,payload_pool_size,connect_elapsed_ns,warmup_elapsed_ns,\
        measured_elapsed_ns";

    fn scratch(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("fastport-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    #[test]
    fn the_header_is_as_published() {
        assert_eq!(header(), HEADER);
    }

    #[test]
    fn runs_are_appended_under_one_header() {
        let path = scratch("append.csv");
        check(&path).unwrap();
        append(&path, &[sample(1_000.0)]).unwrap();
        append(&path, &[sample(2_000.0), sample(3_000.0)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], HEADER);
        assert!(
            lines[1..]
                .iter()
                .all(|line| line.split(',').count() == COLUMNS.len())
        );
        assert_eq!(lines[2].split(',').nth(11), Some("2000.00"));
    }

    #[test]
    fn a_file_with_other_columns_is_left_alone() {
        let path = scratch("other.csv");
        std::fs::write(&path, "name,value\n").unwrap();
        let error = append(&path, &[sample(1.0)]).unwrap_err();
        assert!(error.to_string().contains("choose another file"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "name,value\n");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_text_with_a_separator_is_quoted() {
        assert_eq!(cell(&Value::Text("a,\"b\"".into())), "\"a,\"\"b\"\"\"");
        assert_eq!(cell(&Value::Text("plain".into())), "plain");
    }
}
