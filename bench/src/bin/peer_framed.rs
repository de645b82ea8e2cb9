//! What most people write first: an echo server on tokio with tokio-util's `Framed`, which decodes
//! and sends a frame at a time.
#![forbid(unsafe_code)]

use clap::Parser;
use fastport_bench::answers::{answer_frame, report};
use fastport_bench::descriptors;
use fastport_bench::frames::{HEADER_BYTES, first_frame};
use futures_util::SinkExt;
use std::io::{self, Error, ErrorKind};
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_util::bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder, Framed};

/// An echo server on tokio and tokio-util's codecs that speaks FastPort's wire.
#[derive(Parser)]
struct Arguments {
    /// Address to listen on; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:6628")]
    listen: SocketAddr,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// Whole frames, header included.
struct Frames;

impl Decoder for Frames {
    type Item = Bytes;
    type Error = Error;

    fn decode(&mut self, source: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let frame = first_frame(source)
            .map_err(|_| Error::new(ErrorKind::InvalidData, "a frame smaller than its header"))?;
        let Some(bytes) = frame.map(|frame| frame.bytes.len()) else {
            return Ok(None);
        };
        Ok(Some(source.split_to(bytes).freeze()))
    }
}

impl Encoder<&[u8]> for Frames {
    type Error = Error;

    fn encode(&mut self, frame: &[u8], target: &mut BytesMut) -> io::Result<()> {
        debug_assert!(frame.len() >= HEADER_BYTES);
        target.extend_from_slice(frame);
        Ok(())
    }
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
    let listener = TcpListener::bind(address).await?;
    println!("listening on {} framed", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            report(&serve(stream).await);
        });
    }
}

/// Answers one session until its peer is done.
async fn serve(stream: TcpStream) -> io::Result<()> {
    use futures_util::StreamExt;

    let mut framed = Framed::new(stream, Frames);
    let mut answer = Vec::new();
    while let Some(bytes) = framed.next().await {
        let bytes = bytes?;
        answer.clear();
        if let Ok(Some(frame)) = first_frame(&bytes) {
            answer_frame(&frame, &mut answer)?;
        }
        if !answer.is_empty() {
            framed.send(&answer[..]).await?;
        }
    }
    Ok(())
}
