//! What can be written on the command line.
//!
//! Only parsing and ranges; defaults that a configuration file can change are `None` here.

use crate::bench::plan::Scenario;
mod operating;

pub(crate) use operating::{AdminAction, AdminArguments, AdminTarget, StatusArguments};

use crate::quantity::parse_duration;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use fastport::{EngineKind, Profile, WaitStrategy};
use std::path::PathBuf;
use std::time::Duration;

/// The port that FastPort has always used, on this machine only.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:6628";

/// The service's name when none is given.
const DEFAULT_SERVICE: &str = "fastport";

/// Most threads of one kind that can be asked for.
const THREADS_MAX: u64 = 1024;

/// FastPort: TCP servers with many long-lived sessions, completion-based on every system.
///
/// Without a subcommand `fastport server` runs with its defaults.
#[derive(Parser, Debug)]
#[command(name = "fastport", version, about, long_about, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What to log on stderr: error, warn, info, debug, trace, or filter directives.
    ///
    /// Without it FASTPORT_LOG and then RUST_LOG are asked; then it is `info` for the server and
    /// `warn` for the other commands.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Serve echo, raw echo, ping, benchmark and throughput packets.
    Server(ServerArguments),
    /// Ping a server and echo text through it; interactive on a terminal.
    Client(ClientArguments),
    /// Put a server under load and measure throughput and latency.
    Bench(BenchArguments),
    /// Run a server and a short benchmark in one process, for a first look.
    Demo,
    /// Show how a server does: a line or JSON, or with --watch a live dashboard.
    Status(StatusArguments),
    /// Do something to a running server: kick, message, ban, drain, reload.
    Admin(AdminArguments),
    /// Write, check and show configuration files.
    Config(ConfigArguments),
    /// Run the server under the system's service manager: systemd, or the SCM of Windows.
    Service(ServiceArguments),
}

/// Flags of `fastport server`. Each overrides the configuration file.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServerArguments {
    /// Address to listen on; port 0 lets the system choose [default: 127.0.0.1:6628].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// I/O workers, each a thread with its own completion queue [default: the number of cores].
    #[arg(long, value_name = "N", value_parser = count(1, THREADS_MAX))]
    pub(crate) workers: Option<usize>,
    /// Engine: auto, io_uring, poll or iocp [default: auto].
    #[arg(long, value_parser = parse_engine)]
    pub(crate) engine: Option<EngineChoice>,
    /// Where handlers run: inline on the I/O workers, or on a pool [default: inline].
    #[arg(long, value_enum)]
    pub(crate) dispatch: Option<DispatchKind>,
    /// How an I/O worker waits: it sleeps, looks again for a while first, or does so while it pays
    /// [default: block].
    #[arg(long, value_enum)]
    pub(crate) wait: Option<WaitKind>,
    /// Threads of the pool, with `--dispatch pool` [default: the number of cores].
    #[arg(long, value_name = "N", value_parser = count(1, THREADS_MAX))]
    pub(crate) event_workers: Option<usize>,
    /// Sessions at a time; connections above it are closed at once [default: 10000].
    #[arg(long, value_name = "N", value_parser = count(1, 10_000_000))]
    pub(crate) max_sessions: Option<usize>,
    /// Whether limits for strangers act, or only count what they would do [default: public].
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileKind>,
    /// Sessions of one IPv4 address or IPv6 /64 that is not trusted; 0 is no limit [default: 64].
    #[arg(long, value_name = "N")]
    pub(crate) max_sessions_per_address: Option<u32>,
    /// Close sessions that receive nothing for so long, as in 60s; 0 turns it off [default: 60s].
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) idle_timeout: Option<Duration>,
    /// How long a stop waits for sessions to finish, as in 5s [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) drain_timeout: Option<Duration>,
    /// Let a client that begins with a hello go on with its session over its next connection.
    #[arg(long)]
    pub(crate) resume: bool,
    /// How long a session without a connection is kept for that, as in 30s [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) resume_keep: Option<Duration>,
    /// Listen for admin requests: page, metrics, JSON, actions [default address: 127.0.0.1:6629].
    ///
    /// An address, unix:/path, or several with commas. Addresses that others reach need a token.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = crate::administration::DEFAULT_ADDRESS)]
    pub(crate) admin: Option<String>,
    /// Speak TLS, with the certificates in this PEM file, the server's own first.
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM.
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Take only clients for whom a certificate in this PEM file vouches.
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Configuration file (TOML) [default: the one that FASTPORT_CONFIG names, if any].
    ///
    /// FASTPORT_SERVER_WORKERS=4, and so on for every key, overrides it; flags override both.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) config: Option<PathBuf>,
}

