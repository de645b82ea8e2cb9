//! The server's services, spoken to byte by byte over a socket of our own.

use fastport::protocol::benchmark::{
    BenchmarkEndRequest, BenchmarkEndResponse, BenchmarkRequest, BenchmarkResponse,
    BenchmarkStartRequest, BenchmarkStartResponse, ThroughputData, ThroughputResult,
};
use fastport::protocol::commons::{Header, ResultCode};
use fastport::protocol::prost::Message;
use fastport::protocol::session::{Hello, Welcome};
use fastport::protocol::tests::{
    EchoRequest, EchoResponse, ErrorResponse, PingRequest, PingResponse,
};
use fastport::{Identified, PacketId};
use fastport_testkit::programs::started;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

const OK: i32 = ResultCode::Ok as i32;
const ERROR: i32 = ResultCode::Error as i32;

/// A server and one connection to it.
struct Connection {
    server: Child,
    stream: TcpStream,
}

impl Connection {
    fn open(dispatch: &str) -> Self {
        Self::with(&["--dispatch", dispatch])
    }

    fn with(flags: &[&str]) -> Self {
        let mut server = started(|| {
            Command::new(env!("CARGO_BIN_EXE_fastport"))
                .args(["server", "--listen", "127.0.0.1:0"])
                .args(flags)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
        });
        let mut ready = String::new();
        let output = server.stdout.as_mut().expect("a pipe");
        BufReader::new(output)
            .read_line(&mut ready)
            .expect("a ready line");
        let address = ready.split_whitespace().nth(2).expect("an address");
        let stream = TcpStream::connect(address).expect("a connection");
        Self { server, stream }
    }

    fn send_bytes(&mut self, id: PacketId, payload: &[u8]) {
        let size = u16::try_from(payload.len() + 4).expect("a frame");
        let frame = [&size.to_be_bytes()[..], &id.number().to_be_bytes(), payload].concat();
        self.stream.write_all(&frame).expect("the server takes it");
    }

    fn send<M: Identified>(&mut self, message: &M) {
        self.send_bytes(M::ID, &message.encode_to_vec());
    }

