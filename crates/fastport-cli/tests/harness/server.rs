//! A `fastport server` that a test owns: started, asked to stop as the system's user would, killed
//! when the test fails.

use fastport_testkit::programs::started;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

/// A running server; killed when a test fails.
pub(crate) struct Server {
    pub(crate) child: Child,
    output: BufReader<ChildStdout>,
    /// The address that it was started with.
    listen: String,
    /// The line that tells that it listens.
    pub(crate) ready: String,
}

impl Server {
    /// Starts one on a port that the system chooses, and waits until it listens.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let listen = own_address();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fastport"));
        command
            .args(["server", "--listen", &listen])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        ask::prepare(&mut command);
        let mut child = started(|| command.spawn());
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut ready = String::new();
        output.read_line(&mut ready).expect("a ready line");
        Self {
            child,
            output,
            listen,
            ready,
        }
    }

    pub(crate) fn address(&self) -> String {
        let address = self.ready.split_whitespace().nth(2);
        address.expect("an address").to_owned()
    }

    /// Asks it to stop: SIGTERM, or Ctrl-Break.
    pub(crate) fn ask_to_stop(&self) {
        ask::stop(self.child.id(), &self.listen);
    }

    /// Asks it to stop and waits: the exit status and the rest of the output.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        self.ask_to_stop();
        let status = self.child.wait().expect("an exit status");
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("text");
        (status.code(), rest)
    }
}

/// An address with port 0 that no other server of these tests is started with, so that a program
/// can tell them apart by their arguments.
fn own_address() -> String {
    static SERVERS: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let number = SERVERS.fetch_add(1, Ordering::Relaxed);
    format!("127.{high}.{low}.{number}:0")
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        ask::clear(&self.listen);
    }
}

/// Asking by signal.
#[cfg(unix)]
mod ask {
    pub(super) fn prepare(_command: &mut std::process::Command) {}

    pub(super) fn clear(_asked_for: &str) {}

    pub(super) fn stop(process: u32, _asked_for: &str) {
        let process = i32::try_from(process).expect("a process id");
        // SAFETY: a signal to a child that was not waited for touches no memory of ours.
        let outcome = unsafe { libc::kill(process, libc::SIGTERM) };
        assert_eq!(outcome, 0);
    }
}

/// Asking by console event. It goes to a group of processes on the sender's console, so the server
/// gets a group of its own, and shares the console of the test.
///
/// Wine 8 does not implement the sending, but makes an interrupt of the host's a Ctrl-C.
#[cfg(windows)]
mod ask {
    use std::io::Error;
    use std::os::windows::process::CommandExt;
    use std::process::Command;
    use windows_sys::Win32::System::Console::{
        AllocConsole, CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent, GetConsoleCP,
    };
    use windows_sys::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;

    fn is_wine() -> bool {
        std::env::var_os("WINEPREFIX").is_some()
    }

    pub(super) fn prepare(command: &mut Command) {
        if is_wine() {
            // A new group would not take Ctrl-C.
            return;
        }
        // SAFETY: takes nothing; 0 when there is no console.
        if unsafe { GetConsoleCP() } == 0 {
            // SAFETY: takes nothing. Another test may have made one: then it fails, harmlessly.
            let _ = unsafe { AllocConsole() };
        }
        command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    }

    pub(super) fn stop(process: u32, asked_for: &str) {
        if is_wine() {
            return signal("INT", asked_for);
        }
        // SAFETY: takes numbers.
        let sent = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, process) };
        assert_ne!(sent, 0, "not sent: {}", Error::last_os_error());
    }

    /// Ends what Wine may leave of a process that has ended by an interrupt: it keeps the streams
    /// of the tests open.
    pub(super) fn clear(asked_for: &str) {
        if is_wine() {
            signal("KILL", asked_for);
        }
    }

    /// By a program of Wine's host, which does not know the process's number here, but its
    /// arguments.
    fn signal(signal: &str, asked_for: &str) {
        let pkill = format!("pkill -{signal} -f '[s]erver --listen {asked_for}'");
        // Wine has no handle of a process of the host, so it can not be waited for; whoever asks
        // sees whether the server stops.
        let _ = Command::new(r"Z:\bin\sh").args(["-c", &pkill]).status();
    }
}
