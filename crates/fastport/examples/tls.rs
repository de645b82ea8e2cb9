//! Mutual TLS in one process: who vouches for both sides, a server, a client, and a new certificate
//! while they talk.
//!
//! ```sh
//! cargo run --example tls --features tls-ring
//! ```

use fastport::protocol::tests::{EchoRequest, EchoResponse};
use fastport::tls::provider;
use fastport::tls::rustls::server::WebPkiClientVerifier;
use fastport::tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use fastport::{Client, PacketId, Server, TlsClient, TlsServer};
use fastport_testkit::certificates::{Authority, Identity};
use std::error::Error;
use std::sync::Arc;

const NAME: &str = "game.example";

fn roots(authority: &Authority) -> Result<RootCertStore, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate())?;
    Ok(roots)
}

/// A server that takes clients of the authority's only. From files it would be
/// `TlsServer::from_files`.
fn server_config(of: Identity, authority: &Authority) -> Result<ServerConfig, Box<dyn Error>> {
    let roots = Arc::new(roots(authority)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()?).build()?;
    Ok(ServerConfig::builder_with_provider(provider()?)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(of.chain, of.key)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let authority = Authority::new("the game's authority", provider()?);
    let tls = TlsServer::new(server_config(authority.issue(&[NAME]), &authority)?);
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .tls(tls.clone())
        .on(|session, request: EchoRequest| {
            // Who it is was checked before the session began.
            let known = session.tls().map_or(0, |info| info.certificates.len());
            let data_str = format!(
                "{} from a client with {known} certificate",
                request.data_str
            );
            let answer = EchoResponse {
                header: request.header,
                data_str,
                ..Default::default()
            };
            let _ = session.send(PacketId::ECHO, &answer);
        })
        .start()?;

    let player = authority.issue(&["a player"]);
    let config = ClientConfig::builder_with_provider(provider()?)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(&authority)?)
        .with_client_auth_cert(player.chain, player.key)?;
    let trusting = TlsClient::new(config, NAME)?;
    let address = server.local_address().to_string();
    let ask = |client: &Client, text: &str| -> Result<String, Box<dyn Error>> {
        let request = EchoRequest {
            data_str: text.into(),
            ..Default::default()
        };
        let response: EchoResponse = client.request(request)?;
        Ok(response.data_str)
    };

    let first = Client::builder().tls(trusting.clone()).connect(&address)?;
    println!("{}", ask(&first, "hello")?);
    // What a reload does: new sessions see it, this one goes on.
    tls.replace(server_config(authority.issue(&[NAME]), &authority)?);
    let second = Client::builder().tls(trusting).connect(&address)?;
    println!("{}", ask(&second, "hello again")?);
    println!("{}", ask(&first, "still here")?);
    Ok(())
}
