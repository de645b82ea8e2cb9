//! Single ordeals whose outcome is a figure: what they cost a server, seen from outside.
//!
//! Each gets a server of its own. Runs on the main thread and on threads that it joins.

use crate::Arguments;
use crate::clock::Clock;
use crate::halt::Halt;
use crate::process::{ServerProcess, wait_until};
use crate::report::Folder;
use crate::samples::Sample;
use fastport_protocol::PacketId;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// What an ordeal showed.
struct Figure {
    ordeal: &'static str,
    seen: String,
    bound: String,
    met: bool,
}

/// One server's ordeals.
struct Ordeals<'a> {
    program: &'a Path,
    engine: &'a str,
    folder: &'a Path,
    /// How many times less than in full.
    part: usize,
    halt: Halt,
}

/// Limits long enough that none acts while an ordeal lasts.
const SETTINGS: &str = "\
[server]
max_sessions = 20000
drain_timeout = \"20s\"
[session]
idle_timeout = \"10m\"
";
/// How long a server may take to come back to where it was.
const SETTLE: Duration = Duration::from_secs(10);
/// The longest that any answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// Measures everything on every engine and shows the table; whether each bound was kept.
///
/// # Errors
/// When a server can not be run or does not answer.
pub(crate) fn run(arguments: &Arguments) -> io::Result<bool> {
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("fastport"),
    };
    let folder = Folder::make()?;
    println!("| engine | ordeal | seen | bound | kept |\n|---|---|---|---|---|");
    let mut all_met = true;
    for engine in &arguments.engine {
        let ordeals = Ordeals {
            program: &program,
            engine,
            folder: &folder.0,
            part: if arguments.small { 10 } else { 1 },
            halt: Halt::default(),
        };
        let measures: [fn(&Ordeals<'_>) -> io::Result<Figure>; 6] = [
            |on| on.resets(),
            |on| on.exhaustion(),
            |on| on.never_reading(),
            |on| on.termination(),
            |on| on.every_way_of_closing(),
            |on| on.idle_and_storm(),
        ];
        for measure in measures {
            let figure = measure(&ordeals)?;
            all_met &= figure.met;
            let Figure {
                ordeal,
                seen,
                bound,
                met,
            } = figure;
            let met = if met { "yes" } else { "**no**" };
            println!("| {engine} | {ordeal} | {seen} | {bound} | {met} |");
        }
    }
    Ok(all_met)
}

