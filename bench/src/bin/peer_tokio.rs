//! The fair peer: a straightforward, good echo server on tokio, with FastPort's wire.
//!
//! One task a session with a buffer for one largest frame. All answers to what one read brought
//! leave in one write; when they are the received bytes themselves, as with raw echo, nothing is
//! copied.
#![forbid(unsafe_code)]

use clap::{Parser, ValueEnum};
use fastport_bench::descriptors;
use fastport_bench::frames::{ECHO, FRAME_BYTES_MAX, RAW_ECHO, first_frame, header};
use fastport_protocol::commons::ResultCode;
use fastport_protocol::prost::Message;
use fastport_protocol::tests::{EchoRequest, EchoResponse};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Error, ErrorKind};
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

/// A listening socket; several may share one address.
fn listener(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

fn run_thread(listener: std::net::TcpListener) -> io::Result<thread::JoinHandle<io::Result<()>>> {
    let runtime: Runtime = Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new().spawn(move || runtime.block_on(accept(listener)))
}

async fn accept(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            if let Err(error) = serve(stream).await
                && error.kind() == ErrorKind::InvalidData
            {
                eprintln!("session closed: {error}");
            }
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

/// Answers every whole frame of `input`. Returns how many bytes they are, and whether the answers
/// are those bytes themselves; otherwise they are in `answers`.
fn answer(input: &[u8], answers: &mut Vec<u8>) -> io::Result<(usize, bool)> {
    let mut used = 0;
    let mut same = true;
    while let Some(frame) = first_frame(&input[used..])
        .map_err(|_| Error::new(ErrorKind::InvalidData, "a frame smaller than its header"))?
    {
        if same && frame.id != RAW_ECHO {
            same = false;
            answers.extend_from_slice(&input[..used]);
        }
        used += frame.bytes.len();
        match frame.id {
            RAW_ECHO if same => {}
            RAW_ECHO => answers.extend_from_slice(frame.bytes),
            ECHO => answer_echo(frame.payload, answers)?,
            // As FastPort does with an id that nothing handles.
            _ => {}
        }
    }
    Ok((used, same))
}

fn answer_echo(payload: &[u8], answers: &mut Vec<u8>) -> io::Result<()> {
    let invalid = |sentence: String| Error::new(ErrorKind::InvalidData, sentence);
    let request = EchoRequest::decode(payload).map_err(|error| invalid(error.to_string()))?;
    let response = EchoResponse {
        header: request.header,
        result: ResultCode::Ok.into(),
        data: request.data,
        data_str: request.data_str,
    };
    let header = header(ECHO, response.encoded_len())
        .ok_or_else(|| invalid("the answer is larger than a frame".to_owned()))?;
    answers.extend_from_slice(&header);
    response.encode(answers).map_err(Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] =
        b"\x00\x16\x00\x01\x0a\x09\x08\x07\x10\x80\xd0\x95\xff\xbc\x31\x1a\x05hello";
    const RESPONSE: &[u8] =
        b"\x00\x18\x00\x01\x0a\x09\x08\x07\x10\x80\xd0\x95\xff\xbc\x31\x10\x01\x22\x05hello";
    const RAW: &[u8] = b"\x00\x06\x00\x02ab";

    fn answered(input: &[u8]) -> (usize, Vec<u8>) {
        let mut answers = Vec::new();
        let (used, same) = answer(input, &mut answers).unwrap();
        (
            used,
            if same {
                input[..used].to_vec()
            } else {
                answers
            },
        )
    }

    #[test]
    fn raw_frames_come_back_as_they_are_and_a_cut_one_waits() {
        let input = [RAW, RAW, &RAW[..5]].concat();
        assert_eq!(answered(&input), (12, [RAW, RAW].concat()));
    }

    #[test]
    fn answers_of_both_kinds_keep_their_order() {
        let input = [RAW, REQUEST, RAW].concat();
        assert_eq!(
            answered(&input),
            (input.len(), [RAW, RESPONSE, RAW].concat())
        );
    }

    #[test]
    fn an_id_that_nothing_handles_is_dropped() {
        let input = [RAW, b"\x00\x05\x00\x09x", RAW].concat();
        assert_eq!(answered(&input), (input.len(), [RAW, RAW].concat()));
    }

    #[test]
    fn a_bad_size_and_a_bad_message_are_errors() {
        assert!(answer(b"\x00\x03", &mut Vec::new()).is_err());
        assert!(answer(b"\x00\x05\x00\x01\x0a", &mut Vec::new()).is_err());
    }
}