/// What `fastport config` is to do.
#[derive(Args, Debug)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ConfigAction {
    /// Write a file in which every key stands with its default, commented out.
    Init {
        /// File to write; it must not be there. Without it the text goes to stdout.
        #[arg(value_name = "FILE.toml")]
        file: Option<PathBuf>,
    },
    /// Say what is wrong with a file: file, line, key, what is allowed. Exit status 2 if anything.
    Check {
        /// File to check.
        #[arg(value_name = "FILE.toml")]
        file: PathBuf,
    },
    /// Show what `fastport server` with the same flags would run with, and where that is from.
    Show(Box<ServerArguments>),
}

/// What `fastport service` is to do.
#[derive(Args, Debug)]
pub(crate) struct ServiceArguments {
    #[command(subcommand)]
    pub(crate) action: ServiceAction,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ServiceAction {
    /// Have the service manager know the server, and start it with the system.
    Install(InstallArguments),
    /// Stop the service and have the service manager forget it.
    Uninstall(NamedService),
    /// Start the service.
    Start(NamedService),
    /// Stop the service; its sessions are drained.
    Stop(NamedService),
    /// Show whether the service runs.
    Status(NamedService),
    /// Serve, and tell the service manager of it: what the service manager calls.
    Run(RunArguments),
}

/// Which service is meant.
#[derive(Args, Debug)]
pub(crate) struct NamedService {
    /// Name of the service.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_SERVICE, value_parser = parse_service)]
    pub(crate) name: String,
    /// A service of this user, not of the system.
    #[cfg(target_os = "linux")]
    #[arg(long)]
    pub(crate) user: bool,
}

/// Flags of `fastport service install`.
#[derive(Args, Debug)]
pub(crate) struct InstallArguments {
    #[command(flatten)]
    pub(crate) service: NamedService,
    /// Whether the service starts with the system.
    #[arg(long, value_enum, default_value = "automatic")]
    pub(crate) start: StartKind,
    /// Program to install [default: this one, where it is].
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Configuration file (TOML) of the service.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) config: Option<PathBuf>,
    /// File that the service logs to [default: stderr, which systemd keeps; on Windows
    /// NAME.log in %ProgramData%\fastport].
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Only print the unit.
    #[cfg(target_os = "linux")]
    #[arg(long)]
    pub(crate) print: bool,
    /// Flags of `fastport server`, after `--`.
    #[arg(last = true, value_name = "FLAGS")]
    pub(crate) server: Vec<String>,
}

/// Flags of `fastport service run`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {
    /// Log to the end of this file and not to stderr.
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// When a service starts.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum StartKind {
    /// With the system.
    Automatic,
    /// When somebody asks.
    Manual,
}

#[cfg(any(windows, target_os = "linux"))]
impl StartKind {
    pub(crate) fn is_automatic(self) -> bool {
        self == Self::Automatic
    }
}

/// Flags of those who connect with TLS.
#[derive(Args, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TlsFlags {
    /// Connect with TLS; needs --tls-ca, which is enough by itself.
    #[arg(long)]
    pub(crate) tls: bool,
    /// Trust servers for which a certificate in this PEM file vouches.
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Name that the server's certificate must be for [default: the host that is connected to].
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_name: Option<String>,
    /// The client's own certificate, for servers that want one, in PEM.
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM.
    #[arg(long, value_name = "FILE.pem")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// What those flags ask for, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TlsClientArguments {
    /// Who vouches for servers.
    pub(crate) ca: PathBuf,
    /// The client's certificate and key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// Flags of `fastport client`.
#[derive(Args, Debug)]
pub(crate) struct ClientArguments {
    /// Server to connect to.
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_ADDRESS)]
    pub(crate) connect: String,
    /// Pings and echoes to send [default: 4].
    #[arg(long, value_name = "N", value_parser = count(1, 1_000_000))]
    pub(crate) count: Option<usize>,
    /// Text to echo [default: hello].
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// How long to wait for the connection and for each answer.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "5s")]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) tls: TlsFlags,
}

