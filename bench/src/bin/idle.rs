//! Opens thousands of idle sessions against a server and tells its resident memory for each.
//!
//! Memory is measured twice: after the connects alone, and after every session has had one raw
//! echo, since memory that a session takes once and keeps is idle memory too. At the end every
//! session echoes once more, so all are alive together. The sessions may be spread over several
//! processes, each with a descriptor limit of its own.
#![forbid(unsafe_code)]

#[cfg(unix)]
mod driver {
    use clap::Parser;
    use fastport_bench::idle_sessions::IdleSessions;
    use fastport_bench::{descriptors, process};
    use std::io::{self, BufRead, BufReader, Error, Write};
    use std::net::SocketAddr;
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

    /// Opens idle sessions and tells the server's memory for each.
    #[derive(Parser)]
    struct Arguments {
        /// The server's address.
        #[arg(long)]
        connect: SocketAddr,
        /// The server's process.
        #[arg(long)]
        pid: u32,
        /// Sessions to open.
        #[arg(long, default_value_t = 15_000)]
        sessions: usize,
        /// Payload of the echoes.
        #[arg(long, default_value_t = 64)]
        payload: usize,
        /// Processes that the sessions are spread over.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
        processes: u32,
        /// Be one of those processes.
        #[arg(long, hide = true)]
        part: bool,
    }

    pub(super) fn run() -> io::Result<()> {
        let arguments = Arguments::parse();
        let limit = descriptors::raise_limit()?;
        if arguments.part {
            return serve_part(&arguments, limit);
        }
        println!("{}", server_limits(arguments.pid)?);
        let baseline = process::memory(arguments.pid)?.resident_bytes;
        println!("baseline: {baseline} bytes resident");
        let mut parts = Vec::new();
        for number in 0..arguments.processes as usize {
            let all = arguments.processes as usize;
            let sessions =
                arguments.sessions / all + usize::from(number < arguments.sessions % all);
            parts.push(Part::start(&arguments, sessions)?);
        }
        for (order, what) in [
            ("open", "connected"),
            ("echo", "after one echo each"),
            ("echo", "every session echoed again: all are alive"),
        ] {
            parts.iter_mut().try_for_each(|part| part.order(order))?;
            parts.iter_mut().try_for_each(Part::await_done)?;
            report(what, &arguments, baseline)?;
        }
        Ok(())
    }

    fn report(what: &str, arguments: &Arguments, baseline: u64) -> io::Result<()> {
        let now = process::memory(arguments.pid)?.resident_bytes;
        let sessions = arguments.sessions;
        let per_session = now.saturating_sub(baseline) as f64 / sessions.max(1) as f64;
        let descriptors = process::open_descriptors(arguments.pid)?;
        println!(
            "{what}: {sessions} sessions, {now} bytes resident, {per_session:.0} a session; the \
             server has {descriptors} descriptors"
        );
        Ok(())
    }

    fn server_limits(pid: u32) -> io::Result<String> {
        let (soft, hard) = process::descriptor_limits(pid)?;
        Ok(format!(
            "the server may have {soft} descriptors (hard limit {hard})"
        ))
    }

    /// One of the processes that hold the sessions.
    struct Part {
        child: Child,
        orders: ChildStdin,
        answers: BufReader<ChildStdout>,
    }

    impl Part {
        fn start(arguments: &Arguments, sessions: usize) -> io::Result<Self> {
            let mut child = Command::new(std::env::current_exe()?)
                .args(["--part", "--connect", &arguments.connect.to_string()])
                .args(["--pid", &arguments.pid.to_string()])
                .args(["--sessions", &sessions.to_string()])
                .args(["--payload", &arguments.payload.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let piped = child.stdin.take().zip(child.stdout.take());
            let (orders, answers) = piped.ok_or_else(|| Error::other("no pipes"))?;
            Ok(Self {
                child,
                orders,
                answers: BufReader::new(answers),
            })
        }

        fn order(&mut self, order: &str) -> io::Result<()> {
            writeln!(self.orders, "{order}")
        }

        fn await_done(&mut self) -> io::Result<()> {
            let mut line = String::new();
            self.answers.read_line(&mut line)?;
            if line.trim() == DONE {
                Ok(())
            } else {
                Err(Error::other("a process with sessions has failed"))
            }
        }
    }

    impl Drop for Part {
        fn drop(&mut self) {
            // It fails only when the process has ended already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// Holds sessions until the orders end.
    fn serve_part(arguments: &Arguments, limit: Option<u64>) -> io::Result<()> {
        if limit.is_some_and(|limit| limit < arguments.sessions as u64 + DESCRIPTORS_ELSE) {
            let sentence = format!("{limit:?} descriptors are too few: more --processes");
            return Err(Error::other(sentence));
        }
        let mut idle = None;
        for order in io::stdin().lines() {
            match (order?.as_str(), &mut idle) {
                ("open", idle) => {
                    let (sessions, payload) = (arguments.sessions, arguments.payload);
                    *idle = Some(IdleSessions::open(arguments.connect, sessions, payload)?);
                }
                (_, Some(idle)) => idle.echo_all(arguments.payload)?,
                (_, None) => return Err(Error::other("no sessions yet")),
            }
            println!("{DONE}");
        }
        Ok(())
    }

    const DONE: &str = "done";
    /// Descriptors for what is not a session.
    const DESCRIPTORS_ELSE: u64 = 16;
}

#[cfg(unix)]
fn main() -> std::io::Result<()> {
    driver::run()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("idle: it reads a process's memory as Unix systems tell it");
}
