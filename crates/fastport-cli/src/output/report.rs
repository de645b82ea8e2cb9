//! Runs as one HTML file that needs nothing else: no script, no font, no picture from elsewhere.
//!
//! Only text is made here; `commands/bench.rs` writes it.

mod chart;

use super::environment::Environment;
use crate::bench::compare::{COLUMNS, CONFIDENCE, Ratio, Verdict};
use crate::bench::report::{RunReport, median_run};
use crate::quantity::{show_count, show_ns};
use chart::{Axis, Chart, Series};
use std::fmt::Write;

/// The runs of one server.
pub(crate) struct Server<'a> {
    /// Its address, as it was given.
    pub(crate) name: &'a str,
    /// Its runs in their order; at least one.
    pub(crate) runs: &'a [RunReport],
}

/// The page of one server, or of two beside each other.
pub(crate) fn page(servers: &[Server<'_>], environment: &Environment) -> String {
    let plan = servers.iter().find_map(|server| server.runs.first());
    let mut summary = plan.map_or_else(String::new, |run| run.plan.summary());
    if let [first, _] = servers {
        // The plan's name says which server it was.
        summary = summary.replacen(&format!("@{}", first.name), "", 1);
    }
    let mut body = format!("<h1>fastport bench</h1>\n<p>{}</p>\n", escape(&summary));
    if let [first, second] = servers {
        body.push_str(&comparison(first, second));
    }
    body.push_str(&percentiles(servers));
    body.push_str(&timelines(servers));
    for server in servers {
        body.push_str(&runs_table(server));
    }
    body.push_str(&facts(environment));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>fastport bench: {}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n{body}</body>\n</html>\n",
        escape(&summary)
    )
}

/// Text that a browser shows as it is.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn comparison(first: &Server<'_>, second: &Server<'_>) -> String {
    let mut rows = String::new();
    for (column, more_is_better) in COLUMNS {
        let name = column.trim_end_matches("_ns").replace('_', " ");
        let Some(ratio) = Ratio::of(first.runs, second.runs, column) else {
            let _ = writeln!(
                rows,
                "<tr><td>{name}<td colspan=\"4\">too few rounds without a loss"
            );
            continue;
        };
        let verdict = ratio.verdict(more_is_better);
        let (word, class) = match verdict {
            Verdict::Better => (verdict.word(), "good"),
            Verdict::Worse => (verdict.word(), "bad"),
            Verdict::NoDifference => (verdict.word(), ""),
        };
        let _ = writeln!(
            rows,
            "<tr><td>{name}<td>{:.3}<td>{:.3} to {:.3}<td>{}<td class=\"{class}\">{word}",
            ratio.mean, ratio.low, ratio.high, ratio.rounds
        );
    }
    format!(
        "<h2>B ({}) beside A ({})</h2>\n<table>\n<tr><th>what<th>B : A<th>{CONFIDENCE} % \
         interval<th>rounds<th>B is\n{rows}</table>\n<p class=\"note\">Geometric mean of the \
         rounds' ratios; A and B took turns, every other round B first.</p>\n",
        escape(second.name),
        escape(first.name)
    )
}

