//! A client that asks a server, first blocking, then by futures without a runtime.
//!
//! `cargo run --release --example client -- 127.0.0.1:6628`

use fastport::Client;
use fastport::protocol::tests::{EchoRequest, EchoResponse};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:6628".into());
    let client = Client::connect(&address)?;
    let request = EchoRequest {
        data_str: "hello".into(),
        ..Default::default()
    };
    let answer: EchoResponse = client.request(request)?;
    println!("answered: {}", answer.data_str);

    // Three at once; the answers are found by their request ids.
    let requests: Vec<_> = (1..=3)
        .map(|number| {
            let data_str = format!("number {number}");
            client.request_async::<_, EchoResponse>(EchoRequest {
                data_str,
                ..Default::default()
            })
        })
        .collect::<Result<_, _>>()?;
    for request in requests {
        // `.await` in an async function does the same.
        println!(
            "answered: {}",
            request.wait(Duration::from_secs(5))?.data_str
        );
    }
    Ok(())
}
