//! `fastport server`: serves until a signal ends it.

use crate::arguments::ServerArguments;
use crate::failure::Failure;
use crate::serving::{NewsBox, Plan, Supervisor, serve};
use crate::settings::ServerSettings;
use crate::{descriptors, logging, signals};

/// Nobody but the reader of stdout and of the log.
struct Unsupervised;

impl Supervisor for Unsupervised {}

/// Runs the server until a signal ends it.
///
/// # Errors
/// Wrong settings, an address that can not be listened on, a worker that failed.
pub(crate) fn run(arguments: &ServerArguments, log: Option<&str>) -> Result<(), Failure> {
    let settings = ServerSettings::resolve(arguments)?;
    let log = logging::start_with(log, &settings.log)?;
    descriptors::raise_limit();
    let news = NewsBox::new();
    // Before the service: a signal that comes while it starts must not be lost.
    signals::handle(news.stopper(), news.reloader())
        .map_err(|error| Failure::while_doing("cannot handle signals", error))?;
    serve(
        &mut Plan::new(arguments, settings, log.control()),
        &news,
        &Unsupervised,
    )
}