/// Latency by percentile, of every run; the run of median throughput stands out.
fn percentiles(servers: &[Server<'_>]) -> String {
    let mut chart = Chart::new("Latency by percentile", Axis::Percentile, Axis::Latency);
    for (index, server) in servers.iter().enumerate() {
        let shown = median_run(server.runs);
        for run in server.runs {
            let is_shown = shown.is_some_and(|shown| std::ptr::eq(shown, run));
            let points = PERCENTILES.map(|percent| {
                let latency = run.latencies.percentile_ns(percent) as f64;
                (percent, (run.measured_responses > 0).then_some(latency))
            });
            chart.add(Series {
                name: label(servers, index, ""),
                color: index,
                is_faint: !is_shown,
                is_dashed: false,
                points: points.to_vec(),
            });
        }
    }
    format!("<h2>Latency by percentile</h2>\n{}", chart.svg())
}

/// Throughput and latency over the time of the run of median throughput.
fn timelines(servers: &[Server<'_>]) -> String {
    let mut rate = Chart::new("Responses a second over time", Axis::Seconds, Axis::Rate);
    let mut latency = Chart::new("Latency over time", Axis::Seconds, Axis::Latency);
    for (index, server) in servers.iter().enumerate() {
        let Some(run) = median_run(server.runs) else {
            continue;
        };
        let points = run.timeline.points(run.measured_elapsed_ns);
        let series = |name, is_dashed, points| Series {
            name: label(servers, index, name),
            color: index,
            is_faint: false,
            is_dashed,
            points,
        };
        let rates = points.iter().map(|point| (point.at_s, Some(point.rate)));
        rate.add(series("responses", false, rates.collect()));
        let ns = |value: Option<u64>| value.map(|ns| ns as f64);
        let p50 = points.iter().map(|point| (point.at_s, ns(point.p50_ns)));
        let p99 = points.iter().map(|point| (point.at_s, ns(point.p99_ns)));
        latency.add(series("p50", true, p50.collect()));
        latency.add(series("p99", false, p99.collect()));
    }
    format!(
        "<h2>Over time</h2>\n<p class=\"note\">The run of median throughput.</p>\n{}{}",
        rate.svg(),
        latency.svg()
    )
}

/// A series' name: with two servers it says whose.
fn label(servers: &[Server<'_>], index: usize, name: &str) -> String {
    let letter = if servers.len() < 2 {
        ""
    } else {
        ["A", "B"].get(index).copied().unwrap_or("?")
    };
    format!("{letter} {name}").trim().to_owned()
}

fn runs_table(server: &Server<'_>) -> String {
    let mut rows = String::new();
    for (index, run) in server.runs.iter().enumerate() {
        let latency = |percent| show_ns(run.latencies.percentile_ns(percent) as f64);
        let (class, result) = match (run.is_failed(), run.first_loss.as_deref()) {
            (false, _) => ("", "ok".to_owned()),
            (true, why) => ("bad", escape(why.unwrap_or("not everything came back"))),
        };
        let _ = writeln!(
            rows,
            "<tr><td>{}<td>{}<td>{:.2}<td>{}<td>{}<td>{}<td>{}<td>{} of {}\
             <td class=\"{class}\">{result}",
            index + 1,
            show_count(run.packets_per_second().round() as u64),
            run.megabytes_per_second(),
            latency(50.0),
            latency(99.0),
            latency(99.9),
            show_ns(run.latencies.most_ns() as f64),
            show_count(run.measured_responses),
            show_count(run.measured_requests),
        );
    }
    format!(
        "<h2>Runs against {}</h2>\n<table>\n<tr><th>run<th>responses/s<th>MB/s<th>p50<th>p99<th>\
         p99.9<th>max<th>responses<th>result\n{rows}</table>\n",
        escape(server.name)
    )
}

fn facts(environment: &Environment) -> String {
    let mut rows = String::new();
    for (name, fact) in environment.facts() {
        let _ = writeln!(rows, "<tr><td>{name}<td class=\"text\">{}", escape(fact));
    }
    format!("<h2>Where it was measured</h2>\n<table>\n{rows}</table>\n")
}

/// Where the curve of percentiles has its points.
const PERCENTILES: [f64; 12] = [
    0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999,
];

const STYLE: &str = "
:root { color-scheme: light dark; --a: #1f6feb; --b: #d9480f; --line: #8886; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: right; }
th { font-weight: 600; } td:first-child, th:first-child, .text { text-align: left; }
.note { opacity: .75; } .good { color: #2b8a3e; } .bad { color: #e03131; }
svg { width: 100%; height: auto; } svg text { fill: currentColor; font-size: 12px; }
.grid { stroke: var(--line); } .c0 { stroke: var(--a); } .c1 { stroke: var(--b); }
polyline { fill: none; stroke-width: 2; } .faint { opacity: .3; stroke-width: 1; }
.dashed { stroke-dasharray: 6 4; }
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;

    fn environment() -> Environment {
        Environment::read("fastport bench --name <b>".into())
    }

    #[test]
    fn a_page_stands_alone_and_shows_the_runs() {
        let runs = [sample(1_000.0), sample(1_100.0)];
        let server = Server {
            name: "127.0.0.1:1",
            runs: &runs,
        };
        let page = page(&[server], &environment());
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        for shown in [
            "127.0.0.1:1",
            "1,000 of 1,000",
            "1,100",
            "Over time",
            "system",
        ] {
            assert!(page.contains(shown), "no {shown}");
        }
        for foreign in ["http://", "https://", "<script", "src=", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("--name &lt;b&gt;") && !page.contains("<b>"));
    }

    #[test]
    fn a_comparison_shows_ratios_with_their_interval() {
        let first = [sample(1_000.0), sample(1_010.0), sample(990.0)];
        let second = [sample(2_000.0), sample(2_020.0), sample(1_980.0)];
        let servers = [("a:1", &first), ("b:2", &second)].map(|(name, runs)| Server { name, runs });
        let page = page(&servers, &environment());
        assert!(page.contains("B (b:2) beside A (a:1)"), "{page}");
        assert!(page.contains("2.000<td>2.000 to 2.000<td>3"), "{page}");
        assert!(page.contains("class=\"good\">better"), "{page}");
        assert!(page.contains("A p99") && page.contains("B p99"));
    }

    #[test]
    fn runs_that_failed_are_told_with_their_reason() {
        let failed = RunReport {
            connection_losses: 1,
            measured_responses: 0,
            first_loss: Some("reset <by> peer".into()),
            ..sample(1_000.0)
        };
        let runs = [failed];
        let server = Server {
            name: "a:1",
            runs: &runs,
        };
        let page = page(&[server], &environment());
        assert!(
            page.contains("class=\"bad\">reset &lt;by&gt; peer"),
            "{page}"
        );
    }
}