/// Flags of `fastport bench`.
#[derive(Args, Debug)]
pub(crate) struct BenchArguments {
    /// Server to connect to. Several addresses, separated by commas, are used in turn: each has
    /// ports of its own, which run out at 28,000 connections to one.
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_ADDRESS, value_delimiter = ',')]
    pub(crate) connect: Vec<String>,
    /// Compare two servers: their runs take turns, and ratios are shown with their confidence
    /// intervals.
    #[arg(long, value_names = ["A", "B"], num_args = 2, conflicts_with = "connect")]
    pub(crate) compare: Vec<String>,
    /// What the sessions do.
    #[arg(long, value_enum, default_value_t = Scenario::Steady)]
    pub(crate) scenario: Scenario,
    /// Sessions to open; those at a time where sessions come and go.
    #[arg(long, value_name = "N", default_value = "100", value_parser = count(1, 1_000_000))]
    pub(crate) sessions: usize,
    /// Bytes of each payload [default: 64].
    #[arg(long, value_name = "BYTES", conflicts_with_all = ["payload_min", "payload_max"])]
    #[arg(value_parser = count(0, 65_531))]
    pub(crate) payload: Option<usize>,
    /// Least bytes of a payload of random size.
    #[arg(long, value_name = "BYTES", requires = "payload_max", value_parser = count(0, 65_531))]
    pub(crate) payload_min: Option<usize>,
    /// Most bytes of a payload of random size.
    #[arg(long, value_name = "BYTES", requires = "payload_min", value_parser = count(0, 65_531))]
    pub(crate) payload_max: Option<usize>,
    /// Random payloads that are prepared up front and sent in turn.
    #[arg(long, value_name = "N", default_value = "1024", value_parser = count(1, 1_000_000))]
    pub(crate) payload_pool: usize,
    /// Measured requests over all sessions [default: 100000].
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub(crate) iterations: Option<u64>,
    /// Measure for so long instead of a number of requests, as in 5s.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Requests of each session before measuring begins.
    ///
    /// With --duration in a closed loop it is the least: who is warm goes on until all are.
    #[arg(long, value_name = "N", default_value = "10")]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    pub(crate) warmup: u64,
    /// I/O threads of the load generator.
    #[arg(long, value_name = "N", default_value = "1", value_parser = count(1, THREADS_MAX))]
    pub(crate) io_threads: usize,
    /// Requests that each session keeps outstanding (closed loop).
    #[arg(long, value_name = "K", default_value = "1", value_parser = count(1, 65_536))]
    pub(crate) inflight: usize,
    /// Requests per second over all sessions, sent on time whether or not answers come (open loop).
    ///
    /// Latency is counted from the intended send time, so that a stalled server can not hide. The
    /// sender is a thread of its own: on one processor with the I/O threads it waits for its turn,
    /// which counts too.
    #[arg(long, value_name = "R", conflicts_with = "inflight", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,
    /// Raw echo (0x0002) instead of BenchmarkRequest: no codec on either side.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Number of runs [default: 1, with --compare 10]; best, worst, mean, median and standard
    /// deviation are shown over them.
    #[arg(long, value_name = "N", value_parser = count(1, 1_000))]
    pub(crate) runs: Option<usize>,
    /// Compare every byte of every response, or of one in N.
    ///
    /// With --raw it is also what notices a response too many: raw responses have no number.
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) verify: Option<u32>,
    /// Append the runs to a CSV file; the header is written when the file is new.
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) output: Option<PathBuf>,
    /// Write a page with charts and what the machine is: one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Fail, with status 1, when the median over the runs of the 99th percentile is longer, as in
    /// 5ms.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_p99: Option<Duration>,
    /// Fail, with status 1, only when a run loses more of its requests than so many percent;
    /// without it any loss is a failure.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub(crate) max_loss: Option<f64>,
    /// Print one JSON object on stdout instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Name of the test in CSV and JSON [default: made from the options].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Give a run up when nothing comes back for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s")]
    pub(crate) timeout: Duration,
    /// How the I/O threads of the load generator wait [default: block]. Those that sleep are late
    /// themselves, which counts as latency of the server.
    #[arg(long, value_enum)]
    pub(crate) wait: Option<WaitKind>,
    /// Engine of the load generator: auto, io_uring, poll or iocp.
    #[arg(long, default_value = "auto", value_parser = parse_engine)]
    pub(crate) engine: EngineChoice,
    #[command(flatten)]
    pub(crate) tls: TlsFlags,
    /// Let TLS handshakes go on with what earlier ones agreed on, as those of players who come back
    /// do; without it each is a whole one.
    #[arg(long, requires = "tls_ca")]
    pub(crate) tls_resume: bool,
}

/// An engine by name, or the best that the machine permits.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct EngineChoice(pub(crate) Option<EngineKind>);

/// Where handlers run.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum DispatchKind {
    /// On the I/O worker.
    Inline,
    /// On a pool of event workers.
    Pool,
}

/// Whether limits for strangers act.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum ProfileKind {
    /// They do: for a server that faces the internet.
    Public,
    /// They are counted only: for a private network or a test of load.
    Trusted,
}

