//! Another completion-based peer: an echo server on monoio, with FastPort's wire.
//!
//! As the peer on compio: a task and a buffer a session, all answers to one read in one write.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod server {
    use clap::Parser;
    use fastport_bench::answers::{answer, report};
    use fastport_bench::descriptors;
    use fastport_bench::frames::FRAME_BYTES_MAX;
    use monoio::buf::{IoBuf, IoBufMut};
    use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
    use monoio::net::{TcpListener, TcpStream};
    use std::io;
    use std::net::SocketAddr;

    /// An echo server on monoio that speaks FastPort's wire, on one thread.
    #[derive(Parser)]
    struct Arguments {
        /// Address to listen on; port 0 lets the system choose.
        #[arg(long, default_value = "127.0.0.1:6628")]
        listen: SocketAddr,
    }

    pub(super) fn run() -> io::Result<()> {
        let arguments = Arguments::parse();
        descriptors::raise_limit()?;
        monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
            .with_entries(4096)
            .build()?
            .block_on(accept(arguments.listen))
    }

    async fn accept(address: SocketAddr) -> io::Result<()> {
        let listener = TcpListener::bind(address)?;
        println!("listening on {} threads=1", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            monoio::spawn(async move {
                report(&serve(stream).await);
            });
        }
    }

    /// Answers one session until its peer is done.
    async fn serve(mut stream: TcpStream) -> io::Result<()> {
        let mut input = Vec::with_capacity(FRAME_BYTES_MAX + 1);
        let mut answers = Vec::new();
        loop {
            let filled = input.len();
            let (read, buffer) = stream.read(input.slice_mut(filled..)).await;
            input = buffer.into_inner();
            if read? == 0 {
                return Ok(());
            }
            answers.clear();
            let (used, same) = answer(&input, &mut answers)?;
            if used > 0 && same {
                let (written, buffer) = stream.write_all(input.slice(..used)).await;
                input = buffer.into_inner();
                written?;
            } else if !answers.is_empty() {
                let (written, buffer) = stream.write_all(answers).await;
                answers = buffer;
                written?;
            }
            input.drain(..used);
        }
    }
}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    server::run()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("peer-monoio: monoio's io_uring driver exists on Linux only");
}
