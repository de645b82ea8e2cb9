//! The memory of a server's idle sessions, after each has had one echo.

use crate::measurement::Measurement;
use crate::server::Server;
use fastport_bench::idle_sessions::IdleSessions;
use fastport_bench::process;
use std::io;

/// Opens the sessions, lets each echo once, and tells what each takes of the server's resident
/// memory beyond that of the server without them.
pub(crate) fn measure(server: &Server, sessions: usize) -> io::Result<Measurement> {
    let baseline = process::memory(server.pid())?.resident_bytes;
    let mut idle = IdleSessions::open(server.address, sessions, PAYLOAD)?;
    idle.echo_all(PAYLOAD)?;
    let now = process::memory(server.pid())?;
    let grown = now.resident_bytes.saturating_sub(baseline);
    Ok(Measurement {
        session_bytes: Some(grown as f64 / sessions as f64),
        server_peak_bytes: Some(now.peak_bytes as f64),
        ..Measurement::default()
    })
}

const PAYLOAD: usize = 64;
