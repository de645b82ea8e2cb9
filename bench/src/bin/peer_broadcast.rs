//! What tokio's users write for a message to everyone: a broadcast channel, and each session a
//! receiver of it.
//!
//! A message is one reference-counted frame in the channel. A session writes all that waits for it
//! in one write.
#![forbid(unsafe_code)]

use clap::Parser;
use fastport_bench::answers::report;
use fastport_bench::descriptors;
use fastport_bench::frames::{BROADCAST, FRAME_BYTES_MAX, first_frame};
use fastport_bench::listening::listener;
use std::io::{self, Error, ErrorKind};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio_util::bytes::Bytes;

/// An echo server on tokio that sends frames 0x7002 to every session.
#[derive(Parser)]
struct Arguments {
    /// Address to listen on; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:6628")]
    listen: SocketAddr,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    descriptors::raise_limit()?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(arguments.threads.max(1))
        .enable_io()
        .build()?;
    let accepting = async move { tokio::spawn(accept(arguments.listen)).await };
    runtime.block_on(accepting).map_err(Error::other)?
}

async fn accept(address: SocketAddr) -> io::Result<()> {
    let listener = listener(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    println!("listening on {} broadcast", listener.local_addr()?);
    let (everyone, _) = broadcast::channel(MESSAGES_MAX);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let everyone = everyone.clone();
        tokio::spawn(async move {
            report(&serve(stream, everyone).await);
        });
    }
}

/// Serves one session until its peer is done.
async fn serve(mut stream: TcpStream, everyone: Sender<Bytes>) -> io::Result<()> {
    let mut messages = everyone.subscribe();
    let mut input = vec![0; FRAME_BYTES_MAX + 1];
    let mut filled = 0;
    let mut output = Vec::new();
    loop {
        output.clear();
        tokio::select! {
            read = stream.read(&mut input[filled..]) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                filled += read;
                let used = handle(&input[..filled], &everyone, &mut output)?;
                input.copy_within(used..filled, 0);
                filled -= used;
            }
            message = messages.recv() => {
                output.extend_from_slice(&message.map_err(Error::other)?);
                take_waiting(&mut messages, &mut output);
            }
        }
        if !output.is_empty() {
            stream.write_all(&output).await?;
        }
    }
}

/// Takes the messages that wait already. One that was lost for lateness is found at the next wait.
fn take_waiting(messages: &mut Receiver<Bytes>, output: &mut Vec<u8>) {
    while let Ok(message) = messages.try_recv() {
        output.extend_from_slice(&message);
    }
}

/// Sends what is for everyone, answers the rest. Returns how many bytes were whole frames.
fn handle(input: &[u8], everyone: &Sender<Bytes>, output: &mut Vec<u8>) -> io::Result<usize> {
    let mut used = 0;
    while let Some(frame) = first_frame(&input[used..])
        .map_err(|_| Error::new(ErrorKind::InvalidData, "a frame smaller than its header"))?
    {
        used += frame.bytes.len();
        if frame.id == BROADCAST {
            // This session receives, so there is a receiver.
            let _ = everyone.send(Bytes::copy_from_slice(frame.bytes));
        } else {
            output.extend_from_slice(frame.bytes);
        }
    }
    Ok(used)
}

/// Messages that the slowest session may be behind; later it loses some, and is closed.
const MESSAGES_MAX: usize = 1024;
