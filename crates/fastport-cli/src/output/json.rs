//! Runs as one JSON object.

use crate::bench::compare::{COLUMNS as COMPARED, CONFIDENCE, Ratio};
use crate::bench::report::{RunReport, Spread, Value, median_run};
use crate::output::csv::COLUMNS;
use serde_json::{Map, Value as Json, json};

/// One object with the keys of the CSV and `p999_latency_ns`. With several runs it is the run of
/// median throughput, and holds all of them in `runs` and their spread in `summary`.
pub(crate) fn object(runs: &[RunReport]) -> Json {
    let Some(shown) = median_run(runs) else {
        return Json::Object(Map::new());
    };
    let mut object = run_object(shown);
    if runs.len() > 1 {
        object.insert(
            "runs".into(),
            runs.iter()
                .map(|run| Json::Object(run_object(run)))
                .collect(),
        );
        object.insert("summary".into(), summary(runs));
    }
    Json::Object(object)
}

/// Two servers: what each did as [`object`] has it, and the ratios of the second by the first.
pub(crate) fn comparison(servers: [(&String, &Vec<RunReport>); 2]) -> Json {
    let [(first, first_runs), (second, second_runs)] = servers;
    let ratios = COMPARED.iter().map(|(column, more_is_better)| {
        let ratio = Ratio::of(first_runs, second_runs, column).map(|ratio| {
            json!({
                "ratio": ratio.mean,
                "low": ratio.low,
                "high": ratio.high,
                "rounds": ratio.rounds,
                "second_is": ratio.verdict(*more_is_better).word(),
            })
        });
        ((*column).to_owned(), ratio.unwrap_or(Json::Null))
    });
    json!({
        "first": { "server": first, "result": object(first_runs) },
        "second": { "server": second, "result": object(second_runs) },
        "confidence_percent": CONFIDENCE,
        "ratios": ratios.collect::<Map<_, _>>(),
    })
}

fn run_object(run: &RunReport) -> Map<String, Json> {
    COLUMNS
        .iter()
        .chain(&["p999_latency_ns"])
        .map(|column| ((*column).to_owned(), value(run.value(column))))
        .collect()
}

fn value(value: Value) -> Json {
    match value {
        Value::Text(text) => text.into(),
        Value::Count(count) => count.into(),
        Value::Number(number) => number.into(),
    }
}

fn summary(runs: &[RunReport]) -> Json {
    let spread = |column| {
        Spread::of(runs, column).map(|spread| {
            json!({
                "best": spread.best,
                "worst": spread.worst,
                "mean": spread.mean,
                "median": spread.median,
                "stddev": spread.deviation,
            })
        })
    };
    json!({
        "failed_runs": runs.iter().filter(|run| run.is_failed()).count(),
        "packets_per_sec": spread("packets_per_sec"),
        "avg_latency_ns": spread("avg_latency_ns"),
        "p99_latency_ns": spread("p99_latency_ns"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;

    #[test]
    fn one_run_has_the_keys_of_the_csv_and_one_more() {
        let object = object(&[sample(1_000.0)]);
        let keys = object.as_object().unwrap();
        assert_eq!(keys.len(), COLUMNS.len() + 1);
        assert!(COLUMNS.iter().all(|column| keys.contains_key(*column)));
        assert!(keys["p999_latency_ns"].is_u64());
        assert!(keys["test_name"].is_string());
        assert_eq!(keys["packets_per_sec"], 1_000.0);
    }

    #[test]
    fn several_runs_are_held_with_their_spread() {
        let object = object(&[sample(1_000.0), sample(3_000.0), sample(2_000.0)]);
        assert_eq!(object["packets_per_sec"], 2_000.0);
        assert_eq!(object["runs"].as_array().unwrap().len(), 3);
        assert_eq!(object["summary"]["packets_per_sec"]["best"], 3_000.0);
        assert_eq!(object["summary"]["failed_runs"], 0);
    }
}
