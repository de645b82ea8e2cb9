//! Starts one server on its core and ends it when it goes out of scope.

use clap::ValueEnum;
use fastport_bench::cores::on_core;
use std::io::{self, BufRead, BufReader, Error};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ServerKind {
    /// FastPort on io_uring, one worker, inline.
    FastportIoUring,
    /// FastPort on its readiness fallback, one worker, inline.
    FastportPoll,
    /// tokio, the multi-threaded runtime with one thread.
    Tokio,
    /// tokio, a runtime for each thread, one thread.
    TokioPerThread,
    /// FastPort on io_uring whose worker looks again before it sleeps, while that pays.
    FastportAdaptive,
    /// tokio and tokio-util's `Framed`, a frame at a time.
    TokioFramed,
    /// compio, completion-based, one thread.
    Compio,
    /// monoio, completion-based, one thread.
    Monoio,
    /// The least that an io_uring server can do.
    Limit,
}

impl ServerKind {
    /// In the order in which they run.
    pub(crate) const ALL: [Self; 8] = [
        Self::FastportIoUring,
        Self::Tokio,
        Self::FastportPoll,
        Self::TokioPerThread,
        Self::Compio,
        Self::Monoio,
        Self::TokioFramed,
        Self::Limit,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::FastportIoUring => "FastPort io_uring",
            Self::FastportPoll => "FastPort poll",
            Self::Tokio => "tokio multi-thread",
            Self::TokioPerThread => "tokio per-thread",
            Self::FastportAdaptive => "FastPort io_uring, adaptive wait",
            Self::TokioFramed => "tokio-util Framed",
            Self::Compio => "compio",
            Self::Monoio => "monoio",
            Self::Limit => "limit (io_uring)",
        }
    }

    pub(crate) const fn is_tokio(self) -> bool {
        matches!(self, Self::Tokio | Self::TokioPerThread)
    }

    const fn is_fastport(self) -> bool {
        matches!(
            self,
            Self::FastportIoUring | Self::FastportPoll | Self::FastportAdaptive
        )
    }

    /// What makes the kind; every FastPort server has one worker and inline handlers.
    const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::FastportIoUring => &["--engine", "io_uring"],
            Self::FastportPoll => &["--engine", "poll"],
            Self::FastportAdaptive => &["--engine", "io_uring", "--wait", "adaptive"],
            Self::Tokio => &["--flavor", "multi-thread", "--threads", "1"],
            Self::TokioPerThread => &["--flavor", "per-thread", "--threads", "1"],
            Self::Limit | Self::TokioFramed | Self::Compio | Self::Monoio => &[],
        }
    }
}

/// Where the programs are.
pub(crate) struct Programs {
    pub(crate) fastport: PathBuf,
    /// The folder of this program, where its neighbours are.
    peers: PathBuf,
}

impl Programs {
    /// Looks for the programs that every run needs.
    pub(crate) fn find(fastport: PathBuf) -> io::Result<Self> {
        if !fastport.is_file() {
            let shown = fastport.display();
            let sentence = format!("no {shown}: cargo build --release at the root, or --fastport");
            return Err(Error::other(sentence));
        }
        let own = std::env::current_exe()?;
        let peers = own.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Self { fastport, peers })
    }

    /// Starts a server on a free port and waits until it listens.
    pub(crate) fn start(&self, kind: ServerKind, core: usize) -> io::Result<Server> {
        let program = match kind {
            ServerKind::FastportIoUring
            | ServerKind::FastportPoll
            | ServerKind::FastportAdaptive => self.fastport.clone(),
            ServerKind::Tokio | ServerKind::TokioPerThread => self.peers.join("peer-tokio"),
            ServerKind::TokioFramed => self.peers.join("peer-framed"),
            ServerKind::Compio => self.peers.join("peer-compio"),
            ServerKind::Monoio => self.peers.join("peer-monoio"),
            ServerKind::Limit => self.peers.join("limit"),
        };
        let mut command = Command::new(&program);
        if kind.is_fastport() {
            command.args(["server", "--workers", "1", "--dispatch", "inline"]);
            command.args(["--log", "warn"]);
        }
        command
            .args(kind.flags())
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let failed = |error| Error::other(format!("{}: {error}", program.display()));
        let mut child = on_core(core, || command.spawn()).map_err(failed)?;
        let output = child.stdout.take().map(BufReader::new);
        let mut server = Server {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            output,
        };
        server.address = server.await_address().map_err(failed)?;
        Ok(server)
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Kept open: a server that can not print would end.
    output: Option<BufReader<ChildStdout>>,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads up to the line that says where it listens; the end of the output means that it failed.
    fn await_address(&mut self) -> io::Result<SocketAddr> {
        let output = self
            .output
            .as_mut()
            .ok_or_else(|| Error::other("no output"))?;
        for line in output.lines() {
            if let Some(address) = listening_address(&line?) {
                return Ok(address);
            }
        }
        Err(Error::other("it ended before it listened"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only when the server has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listening_address(line: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix("listening on ")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::listening_address;

    #[test]
    fn the_address_is_read_with_and_without_what_follows() {
        let expected = "127.0.0.1:80".parse().ok();
        assert_eq!(listening_address("listening on 127.0.0.1:80"), expected);
        assert_eq!(
            listening_address("listening on 127.0.0.1:80 engine=poll"),
            expected
        );
        assert_eq!(listening_address("not listening on 127.0.0.1:80"), None);
    }
}
