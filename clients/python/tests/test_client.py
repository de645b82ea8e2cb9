"""The client against a live ``fastport server``, and against peers that do not keep the rules."""

import os
import signal
import socket
import subprocess
import threading
import unittest
from pathlib import Path
from typing import Callable, List, Tuple

from fastport import (
    PAYLOAD_BYTES_MAX,
    Client,
    ClientError,
    Closed,
    Frame,
    FrameError,
    RequestFailed,
    TimedOut,
)
from fastport.messages import (
    RAW_ECHO,
    BenchmarkEndRequest,
    BenchmarkEndResponse,
    BenchmarkRequest,
    BenchmarkResponse,
    BenchmarkStartRequest,
    BenchmarkStartResponse,
    Close,
    EchoRequest,
    EchoResponse,
    Header,
    PingRequest,
    PingResponse,
    ResultCode,
    ThroughputData,
    ThroughputResult,
)

from . import vectors


def server_program() -> str:
    """The server to test with: FASTPORT's, or what this repository has built last."""
    given = os.environ.get("FASTPORT")
    if given:
        return given
    root = Path(__file__).parents[3]
    built = [root / "target" / profile / "fastport" for profile in ("release", "debug")]
    found = [program for program in built if program.is_file()]
    if not found:
        raise unittest.SkipTest("no server was built: `cargo build`, or set FASTPORT")
    return str(max(found, key=lambda program: program.stat().st_mtime))


