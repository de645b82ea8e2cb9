//! Starts one server on its core and ends it when it goes out of scope.

use crate::asio;
use crate::contestant::Contestant;
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
    /// FastPort on io_uring, one worker, handlers on a pool.
    FastportPool,
    /// A server on FastPort's library, handlers on a pool, with what the command line has not: a
    /// handler that blocks, a message to every session.
    FastportLibrary,
    /// tokio, the multi-threaded runtime.
    Tokio,
    /// tokio, a runtime for each thread.
    TokioPerThread,
    /// FastPort on io_uring whose worker looks again before it sleeps, while that pays.
    FastportAdaptive,
    /// tokio and tokio-util's `Framed`, a frame at a time.
    TokioFramed,
    /// compio, completion-based, one thread.
    Compio,
    /// monoio, completion-based, one thread.
    Monoio,
    /// Asio in C++, one thread; where the system has it.
    Asio,
    /// tokio, each session a receiver of one broadcast channel.
    TokioBroadcast,
    /// The least that an io_uring server can do.
    Limit,
}

impl ServerKind {
    /// Those that echo, in the order in which they run.
    pub(crate) const ECHO: [Self; 9] = [
        Self::FastportIoUring,
        Self::Tokio,
        Self::FastportPoll,
        Self::TokioPerThread,
        Self::Compio,
        Self::Monoio,
        Self::Asio,
        Self::TokioFramed,
        Self::Limit,
    ];

    /// Those that send a message to every session.
    pub(crate) const FAN_OUT: [Self; 2] = [Self::FastportLibrary, Self::TokioBroadcast];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::FastportIoUring => "FastPort io_uring",
            Self::FastportPoll => "FastPort poll",
            Self::FastportPool => "FastPort io_uring, pool",
            Self::FastportLibrary => "FastPort library, pool",
            Self::Tokio => "tokio multi-thread",
            Self::TokioPerThread => "tokio per-thread",
            Self::FastportAdaptive => "FastPort io_uring, adaptive wait",
            Self::TokioFramed => "tokio-util Framed",
            Self::Compio => "compio",
            Self::Monoio => "monoio",
            Self::Asio => "Asio",
            Self::TokioBroadcast => "tokio broadcast",
            Self::Limit => "limit (io_uring)",
        }
    }

    /// Whether it knows protobuf messages.
    pub(crate) const fn knows_messages(self) -> bool {
        !matches!(self, Self::Limit | Self::Asio | Self::FastportLibrary)
    }

    /// Whether it may have more threads than one.
    pub(crate) const fn has_workers(self) -> bool {
        !matches!(self, Self::Compio | Self::Monoio | Self::Asio)
    }

    /// Whether it is the program `fastport`.
    pub(crate) const fn is_fastport(self) -> bool {
        matches!(
            self,
            Self::FastportIoUring
                | Self::FastportPoll
                | Self::FastportAdaptive
                | Self::FastportPool
        )
    }

    /// What makes the kind.
    const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::FastportIoUring => &["--engine", "io_uring", "--dispatch", "inline"],
            Self::FastportPoll => &["--engine", "poll", "--dispatch", "inline"],
            Self::FastportAdaptive => &[
                "--engine",
                "io_uring",
                "--dispatch",
                "inline",
                "--wait",
                "adaptive",
            ],
            Self::FastportPool => &["--engine", "io_uring", "--dispatch", "pool"],
            Self::Tokio => &["--flavor", "multi-thread"],
            Self::TokioPerThread => &["--flavor", "per-thread"],
            _ => &[],
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

    /// Whether the contestant's program is there. Asio's is built if the system has what it needs.
    pub(crate) fn has(&self, kind: ServerKind) -> io::Result<bool> {
        Ok(kind != ServerKind::Asio || asio::build(&self.program(kind))?)
    }

    fn program(&self, kind: ServerKind) -> PathBuf {
        if kind.is_fastport() {
            return self.fastport.clone();
        }
        self.peers.join(match kind {
            ServerKind::Tokio | ServerKind::TokioPerThread => "peer-tokio",
            ServerKind::TokioFramed => "peer-framed",
            ServerKind::Compio => "peer-compio",
            ServerKind::Monoio => "peer-monoio",
            ServerKind::Asio => "peer-asio",
            ServerKind::TokioBroadcast => "peer-broadcast",
            ServerKind::FastportLibrary => "fastport-library",
            _ => "limit",
        })
    }

    /// Starts a server on a free port and waits until it listens.
    pub(crate) fn start(&self, contestant: Contestant, core: usize) -> io::Result<Server> {
        let kind = contestant.kind;
        let program = self.program(kind);
        let mut command = Command::new(&program);
        let workers = contestant.workers.to_string();
        if kind.is_fastport() {
            command.args(["server", "--workers", &workers, "--log", "warn"]);
            command.args(["--max-sessions", "20000", "--idle-timeout", "0"]);
            let direct = contestant.direct.to_string();
            command.env("FASTPORT_ENGINE_DIRECT_DESCRIPTORS", direct);
            if contestant.defers {
                command.env("FASTPORT_SERVER_DEFER_ACCEPT", "1s");
            }
        } else if kind == ServerKind::FastportLibrary {
            command.args(["--workers", &workers]);
        } else if kind.has_workers() {
            command.args(["--threads", &workers]);
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
