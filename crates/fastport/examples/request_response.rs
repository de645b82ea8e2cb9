//! Both sides ask: the client says hello, and before the server answers it asks back who that is.
//! `cargo run --release --example request_response` runs both.

use fastport::protocol::tests::{EchoRequest, EchoResponse, PingRequest, PingResponse};
use fastport::{Client, RequestError, Router, Server, Session};
use std::time::Duration;

/// How long a client may think about who it is.
const LIMIT: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .on(|session: &Session, hello: EchoRequest| greet(session, hello))
        .start()?;

    let router = Router::new().on_request(|_, _: &PingRequest| PingResponse {
        payload: "a friend".into(),
        ..Default::default()
    });
    let client = Client::builder()
        .handler(router.build()?)
        .connect(&server.local_address().to_string())?;
    let hello = EchoRequest {
        data_str: "hello".into(),
        ..Default::default()
    };
    let answer: EchoResponse = client.request(hello)?;
    println!("answered: {}", answer.data_str);
    Ok(())
}

/// Asks who says hello, and answers when that is known: the handler does not wait meanwhile.
fn greet(session: &Session, hello: EchoRequest) {
    let asked = session.request(PingRequest::default(), LIMIT, move |session, who| {
        let who: Result<PingResponse, RequestError> = who;
        let said = match who {
            Ok(who) => format!("{}, {}", hello.data_str, who.payload),
            Err(error) => format!("who are you? {error}"),
        };
        let answer = EchoResponse {
            data_str: said,
            ..Default::default()
        };
        let _ = session.answer(&hello, answer);
    });
    if let Err(error) = asked {
        println!("nobody to ask: {error}");
    }
}