impl Ordeals<'_> {
    fn server(&self) -> io::Result<ServerProcess> {
        let command = Command::new(self.program);
        ServerProcess::start_by(command, self.engine, self.folder, SETTINGS)
    }

    /// Waits until the server has as many descriptors as before, and looks at it.
    fn settled(&self, server: &ServerProcess, before: Sample) -> io::Result<Sample> {
        let mut last = server.sample(Duration::ZERO);
        wait_until(
            SETTLE,
            |time| {
                self.halt.pause(time);
            },
            || {
                last = server.sample(Duration::ZERO);
                last.as_ref()
                    .is_ok_and(|now| now.descriptors == before.descriptors)
            },
        );
        last
    }

    /// Resets in the middle of a frame cost no descriptor.
    fn resets(&self) -> io::Result<Figure> {
        let server = self.server()?;
        let before = server.sample(Duration::ZERO)?;
        let resets = 3000 / self.part;
        for bytes in 0..resets {
            let mut stream = connect(server.address)?;
            stream.write_all(&frame(&[7; 200])[..1 + bytes % 200])?;
            reset(stream)?;
        }
        Echo::on(connect(server.address)?).once()?;
        let after = self.settled(&server, before)?;
        Ok(Figure {
            ordeal: "resets in the middle of a frame",
            seen: format!(
                "{resets} resets: {} descriptors before, {} after",
                before.descriptors, after.descriptors
            ),
            bound: "as many as before".into(),
            met: after.descriptors == before.descriptors,
        })
    }

    /// More connects than there are descriptors cost next to nothing, and end with them.
    fn exhaustion(&self) -> io::Result<Figure> {
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -n 96; exec \"$0\" \"$@\""])
            .arg(self.program);
        let server = ServerProcess::start_by(command, self.engine, self.folder, SETTINGS)?;
        let crowd: Vec<_> = (0..150)
            .map(|_| connect(server.address))
            .collect::<io::Result<_>>()?;
        // Those that fit are accepted, and the listener has met its limit.
        self.halt.pause(Duration::from_millis(500));
        let (before, clock) = (server.sample(Duration::ZERO)?, Clock::start());
        self.halt.pause(Duration::from_secs(5));
        let after = server.sample(Duration::ZERO)?;
        let share = (after.processor - before.processor).as_secs_f64()
            / clock.elapsed().as_secs_f64()
            * 100.0;
        drop(crowd);
        let served = (0..20)
            .map_while(|_| Echo::on(connect(server.address).ok()?).once().ok())
            .count();
        Ok(Figure {
            ordeal: "150 connects at a limit of 96 descriptors",
            seen: format!(
                "{} descriptors, {share:.1} % of a core while exhausted; {served} of 20 new \
                 clients served afterwards",
                after.descriptors
            ),
            bound: "under 10 %, all 20".into(),
            met: share < 10.0 && served == 20,
        })
    }

    /// Peers that send and never read take a bounded memory and no time of a neighbour's.
    fn never_reading(&self) -> io::Result<Figure> {
        let server = self.server()?;
        let time = Duration::from_secs(6);
        let mut neighbour = Echo::on(connect(server.address)?);
        neighbour.percentile_99(Duration::from_secs(1))?;
        let quiet = neighbour.percentile_99(time)?;
        let before = server.sample(Duration::ZERO)?;
        let streams: Vec<_> = (0..50)
            .map(|_| connect(server.address))
            .collect::<io::Result<_>>()?;
        let (loud, after) = thread::scope(|scope| {
            for stream in &streams {
                scope.spawn(move || flood(stream));
            }
            let loud = neighbour.percentile_99(time);
            let after = server.sample(Duration::ZERO);
            for stream in &streams {
                // Ends its thread.
                let _ = stream.shutdown(Shutdown::Both);
            }
            (loud, after)
        });
        let (loud, after) = (loud?, after?);
        let grown = after.resident_kib.saturating_sub(before.resident_kib) / 1024;
        let times = loud.as_secs_f64() / quiet.as_secs_f64();
        Ok(Figure {
            ordeal: "50 peers that flood and never read, 6 s",
            seen: format!(
                "resident memory +{grown} MiB; a neighbour's p99 {quiet:.0?} quiet, {loud:.0?} \
                 beside them ({times:.2} times)"
            ),
            bound: "under 64 MiB, under 3 times".into(),
            met: grown < 64 && times < 3.0,
        })
    }

    /// What was asked before the order to stop is answered after it.
    fn termination(&self) -> io::Result<Figure> {
        let server = self.server()?;
        let (sessions, requests) = (100, 40);
        let mut streams: Vec<_> = (0..sessions)
            .map(|_| connect(server.address))
            .collect::<io::Result<_>>()?;
        let request = frame(b"in flight");
        for stream in &mut streams {
            stream.write_all(&request.repeat(requests))?;
        }
        let ended = thread::scope(|scope| {
            let ending = scope.spawn(|| server.end());
            let mut answers = 0;
            for stream in &mut streams {
                let mut came = Vec::new();
                stream.read_to_end(&mut came)?;
                answers += came
                    .chunks(request.len())
                    .filter(|one| *one == request)
                    .count();
            }
            // Their ends are what the drain waits for.
            streams.clear();
            let ended = ending.join().map_err(|_| io::Error::other("a panic"))??;
            io::Result::Ok((answers, ended.status.code()))
        })?;
        let (answers, status) = ended;
        let all = sessions * requests;
        Ok(Figure {
            ordeal: "SIGTERM with 100 sessions x 40 requests in flight",
            seen: format!("{answers} of {all} answered, exit status {status:?}"),
            bound: "all, Some(0)".into(),
            met: answers == all && status == Some(0),
        })
    }

    /// Sessions that are opened and closed in every way leave nothing.
    fn every_way_of_closing(&self) -> io::Result<Figure> {
        // The timer's entry of a session that has ended stays until it is due: some sixty bytes,
        // for as long as the session might have been idle. That is not what is looked for.
        let settings = SETTINGS.replace("10m", "1s");
        let command = Command::new(self.program);
        let server = ServerProcess::start_by(command, self.engine, self.folder, &settings)?;
        let sessions = 100_000 / self.part;
        // What a server keeps for reuse, it has after as many.
        open_and_close(server.address, sessions)?;
        Echo::on(connect(server.address)?).once()?;
        self.halt.pause(Duration::from_secs(3));
        let before = server.sample(Duration::ZERO)?;
        open_and_close(server.address, sessions)?;
        Echo::on(connect(server.address)?).once()?;
        self.halt.pause(Duration::from_secs(3));
        let after = self.settled(&server, before)?;
        let grown = after.resident_kib.cast_signed() - before.resident_kib.cast_signed();
        Ok(Figure {
            ordeal: "sessions opened and closed in every way",
            seen: format!(
                "{sessions} sessions: {} descriptors before, {} after; resident memory {grown:+} \
                 KiB",
                before.descriptors, after.descriptors
            ),
            bound: "as many as before, under 4 MiB".into(),
            met: after.descriptors == before.descriptors && grown < 4096,
        })
    }

    /// A storm beside many idle sessions ends none of them.
    fn idle_and_storm(&self) -> io::Result<Figure> {
        let sessions = 9_000 / self.part;
        let server = self.server()?;
        let empty = server.sample(Duration::ZERO)?;
        let mut idle = Vec::with_capacity(sessions);
        for _ in 0..sessions {
            let mut echo = Echo::on(connect(server.address)?);
            echo.once()?;
            idle.push(echo);
        }
        let full = server.sample(Duration::ZERO)?;
        let each = (full.resident_kib.saturating_sub(empty.resident_kib)) * 1024 / sessions as u64;
        let clock = Clock::start();
        open_and_close(server.address, 5000)?;
        let took = clock.elapsed();
        let living = idle.iter_mut().filter_map(|echo| echo.once().ok()).count();
        Ok(Figure {
            ordeal: "idle sessions beside a storm of 5,000",
            seen: format!(
                "{living} of {sessions} answer after a storm of {took:.1?}; {each} resident bytes \
                 for each of them"
            ),
            bound: "all".into(),
            met: living == sessions,
        })
    }
}

