//! A server's process: started, looked at through `/proc`, stopped and continued, ended. Killed
//! when it is dropped.

use crate::clock::Clock;
use crate::samples::Sample;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Time limits short enough that a soak of two minutes meets each of them often. Limits for
/// strangers hold for this machine as well.
const SETTINGS: &str = "\
[session]
first_packet_timeout = \"4s\"
frame_timeout = \"6s\"
idle_timeout = \"12s\"
write_stall_timeout = \"4s\"
[protection]
trusted = []
";

/// Clock ticks of a second in `/proc`, the same on every Linux that Rust runs on.
const TICKS: u64 = 100;

/// A running server.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    output: BufReader<ChildStdout>,
    pid: Pid,
    log: PathBuf,
    /// The line that tells that it listens.
    pub(crate) ready: String,
    pub(crate) address: SocketAddr,
}

/// How a server ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it counted, in its own words.
    pub(crate) summary: String,
    /// Lines of its log that are warnings.
    pub(crate) warnings: Vec<String>,
    /// Lines of its log that are errors, or tell of a panic.
    pub(crate) errors: Vec<String>,
}

impl ServerProcess {
    /// Starts one on a port that the system chooses and waits until it listens. Its settings and
    /// its log are put into `folder`.
    pub(crate) fn start(program: &Path, engine: &str, folder: &Path) -> io::Result<Self> {
        Self::start_by(Command::new(program), engine, folder, SETTINGS)
    }

    /// As [`ServerProcess::start`], by a command that runs the program with the arguments that are
    /// added to it, and with other settings.
    pub(crate) fn start_by(
        mut command: Command,
        engine: &str,
        folder: &Path,
        settings_text: &str,
    ) -> io::Result<Self> {
        let settings = folder.join(format!("{engine}.toml"));
        fs::write(&settings, settings_text)?;
        let log = folder.join(format!("{engine}.log"));
        let mut child = command
            .args(["server", "--listen", "127.0.0.1:0", "--engine", engine])
            .args(["--log", "warn", "--config"])
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let pid = Pid::from_child(&child);
        let mut output = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut ready = String::new();
        output.read_line(&mut ready)?;
        let address = ready
            .split_whitespace()
            .nth(2)
            .and_then(|word| word.parse().ok());
        let Some(address) = address else {
            let _ = child.kill();
            let said = fs::read_to_string(&log)?;
            return Err(io::Error::other(format!(
                "the server does not listen: {ready}{said}"
            )));
        };
        Ok(Self {
            child,
            output,
            pid,
            log,
            ready: ready.trim_end().to_owned(),
            address,
        })
    }

    /// What `/proc` says now, at a time since the load began.
    pub(crate) fn sample(&self, at: Duration) -> io::Result<Sample> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(folder.join("status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok())
                .ok_or(io::ErrorKind::InvalidData)
        };
        let stat = fs::read_to_string(folder.join("stat"))?;
        // The name is in brackets and may hold anything; user and system time are the 12th and
        // 13th words after it (proc_pid_stat(5)).
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let ticks = after.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|word| word.parse::<u64>().ok()).sum();
        Ok(Sample {
            at,
            resident_kib: field("VmRSS:")?,
            descriptors: fs::read_dir(folder.join("fd"))?.count() as u64,
            threads: field("Threads:")?,
            processor: Duration::from_millis(ticks * 1000 / TICKS),
        })
    }

    /// Stops all of its threads where they are.
    pub(crate) fn freeze(&self) {
        // It may have died, which the end tells.
        let _ = kill_process(self.pid, Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        let _ = kill_process(self.pid, Signal::CONT);
    }

    /// Asks it to end, waits, and reads what it left.
    pub(crate) fn end(mut self) -> io::Result<Ended> {
        let _ = kill_process(self.pid, Signal::TERM);
        let mut summary = String::new();
        self.output.read_to_string(&mut summary)?;
        let status = self.child.wait()?;
        let log = fs::read_to_string(&self.log)?;
        let lines = |words: [&str; 2]| {
            let found = log
                .lines()
                .filter(|line| words.iter().any(|word| line.contains(word)));
            found.map(str::to_owned).collect()
        };
        Ok(Ended {
            status,
            summary: summary.trim().to_owned(),
            warnings: lines([" WARN "; 2]),
            errors: lines([" ERROR ", "panicked"]),
        })
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It has ended, unless the soak failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that is told to end when the soak ends early.
#[derive(Debug)]
pub(crate) struct Helper(Child);

impl Helper {
    /// Starts it, its output thrown away.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null()).spawn().map(Self)
    }

    /// Stops it where it is, waits for `time` by `wait`, and lets it go on.
    pub(crate) fn freeze_for(&self, wait: impl FnOnce()) {
        let pid = Pid::from_child(&self.0);
        let _ = kill_process(pid, Signal::STOP);
        wait();
        let _ = kill_process(pid, Signal::CONT);
    }

    /// Ends it at once, as a machine that loses its power does to its programs.
    pub(crate) fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Whether it has ended, and how; looks, does not wait.
    pub(crate) fn outcome(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `done`, looking every so often; false when `limit` passes first. Blocks.
pub(crate) fn wait_until(
    limit: Duration,
    pause: impl Fn(Duration),
    mut done: impl FnMut() -> bool,
) -> bool {
    let clock = Clock::start();
    loop {
        if done() {
            return true;
        }
        if clock.elapsed() > limit {
            return false;
        }
        pause(Duration::from_millis(100));
    }
}
