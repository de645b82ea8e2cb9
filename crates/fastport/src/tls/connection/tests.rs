//! Both sides against each other, and against whatever else may come.

use super::*;
use crate::tls::provider;
use crate::tls::sinks::PlainMemory;
use fastport_testkit::certificates::Authority;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

fn sides() -> (TlsServer, TlsClient) {
    let provider = provider().unwrap();
    let authority = Authority::new("a test", provider.clone());
    let identity = authority.issue(&["here.test"]);
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = TlsClient::new(client, "here.test").unwrap();
    (TlsServer::new(server), client)
}

/// A connection as the worker keeps it.
struct End {
    connection: Connection,
    unfinished: Vec<u8>,
    own: Vec<u8>,
    plain: Vec<u8>,
    memory: PlainMemory,
}

impl End {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            unfinished: Vec::new(),
            own: Vec::new(),
            plain: Vec::new(),
            memory: PlainMemory::default(),
        }
    }

    fn take(&mut self, came: &[u8]) -> Progress {
        self.unfinished.extend_from_slice(came);
        let mut ready = Vec::new();
        let mut sink = self.memory.sink(&mut ready);
        let progress = self
            .connection
            .receive(&mut self.unfinished, &mut self.own, &mut sink);
        drop(sink);
        self.unfinished.drain(..progress.used);
        for chunk in ready {
            self.plain.extend_from_slice(chunk.as_slice());
        }
        progress
    }

    fn send(&mut self, data: &[u8]) -> Vec<u8> {
        let mut cipher = CipherSink::new();
        cipher.push(&std::mem::take(&mut self.own));
        let left = data.len();
        self.connection
            .encrypt(data, left, &mut self.unfinished, &mut cipher)
            .unwrap();
        let batch = cipher.finish();
        let pieces = batch.pieces().iter();
        pieces.flat_map(|piece| piece.as_slice().to_vec()).collect()
    }
}

fn pair() -> (End, End) {
    let (server, client) = sides();
    let (server, client) = (
        Connection::server(&server).unwrap(),
        Connection::client(&client).unwrap(),
    );
    (End::new(server), End::new(client))
}

/// Lets both speak until neither has anything to say.
fn shake(server: &mut End, client: &mut End) {
    client.take(&[]);
    loop {
        let words = std::mem::take(&mut client.own);
        let answer = {
            assert_eq!(server.take(&words).failure, None);
            std::mem::take(&mut server.own)
        };
        assert_eq!(client.take(&answer).failure, None);
        if client.own.is_empty() && answer.is_empty() {
            break;
        }
    }
    assert!(!server.connection.is_handshaking() && !client.connection.is_handshaking());
}

#[test]
fn data_of_any_size_goes_through() {
    let (mut server, mut client) = pair();
    shake(&mut server, &mut client);
    for bytes in [1, 100, 16_383, 16_384, 16_385, 200_000] {
        let data: Vec<u8> = (0..bytes).map(|at: u32| (at % 251) as u8).collect();
        let cipher = client.send(&data);
        assert!(cipher.len() < data.len() + 64 + data.len() / 256);
        assert_eq!(server.take(&cipher).failure, None);
        assert_eq!(std::mem::take(&mut server.plain), data);
    }
    client
        .connection
        .close(&mut client.unfinished, &mut client.own);
    let words = std::mem::take(&mut client.own);
    assert!(!words.is_empty());
    let progress = server.take(&words);
    assert!(progress.peer_closed && progress.failure.is_none());
}

/// Nothing that a peer sends makes rustls panic in the way that it is used here, whatever state the
/// connection is in, and whatever is asked of it afterwards.
#[test]
fn nothing_that_comes_panics() {
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut below = move |end: usize| {
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        (random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    };
    let (tls_server, tls_client) = sides();
    for _ in 0..200 {
        let mut server = End::new(Connection::server(&tls_server).unwrap());
        let mut client = End::new(Connection::client(&tls_client).unwrap());
        client.take(&[]);
        // So many flights go through before one is changed.
        let mut whole = below(4);
        let mut failed = false;
        for _ in 0..8 {
            let mut words = std::mem::take(&mut client.own);
            if !client.connection.is_handshaking() {
                words.extend(client.send(b"some data that is sent as well"));
            }
            if whole == 0 && !words.is_empty() {
                match below(3) {
                    0 => {
                        let at = below(words.len());
                        words[at] ^= 1 << below(8);
                    }
                    1 => words.truncate(below(words.len())),
                    _ => {
                        let at = below(words.len());
                        let more: Vec<u8> = (0..below(300)).map(|_| below(256) as u8).collect();
                        words.splice(at..at, more);
                    }
                }
            }
            whole = whole.saturating_sub(1);
            let cut = below(words.len() + 1);
            for part in [&words[..cut], &words[cut..]] {
                failed |= server.take(part).failure.is_some();
                if failed {
                    break;
                }
                if !server.connection.is_handshaking() {
                    let cipher = server.send(b"an answer");
                    server.own.extend(cipher);
                }
            }
            let answer = std::mem::take(&mut server.own);
            if failed || client.take(&answer).failure.is_some() {
                break;
            }
        }
        let (unfinished, own) = (&mut server.unfinished, &mut server.own);
        if !failed {
            server.connection.close(unfinished, own);
        }
    }
}
