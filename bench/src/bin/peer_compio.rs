//! The completion-based peer: an echo server on compio, with FastPort's wire.
//!
//! One task a session with a buffer for one largest frame, which the kernel fills and sends from.
//! All answers to what one read brought leave in one write; when they are the received bytes
//! themselves, as with raw echo, nothing is copied.
#![forbid(unsafe_code)]

use clap::Parser;
use compio::BufResult;
use compio::buf::{IntoInner, IoBuf};
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::Runtime;
use fastport_bench::answers::{answer, report};
use fastport_bench::descriptors;
use fastport_bench::frames::FRAME_BYTES_MAX;
use std::io;
use std::net::SocketAddr;

/// An echo server on compio that speaks FastPort's wire, on one thread.
#[derive(Parser)]
struct Arguments {
    /// Address to listen on; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:6628")]
    listen: SocketAddr,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    descriptors::raise_limit()?;
    Runtime::new()?.block_on(accept(arguments.listen))
}

async fn accept(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on {} threads=1", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let session = async move {
            report(&serve(stream).await);
        };
        compio::runtime::spawn(session).detach();
    }
}

/// Answers one session until its peer is done.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut input = Vec::with_capacity(FRAME_BYTES_MAX + 1);
    let mut answers = Vec::new();
    loop {
        let filled = input.len();
        let BufResult(read, buffer) = stream.read(input.slice(filled..)).await;
        input = buffer.into_inner();
        if read? == 0 {
            return Ok(());
        }
        answers.clear();
        let (used, same) = answer(&input, &mut answers)?;
        if used > 0 && same {
            let BufResult(written, buffer) = stream.write_all(input.slice(..used)).await;
            input = buffer.into_inner();
            written?;
        } else if !answers.is_empty() {
            let BufResult(written, buffer) = stream.write_all(answers).await;
            answers = buffer;
            written?;
        }
        input.drain(..used);
    }
}