impl From<ProfileKind> for Profile {
    fn from(kind: ProfileKind) -> Self {
        match kind {
            ProfileKind::Public => Self::Public,
            ProfileKind::Trusted => Self::Trusted,
        }
    }
}

/// How an I/O worker waits.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum WaitKind {
    /// It sleeps until something comes.
    Block,
    /// It looks again for a while, then sleeps.
    Spin,
    /// As spin while work comes soon enough, else as block.
    Adaptive,
}

impl From<WaitKind> for WaitStrategy {
    fn from(kind: WaitKind) -> Self {
        match kind {
            WaitKind::Block => Self::Block,
            WaitKind::Spin => Self::Spin,
            WaitKind::Adaptive => Self::Adaptive,
        }
    }
}

/// Reads an engine's name.
///
/// # Errors
/// The names that there are.
pub(crate) fn parse_engine(name: &str) -> Result<EngineChoice, String> {
    match name {
        "auto" => Ok(EngineChoice(None)),
        name => name.parse().map(|kind| EngineChoice(Some(kind))),
    }
}

/// A count within a range, both ends allowed.
fn count(least: u64, most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least..=most)
}

/// A name that both managers take, and that is no path.
fn parse_service(name: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let first = name.chars().next();
    if first.is_some_and(|c| c.is_ascii_alphanumeric())
        && name.len() <= 200
        && name.chars().all(is_fine)
    {
        Ok(name.into())
    } else {
        Err("a name of letters, digits, -, _ and .".into())
    }
}

fn parse_percent(text: &str) -> Result<f64, String> {
    text.trim_end_matches('%')
        .trim_end()
        .parse()
        .ok()
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| "a number of percent from 0 to 100".into())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.001..=100_000_000.0).contains(rate))
        .ok_or_else(|| "a number of requests per second from 0.001 to 100000000".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn bench(flags: &str) -> Result<BenchArguments, clap::Error> {
        let words = ["fastport", "bench"]
            .into_iter()
            .chain(flags.split_whitespace());
        match Arguments::try_parse_from(words)?.command {
            Some(Command::Bench(bench)) => Ok(bench),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_subcommand_is_allowed() {
        assert!(
            Arguments::try_parse_from(["fastport"])
                .unwrap()
                .command
                .is_none()
        );
    }

    #[test]
    fn bench_flags_are_read() {
        let bench = bench(
            "--connect localhost:1 --sessions 200 --payload-min 4096 --payload-max 16384 \
             --duration 5s --rate 28000 --warmup 0 --io-threads 2 --raw --runs 3 --verify \
             --output a.csv --json",
        )
        .unwrap();
        assert_eq!(bench.duration, Some(Duration::from_secs(5)));
        assert_eq!(bench.rate, Some(28_000.0));
        assert_eq!(
            (bench.payload_min, bench.payload_max),
            (Some(4_096), Some(16_384))
        );
        assert_eq!(
            (bench.sessions, bench.warmup, bench.io_threads, bench.runs),
            (200, 0, 2, Some(3))
        );
        assert!(bench.raw && bench.json);
        assert_eq!(bench.verify, Some(1));
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for flags in [
            "--payload 1 --payload-min 1 --payload-max 2",
            "--payload-min 1",
            "--payload-max 1",
            "--iterations 1 --duration 1s",
            "--rate 10 --inflight 2",
            "--connect a:1 --compare a:1 b:1",
            "--compare a:1",
        ] {
            assert_eq!(bench(flags).unwrap_err().exit_code(), 2, "{flags}");
        }
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        for (flags, range) in [
            ("--sessions 0", "1..=1000000"),
            ("--payload 70000", "0..=65531"),
            ("--io-threads 0", "1..=1024"),
            ("--rate 0", "from 0.001"),
            ("--rate nan", "from 0.001"),
            ("--max-loss 101", "0 to 100"),
            ("--max-loss nan", "0 to 100"),
            ("--max-p99 5", "number and a unit"),
            ("--duration 5", "number and a unit"),
            ("--iterations 0", "1..="),
        ] {
            let error = bench(flags).unwrap_err().to_string();
            assert!(error.contains(range), "{flags}: {error}");
        }
    }

    #[test]
    fn engines_are_known_by_name() {
        assert_eq!(parse_engine("auto"), Ok(EngineChoice(None)));
        assert_eq!(
            parse_engine("poll"),
            Ok(EngineChoice(Some(EngineKind::Poll)))
        );
        assert!(parse_engine("epoll").unwrap_err().contains("io_uring"));
    }
}