class Live(unittest.TestCase):
    """One server for all cases; each case has connections of its own."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = subprocess.Popen(
            [server_program(), "server", "--listen", "127.0.0.1:0"],
            # Sessions that it ends are told why.
            env={**os.environ, "FASTPORT_SESSION_ANNOUNCE_CLOSE": "true"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert cls.server.stdout is not None
        # The first line says "listening on ADDRESS ...".
        ready = cls.server.stdout.readline()
        cls.address = ready.split()[2]

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.send_signal(signal.SIGTERM)
        assert cls.server.stdout is not None
        cls.server.stdout.read()
        cls.server.stdout.close()
        status = cls.server.wait(timeout=30)
        if status != 0:
            raise AssertionError(f"the server ended with {status}")

    def connect(self) -> Client:
        client = Client(self.address, timeout=20.0)
        self.addCleanup(client.close)
        return client

    def raw(self) -> socket.socket:
        """A connection without the client, for bytes that the client would not send."""
        host, port = self.address.rsplit(":", 1)
        stream = socket.create_connection((host, int(port)), timeout=20.0)
        self.addCleanup(stream.close)
        return stream

    def test_the_vectors_are_answered_as_the_wire_says(self) -> None:
        loaded = {vector.frame: vector.message for vector in vectors.load()}
        requests = [vector.frame for vector in vectors.load()]
        echo_request, echo_response, benchmark = requests[1], requests[2], requests[3]
        stream = self.raw()
        stream.sendall(echo_request)
        self.assertEqual(read_exactly(stream, len(echo_response)).hex(), echo_response.hex())
        # An empty request is a request; its answer has a result.
        stream.sendall(requests[0])
        self.assertEqual(read_exactly(stream, 6).hex(), "000600011001")
        stream.sendall(benchmark)
        size = int.from_bytes(read_exactly(stream, 2), "big")
        rest = read_exactly(stream, size - 2)
        request = loaded[benchmark]
        answer = BenchmarkResponse.decode(rest[2:])
        assert isinstance(request, BenchmarkRequest)
        self.assertEqual(rest[:2].hex(), "1002")
        self.assertLessEqual(answer.server_recv_timestamp_ns, answer.server_send_timestamp_ns)
        answer.server_recv_timestamp_ns, answer.server_send_timestamp_ns = 5, 6
        self.assertEqual(Frame(0x1002, answer.encode()).encode(), requests[4])

    def test_vectors_that_come_byte_by_byte_and_all_at_once(self) -> None:
        request, response = (vector.frame for vector in vectors.load()[1:3])
        stream = self.raw()
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            stream.sendall(bytes([byte]))
        self.assertEqual(read_exactly(stream, len(response)), response)
        stream.sendall(request * 100)
        self.assertEqual(read_exactly(stream, len(response) * 100), response * 100)

    def test_a_violation_ends_the_session_after_what_came_before_it(self) -> None:
        request, response = (vector.frame for vector in vectors.load()[1:3])
        for begin in vectors.violations():
            stream = self.raw()
            stream.sendall(request + begin)
            received = read_to_end(stream)
            self.assertEqual(received[: len(response)], response)

    def test_echo(self) -> None:
        client = self.connect()
        text = "안녕하세요, hello"
        answer = client.request(EchoRequest(data=b"\x00\xff", data_str=text), EchoResponse)
        self.assertEqual((answer.data, answer.data_str), (b"\x00\xff", text))
        self.assertEqual(answer.result, ResultCode.OK)

    def test_ping(self) -> None:
        answer = self.connect().request(PingRequest(payload="here"), PingResponse)
        self.assertEqual((answer.payload, answer.result), ("here", ResultCode.OK))

    def test_raw_echo_of_the_largest_payload(self) -> None:
        client = self.connect()
        payload = bytes(range(256)) * 256
        payload = payload[:PAYLOAD_BYTES_MAX]
        client.send_bytes(RAW_ECHO, payload)
        self.assertEqual(client.receive(), Frame(RAW_ECHO, payload))

    def test_a_request_whose_answer_fits_no_frame_is_refused(self) -> None:
        client = self.connect()
        # A header and three bytes of tag and length; the answer has two more.
        request = EchoRequest(data=bytes(PAYLOAD_BYTES_MAX - 15))
        with self.assertRaises(RequestFailed) as refused:
            client.request(request, EchoResponse)
        self.assertEqual(refused.exception.response.error_code, 1)
        self.assertEqual(client.request(PingRequest(), PingResponse).result, ResultCode.OK)

    def test_answers_of_other_requests_are_kept(self) -> None:
        client = self.connect()
        for number in range(5):
            client.send_bytes(RAW_ECHO, bytes([number]))
        answer = client.request(EchoRequest(data_str="asked last"), EchoResponse)
        self.assertEqual(answer.data_str, "asked last")
        kept = [client.receive(timeout=0).payload for _ in range(5)]
        self.assertEqual(kept, [bytes([number]) for number in range(5)])
        with self.assertRaises(TimedOut):
            client.receive(timeout=0)

    def test_a_benchmark_run_is_counted(self) -> None:
        client = self.connect()
        start = client.request(BenchmarkStartRequest(test_name="t"), BenchmarkStartResponse)
        for sequence in range(10):
            request = BenchmarkRequest(client_timestamp_ns=3, sequence=sequence, payload=b"x")
            answer = client.request(request, BenchmarkResponse)
            self.assertEqual((answer.sequence, answer.client_timestamp_ns), (sequence, 3))
        end = BenchmarkEndRequest(session_id=start.session_id, total_sent=10)
        self.assertEqual(client.request(end, BenchmarkEndResponse).total_received, 10)

    def test_a_stream_is_answered_once(self) -> None:
        client = self.connect()
        for sequence in range(100):
            client.send(ThroughputData(sequence, bytes(1000), sequence == 99))
        result = ThroughputResult.decode(client.receive().payload)
        self.assertEqual((result.packets_received, result.bytes_received), (100, 100_000))

    def test_an_unknown_id_leaves_the_session_alive(self) -> None:
        client = self.connect()
        client.send_bytes(0x0FFF, b"nobody handles this")
        self.assertEqual(client.request(PingRequest(), PingResponse).result, ResultCode.OK)

    def test_a_payload_that_is_no_message_ends_the_session(self) -> None:
        client = self.connect()
        client.send_bytes(EchoRequest.packet_id, b"\xff")
        with self.assertRaises(Closed) as closed:
            client.receive()
        farewell = closed.exception.farewell
        assert farewell is not None
        self.assertEqual(farewell.code, 10)
        self.assertIn("0x0001", farewell.text)

    def test_a_wait_ends_in_time_and_the_connection_goes_on(self) -> None:
        client = self.connect()
        with self.assertRaises(TimedOut):
            client.receive(timeout=0.01)
        self.assertEqual(client.request(PingRequest(), PingResponse).result, ResultCode.OK)

    def test_one_thread_sends_while_another_receives(self) -> None:
        client = self.connect()
        sender = threading.Thread(
            target=lambda: [client.send_bytes(RAW_ECHO, bytes([n])) for n in range(200)]
        )
        sender.start()
        received = [client.receive().payload for _ in range(200)]
        sender.join()
        self.assertEqual(received, [bytes([number]) for number in range(200)])


class BadPeers(unittest.TestCase):
    """Peers that are made here, each with one fault."""

    def connect_to(self, serve: Callable[[socket.socket], None], **options: float) -> Client:
        """A client of a server that runs ``serve`` on its one connection and closes it."""
        listener = socket.create_server(("127.0.0.1", 0))
        threads: List[threading.Thread] = []

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=run)
        threads.append(thread)
        thread.start()
        address: Tuple[str, int] = listener.getsockname()
        client = Client(address, **options)  # type: ignore[arg-type]
        self.addCleanup(listener.close)
        self.addCleanup(thread.join)
        self.addCleanup(client.close)
        return client

    def test_an_end_inside_a_frame_is_told(self) -> None:
        client = self.connect_to(lambda peer: peer.sendall(bytes.fromhex("000a0001aa")))
        with self.assertRaisesRegex(Closed, "inside a frame"):
            client.receive()

    def test_an_end_between_frames_is_told_after_them(self) -> None:
        client = self.connect_to(lambda peer: peer.sendall(bytes.fromhex("00040003")))
        self.assertEqual(client.receive(), Frame(3, b""))
        for _ in range(2):
            with self.assertRaises(Closed):
                client.receive()

    def test_a_server_that_breaks_the_format_is_not_believed(self) -> None:
        client = self.connect_to(lambda peer: peer.sendall(bytes.fromhex("0003")))
        with self.assertRaises(FrameError):
            client.receive()

    def test_heartbeats_are_answered_with_their_first_bytes(self) -> None:
        ping = bytes.fromhex("000c8f020001020304050607")
        answers = []

        def serve(peer: socket.socket) -> None:
            peer.sendall(ping + Frame(0x8F02, bytes(range(100))).encode())
            answers.append(read_exactly(peer, 12))
            answers.append(read_exactly(peer, 4 + 64))
            # Ids of session layers that nobody knows are nothing to the caller.
            peer.sendall(bytes.fromhex("00048f0f" "00040003"))

        client = self.connect_to(serve)
        self.assertEqual(client.receive(), Frame(3, b""))
        self.assertEqual(answers[0].hex(), "000c8f030001020304050607")
        self.assertEqual(answers[1], Frame(0x8F03, bytes(range(64))).encode())

    def test_a_server_that_says_why_it_closes_is_understood(self) -> None:
        farewell = Frame(Close.packet_id, Close(1001, "kicked").encode()).encode()
        self.assertEqual(farewell.hex(), "000f8f0108e90712066b69636b6564")
        for said, code, text in ((farewell, 1001, "kicked"), (bytes.fromhex("00048f01"), 0, "")):
            client = self.connect_to(lambda peer: peer.sendall(said))
            with self.assertRaises(Closed) as closed:
                client.receive()
            self.assertEqual(closed.exception.farewell, Close(code, text))
            self.assertIn(f"(code {code})", str(closed.exception))

    def test_an_answer_to_another_request_is_not_taken(self) -> None:
        other = EchoResponse(header=Header(request_id=99), data_str="not yours").encode()

        def serve(peer: socket.socket) -> None:
            peer.recv(1000)
            peer.sendall(Frame(EchoResponse.packet_id, other).encode())
            peer.recv(1000)

        client = self.connect_to(serve)
        with self.assertRaises(TimedOut):
            client.request(EchoRequest(), EchoResponse, timeout=0.1)
        client.close()

    def test_a_peer_that_takes_nothing_does_not_hold_a_sender(self) -> None:
        done = threading.Event()
        self.addCleanup(done.set)
        client = self.connect_to(lambda _peer: done.wait() and None, timeout=0.2)
        with self.assertRaisesRegex(Closed, "can not send"):
            while True:
                client.send_bytes(RAW_ECHO, bytes(PAYLOAD_BYTES_MAX))
        done.set()

    def test_nobody_there_is_an_error_that_names_the_address(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        with self.assertRaisesRegex(ClientError, f"127.0.0.1 port {port}"):
            Client(("127.0.0.1", port))

    def test_an_address_that_is_none_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "host:port"):
            Client("127.0.0.1:port")


def read_exactly(stream: socket.socket, count: int) -> bytes:
    """So many bytes; fewer only when the peer closed."""
    received = b""
    while len(received) < count:
        part = stream.recv(count - len(received))
        if not part:
            break
        received += part
    return received


def read_to_end(stream: socket.socket) -> bytes:
    """Everything until the peer closes."""
    received = b""
    while part := stream.recv(65_536):
        received += part
    return received


if __name__ == "__main__":
    unittest.main()