    fn receive_bytes(&mut self) -> (PacketId, Vec<u8>) {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).expect("a header");
        let size = usize::from(u16::from_be_bytes([header[0], header[1]]));
        let mut payload = vec![0; size - 4];
        self.stream.read_exact(&mut payload).expect("a payload");
        (
            PacketId::new(u16::from_be_bytes([header[2], header[3]])),
            payload,
        )
    }

    fn receive<M: Identified>(&mut self) -> M {
        let (id, payload) = self.receive_bytes();
        assert_eq!(id, M::ID);
        M::decode(&payload[..]).expect("the message")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn header(request_id: u64) -> Option<Header> {
    Some(Header {
        request_id,
        timestamp_ms: 5,
    })
}

#[test]
fn echoes_and_pings_come_back_with_their_header() {
    for dispatch in ["inline", "pool"] {
        let mut connection = Connection::open(dispatch);
        let (data, data_str) = (vec![1, 2, 3].into(), "hello".to_owned());
        let request = EchoRequest {
            header: header(7),
            data,
            data_str,
        };
        connection.send(&request);
        let EchoRequest {
            header: echoed,
            data,
            data_str,
        } = request;
        let expected = EchoResponse {
            header: echoed,
            result: OK,
            data,
            data_str,
        };
        assert_eq!(connection.receive::<EchoResponse>(), expected);

        connection.send(&PingRequest {
            header: header(8),
            payload: "there?".into(),
        });
        let expected = PingResponse {
            header: header(8),
            result: OK,
            payload: "there?".into(),
        };
        assert_eq!(connection.receive::<PingResponse>(), expected);

        // No protobuf, and none is looked for.
        connection.send_bytes(PacketId::RAW_ECHO, &[0xff; 65_531]);
        assert_eq!(
            connection.receive_bytes(),
            (PacketId::RAW_ECHO, vec![0xff; 65_531])
        );
    }
}

/// Its response would be two bytes larger than a frame. Silence would let the client wait for ever.
#[test]
fn an_echo_whose_response_fits_no_frame_is_refused_and_the_session_lives() {
    let mut connection = Connection::open("inline");
    let mut request = EchoRequest {
        header: header(9),
        ..EchoRequest::default()
    };
    request.data = vec![7; 65_531 - request.encoded_len() - 4].into();
    assert_eq!(request.encoded_len(), 65_531);
    connection.send(&request);
    let refusal: ErrorResponse = connection.receive();
    assert_eq!((refusal.header, refusal.result), (header(9), ERROR));
    connection.send(&PingRequest::default());
    assert_eq!(connection.receive::<PingResponse>().result, OK);
}

#[test]
fn a_benchmark_run_is_counted_from_start_to_end() {
    let mut connection = Connection::open("inline");
    connection.send(&BenchmarkStartRequest {
        header: header(1),
        ..Default::default()
    });
    let started: BenchmarkStartResponse = connection.receive();
    assert_eq!((started.header, started.result), (header(1), OK));
    for sequence in 1..=3 {
        let payload = vec![sequence as u8; 100].into();
        let header = header(u64::from(sequence));
        let request = BenchmarkRequest {
            header,
            client_timestamp_ns: 77,
            sequence,
            payload,
        };
        connection.send(&request);
        let response: BenchmarkResponse = connection.receive();
        assert_eq!((response.header, response.result), (header, OK));
        assert_eq!(
            (response.sequence, response.client_timestamp_ns),
            (sequence, 77)
        );
        assert_eq!(response.payload, request.payload);
        assert!(response.server_recv_timestamp_ns > 0);
        assert!(response.server_recv_timestamp_ns <= response.server_send_timestamp_ns);
    }
    let end = BenchmarkEndRequest {
        header: header(4),
        session_id: started.session_id,
        total_sent: 3,
    };
    connection.send(&end);
    let ended: BenchmarkEndResponse = connection.receive();
    assert_eq!((ended.result, ended.total_received), (OK, 3));
    assert!(ended.server_elapsed_ns > 0);
    // It has ended: there is nothing to end twice.
    connection.send(&end);
    assert_eq!(connection.receive::<BenchmarkEndResponse>().result, ERROR);
}

#[test]
fn only_the_run_that_was_started_can_be_ended() {
    let mut connection = Connection::open("inline");
    connection.send(&BenchmarkEndRequest {
        header: header(1),
        ..Default::default()
    });
    assert_eq!(connection.receive::<BenchmarkEndResponse>().result, ERROR);
    connection.send(&BenchmarkStartRequest::default());
    let _started: BenchmarkStartResponse = connection.receive();
    let other = BenchmarkEndRequest {
        session_id: "other".into(),
        ..Default::default()
    };
    connection.send(&other);
    assert_eq!(connection.receive::<BenchmarkEndResponse>().result, ERROR);
}

#[test]
fn each_stream_is_answered_once_with_what_came() {
    let mut connection = Connection::open("pool");
    for packets in [1u32, 20] {
        for sequence in 1..=packets {
            let is_last = sequence == packets;
            connection.send(&ThroughputData {
                sequence,
                payload: vec![0; 1_000].into(),
                is_last,
            });
        }
        let result: ThroughputResult = connection.receive();
        assert_eq!(result.packets_received, packets);
        assert_eq!(result.bytes_received, u64::from(packets) * 1_000);
        assert!(result.packets_per_second > 0.0 && result.megabytes_per_second > 0.0);
    }
}

#[test]
fn what_is_unknown_is_dropped_and_what_does_not_decode_closes() {
    let mut connection = Connection::open("inline");
    connection.send_bytes(PacketId::new(0x0777), b"anything");
    connection.send(&PingRequest::default());
    assert_eq!(connection.receive::<PingResponse>().result, OK);
    for id in [
        PacketId::ECHO,
        PacketId::PING_REQUEST,
        PacketId::BENCHMARK_REQUEST,
        PacketId::BENCHMARK_START_REQUEST,
        PacketId::BENCHMARK_END_REQUEST,
        PacketId::THROUGHPUT_DATA,
    ] {
        let mut connection = Connection::open("inline");
        connection.send_bytes(id, &[0xff; 16]);
        let end = connection
            .stream
            .read(&mut [0; 1])
            .expect("the end of the stream");
        assert_eq!(end, 0, "{id}");
    }
}

/// A client that says hello goes on with its next connection; who says none is served as ever.
#[test]
fn a_session_goes_on_over_its_next_connection_if_so_set() {
    let mut first = Connection::with(&["--resume", "--resume-keep", "30s"]);
    let address = first.stream.peer_addr().expect("an address");
    let hello = |connection: &mut Connection, token: &[u8], received: u64| -> Welcome {
        let hello = Hello {
            token: token.to_vec().into(),
            received,
        };
        connection.send_bytes(PacketId::RESUME_HELLO, &hello.encode_to_vec());
        let (id, payload) = connection.receive_bytes();
        assert_eq!(id, PacketId::RESUME_WELCOME);
        Welcome::decode(payload.as_slice()).expect("a welcome")
    };
    let welcome = hello(&mut first, b"", 0);
    assert!(!welcome.resumed);
    first.send_bytes(PacketId::RAW_ECHO, b"one");
    assert_eq!(first.receive_bytes().1, b"one");
    // The second answer is not read, and comes again.
    first.send_bytes(PacketId::RAW_ECHO, b"two");
    first.stream = TcpStream::connect(address).expect("a connection");
    let again = hello(&mut first, &welcome.token, 1);
    assert!(again.resumed);
    if again.received == 1 {
        first.send_bytes(PacketId::RAW_ECHO, b"two");
    }
    assert_eq!(first.receive_bytes().1, b"two");
    let text = "three".to_owned();
    first.send(&PingRequest {
        payload: text.clone(),
        ..PingRequest::default()
    });
    let (_, payload) = first.receive_bytes();
    let answer = PingResponse::decode(payload.as_slice()).expect("an answer");
    assert_eq!((answer.result, answer.payload), (OK, text));
    first.stream = TcpStream::connect(address).expect("a connection");
    first.send_bytes(PacketId::RAW_ECHO, b"plain");
    assert_eq!(
        first.receive_bytes(),
        (PacketId::RAW_ECHO, b"plain".to_vec())
    );
}
