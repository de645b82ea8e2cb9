//! `fastport demo`: a server and a benchmark in one process.

use crate::bench::limits::Limits;
use crate::bench::plan::{Extent, Plan};
use crate::commands::bench;
use crate::failure::Failure;
use crate::output::table;
use crate::settings::ServerSettings;
use crate::{descriptors, logging, serving, terminal};
use std::time::Duration;

/// How long is measured: with its set-up, well below the 15 s that a first look may take.
const MEASURED: Duration = Duration::from_secs(3);

/// Runs the demo.
///
/// # Errors
/// When the server can not start, or something was lost.
pub(crate) fn run(log: Option<&str>) -> Result<(), Failure> {
    let _log = logging::start(log, "warn")?;
    descriptors::raise_limit();
    let settings = ServerSettings::local();
    let (service, address) = serving::start(&settings)?;
    terminal::say(serving::ready_line(&service, address));
    let plan = Plan {
        test_name: "demo".into(),
        payload_min: 64,
        payload_max: 1_024,
        extent: Extent::Time(MEASURED),
        verify: Some(1),
        ..Plan::default()
    };
    let run = bench::one_run(&plan, &[address])?;
    service.stop(settings.drain_timeout);
    terminal::say(table::run_table(&run));
    bench::judge(&[run], &Limits::default())
}