/// A session that asks and is answered.
struct Echo {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Echo {
    fn on(stream: TcpStream) -> Self {
        Self {
            stream,
            request: frame(&[1; 60]),
        }
    }

    /// One question and its answer.
    fn once(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.request)?;
        let mut answer = vec![0; self.request.len()];
        self.stream.read_exact(&mut answer)?;
        if answer == self.request {
            Ok(())
        } else {
            Err(io::Error::other("another answer than what was asked"))
        }
    }

    /// The 99th percentile of the time to an answer, asking for so long.
    fn percentile_99(&mut self, time: Duration) -> io::Result<Duration> {
        let (clock, mut times) = (Clock::start(), Vec::new());
        while clock.elapsed() < time {
            let one = Clock::start();
            self.once()?;
            times.push(one.elapsed());
        }
        times.sort_unstable();
        Ok(times[times.len() * 99 / 100])
    }
}

/// Opens sessions and closes them, each in the next of ten ways, from four threads.
fn open_and_close(to: SocketAddr, sessions: usize) -> io::Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|first| {
                scope.spawn(move || {
                    (first..sessions)
                        .step_by(4)
                        .try_for_each(|number| one_of_the_ways(to, number / 4))
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            let outcome = thread.join();
            outcome.map_err(|_| io::Error::other("a panic"))?
        })
    })
}

fn one_of_the_ways(to: SocketAddr, number: usize) -> io::Result<()> {
    let mut stream = connect(to)?;
    let request = frame(&[number as u8; 3000]);
    let mut answer = vec![0; request.len()];
    match number % 10 {
        0 => drop(stream),
        1 => reset(stream)?,
        2 => stream.shutdown(Shutdown::Write)?,
        3 => {
            // Cut off inside the header, by an end.
            stream.write_all(&request[..3])?;
        }
        4 => {
            // Cut off inside the payload, by a reset.
            stream.write_all(&request[..1000])?;
            reset(stream)?;
        }
        5 => {
            // The answer is never read.
            stream.write_all(&request)?;
        }
        6 => {
            stream.write_all(&request)?;
            reset(stream)?;
        }
        7 => {
            stream.write_all(&request)?;
            stream.read_exact(&mut answer)?;
            stream.shutdown(Shutdown::Write)?;
            // The server's end.
            stream.read_to_end(&mut answer)?;
        }
        8 => {
            // No frame: the server ends it.
            stream.write_all(&[0, 1])?;
            stream.read_to_end(&mut answer)?;
        }
        _ => {
            stream.write_all(&request)?;
            stream.read_exact(&mut answer)?;
            reset(stream)?;
        }
    }
    Ok(())
}

/// Sends until the stream is shut down. Blocks while the server does not read.
fn flood(mut stream: &TcpStream) {
    let frames = frame(&[5; 1000]).repeat(64);
    // A session may be closed for it, which is right.
    while stream.write_all(&frames).is_ok() {}
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER))?;
    Ok(stream)
}

/// Closes with a reset.
fn reset(stream: TcpStream) -> io::Result<()> {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

/// A frame that the server sends back.
fn frame(payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
    let mut frame = size.to_be_bytes().to_vec();
    frame.extend_from_slice(&PacketId::RAW_ECHO.number().to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}
