//! The fair peer: a straightforward, good echo server on tokio, with FastPort's wire.
//!
//! One task a session with a buffer for one largest frame. All answers to what one read brought
//! leave in one write; when they are the received bytes themselves, as with raw echo, nothing is
//! copied.
#![forbid(unsafe_code)]

use clap::{Parser, ValueEnum};
use fastport_bench::answers::{answer, report};
use fastport_bench::descriptors;
use fastport_bench::frames::FRAME_BYTES_MAX;
use fastport_bench::listening::listener;
use std::io::{self, Error};
use std::net::SocketAddr;
use std::thread;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// An echo server on tokio that speaks FastPort's wire.
#[derive(Parser)]
struct Arguments {
    /// Address to listen on; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:6628")]
    listen: SocketAddr,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How the threads share the work.
    #[arg(long, value_enum, default_value_t = Flavor::MultiThread)]
    flavor: Flavor,
}

#[derive(Copy, Clone, ValueEnum)]
enum Flavor {
    /// One runtime whose threads steal work from each other.
    MultiThread,
    /// A runtime of its own for each thread; the kernel spreads connections over their listeners.
    PerThread,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    descriptors::raise_limit()?;
    let threads = arguments.threads.max(1);
    let first = listener(arguments.listen)?;
    let address = first.local_addr()?;
    match arguments.flavor {
        Flavor::MultiThread => {
            println!("listening on {address} flavor=multi-thread threads={threads}");
            let runtime = Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_io()
                .build()?;
            // A spawned task accepts on a worker; one that is blocked on would use this thread.
            let accepting = async move { tokio::spawn(accept(first)).await };
            runtime.block_on(accepting).map_err(Error::other)?
        }
        Flavor::PerThread => {
            let mut running = vec![run_thread(first)?];
            for _ in 1..threads {
                running.push(run_thread(listener(address)?)?);
            }
            println!("listening on {address} flavor=per-thread threads={threads}");
            for thread in running {
                let ended = thread.join();
                ended.map_err(|_| Error::other("a thread panicked"))??;
            }
            Ok(())
        }
    }
}

fn run_thread(listener: std::net::TcpListener) -> io::Result<thread::JoinHandle<io::Result<()>>> {
    let runtime: Runtime = Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new().spawn(move || runtime.block_on(accept(listener)))
}

async fn accept(listener: std::net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            report(&serve(stream).await);
        });
    }
}

/// Answers one session until its peer is done.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut input = vec![0; FRAME_BYTES_MAX + 1];
    let mut filled = 0;
    let mut answers = Vec::new();
    loop {
        let read = stream.read(&mut input[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        answers.clear();
        let (used, same) = answer(&input[..filled], &mut answers)?;
        let output = if same { &input[..used] } else { &answers[..] };
        if !output.is_empty() {
            stream.write_all(output).await?;
        }
        input.copy_within(used..filled, 0);
        filled -= used;
    }
}
