//! An echo server in about 20 lines: `cargo run --release --example echo [ADDRESS]`.

use fastport::protocol::commons::ResultCode;
use fastport::protocol::tests::{EchoRequest, EchoResponse};
use fastport::{Identified, PacketId, Server, Session};

fn main() -> Result<(), fastport::Error> {
    let address = std::env::args().nth(1);
    let server = Server::builder()
        .listen(address.as_deref().unwrap_or("127.0.0.1:6628"))
        .on(|session: &Session, request: EchoRequest| {
            let response = EchoResponse {
                header: request.header,
                result: ResultCode::Ok.into(),
                data: request.data,
                data_str: request.data_str,
            };
            let _ = session.send(EchoRequest::ID, &response);
        })
        .on_packet(PacketId::RAW_ECHO, |session, packet| {
            let _ = session.forward(&packet);
        })
        .on_disconnected(|session, reason| println!("{}: {reason}", session.peer_address()))
        .start()?;
    println!("listening on {}", server.local_address());
    server.wait()
}
