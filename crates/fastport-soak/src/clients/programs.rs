//! Whole programs: the server is stopped where it is and goes on, and load generators are stopped
//! or killed in the middle of their work.

use super::Client;
use crate::process::{Helper, ServerProcess, wait_until};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Longer than a run of the load generator with its stop, on a busy machine.
const BENCH_LIMIT: Duration = Duration::from_secs(90);

/// Stops the server with SIGSTOP for a moment, now and then.
pub(crate) fn run_freezes(mut client: Client<'_>, server: &ServerProcess) {
    while client.pause_ms(8_000, 20_000) {
        server.freeze();
        client.pause_ms(200, 1_500);
        server.thaw();
        client.ledger.did("stops of the server, up to 1.5 s");
    }
}

/// Runs `fastport bench`, which checks its answers itself; it is stopped for 2 s and must end well,
/// or it is killed.
pub(crate) fn run_benches(mut client: Client<'_>, program: &Path) {
    let address = client.address.to_string();
    while client.pause_ms(2_000, 6_000) {
        let mut command = Command::new(program);
        command
            .args([
                "bench",
                "--connect",
                &address,
                "--sessions",
                "20",
                "--verify",
            ])
            .args([
                "--payload-min",
                "64",
                "--payload-max",
                "4096",
                "--timeout",
                "40s",
            ])
            .args(["--rate", "400", "--duration", "6s"]);
        let mut bench = match Helper::start(&mut command) {
            Ok(bench) => bench,
            Err(error) => return client.ledger.find(format!("no load generator: {error}")),
        };
        client.pause_ms(1_500, 3_000);
        if client.random.one_in(3) {
            bench.kill();
            client.ledger.did("load generators killed");
            continue;
        }
        bench.freeze_for(|| {
            client.halt.pause(Duration::from_secs(2));
        });
        let pause = |time| {
            client.halt.pause(time);
        };
        let mut outcome = None;
        let ended = wait_until(BENCH_LIMIT, pause, || {
            outcome = bench.outcome();
            outcome.is_some() || client.halt.is_given()
        });
        match outcome {
            Some(status) if status.success() => {
                client.ledger.did("load generators stopped for 2 s");
            }
            Some(status) => client
                .ledger
                .find(format!("the load generator failed: {status}")),
            None if ended => {}
            None => client
                .ledger
                .find("the load generator does not end".to_owned()),
        }
    }
}
