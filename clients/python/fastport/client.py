"""A client that blocks: connect, send, receive, and requests that wait for their answer.

One thread may send while another receives; ``request`` does both, so while it is used no other
thread may receive. Every wait has a time limit.
"""

import selectors
import socket
import threading
import time
from collections import deque
from dataclasses import replace
from typing import Deque, List, Optional, Tuple, Type, TypeVar, Union

from .frame import FRAME_BYTES_MAX, Frame, FrameError, Framer
from .messages import (
    PONG_BYTES_MAX,
    SESSION_CONTROL_IDS,
    SESSION_PING,
    SESSION_PONG,
    Close,
    ErrorResponse,
    Header,
)
from .proto import DecodeError, Message

DEFAULT_PORT = 6628
_RECEIVE_BYTES = 65_536
#: Frames that came while an answer was waited for are kept for receive(), at most so many.
_KEPT_FRAMES_MAX = 10_000

M = TypeVar("M", bound=Message)


class ClientError(Exception):
    """Base of what a client raises."""


class Closed(ClientError):
    """The connection has ended.

    ``farewell`` is what the server said when it ended the session, or None when it said nothing.
    """

    def __init__(self, what: str, farewell: Optional[Close] = None) -> None:
        if farewell is not None:
            what = f"{what}: {farewell.text!r} (code {farewell.code})"
        super().__init__(what)
        self.farewell = farewell


class TimedOut(ClientError, TimeoutError):
    """Nothing came within the time limit; the connection is as it was."""


class RequestFailed(ClientError):
    """The server answered that it can not serve the request."""

    def __init__(self, response: ErrorResponse) -> None:
        super().__init__(f"{response.message} (code {response.error_code})")
        self.response = response


class Client:
    """A connection to a FastPort server.

        with Client("127.0.0.1:6628") as client:
            answer = client.request(EchoRequest(data_str="hello"), EchoResponse)
    """

    def __init__(
        self,
        address: Union[str, Tuple[str, int]],
        timeout: float = 5.0,
        frame_bytes_max: int = FRAME_BYTES_MAX,
    ) -> None:
        """Connects to ``address``, ``"host:port"`` or ``(host, port)``.

        ``timeout`` in seconds is the limit for connecting, and the default for every other wait.
        Raises ClientError when no connection can be made within it.
        """
        self._timeout = timeout
        self._framer = Framer(frame_bytes_max)
        self._kept: Deque[Frame] = deque()
        self._next_request = 1
        self._farewell: Optional[Close] = None
        # Whoever receives answers the server's heartbeats, beside another thread that sends.
        self._sending = threading.Lock()
        host_and_port = _parse(address) if isinstance(address, str) else address
        try:
            self._socket = socket.create_connection(host_and_port, timeout)
        except OSError as error:
            host, port = host_and_port
            raise ClientError(f"can not connect to {host} port {port}: {error}") from error
        # A request is small and waits for its answer; Nagle would hold it back.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # As long as connecting may take, sending may: the socket keeps its limit.
        self._readable = selectors.DefaultSelector()
        self._readable.register(self._socket, selectors.EVENT_READ)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; what was sent still arrives. May be called twice."""
        self._readable.close()
        self._socket.close()

    def fileno(self) -> int:
        """The socket's descriptor, to wait for it with ``selectors``; -1 when closed.

        Wait only after ``receive(timeout=0)`` found nothing: what has come may be here already.
        """
        return self._socket.fileno()

    def send(self, message: Message, packet_id: Optional[int] = None) -> None:
        """Sends a message, under its own id unless ``packet_id`` gives one.

        Raises ValueError when it does not fit a frame, Closed when the connection has ended or
        the server took nothing for the client's time limit.
        """
        number = message.packet_id if packet_id is None else packet_id
        if number is None:
            raise ValueError(f"{type(message).__name__} has no id of its own: give packet_id")
        self.send_bytes(number, message.encode())

    def send_bytes(self, packet_id: int, payload: bytes) -> None:
        """Sends a frame with this payload. Raises as ``send`` does."""
        self._send_all(Frame(packet_id, payload).encode())

    def receive(self, timeout: Optional[float] = None) -> Frame:
        """The next frame that is not the answer to a request.

        ``timeout`` in seconds; 0 looks without waiting, None is the client's limit. Raises
        TimedOut, Closed, or FrameError when the server broke the frame format.
        """
        if self._kept:
            return self._kept.popleft()
        return self._receive(self._deadline(timeout))

    def request(
        self, message: Message, answer: Type[M], timeout: Optional[float] = None
    ) -> M:
        """Sends ``message`` with a header of its own and waits for the answer with that header.

        Frames that come meanwhile are kept for ``receive``. Raises RequestFailed when the server
        refuses, TimedOut, Closed, FrameError, or DecodeError when the answer is none.
        """
        request_id = self._next_request
        self._next_request += 1
        timestamp_ms = time.time_ns() // 1_000_000
        self.send(replace(message, header=Header(request_id, timestamp_ms)))  # type: ignore
        deadline = self._deadline(timeout)
        while True:
            frame = self._receive(deadline)
            found = _answer(frame, answer, request_id)
            if found is not None:
                return found
            self._keep(frame)

    def _keep(self, frame: Frame) -> None:
        if len(self._kept) >= _KEPT_FRAMES_MAX:
            self.close()
            raise ClientError(
                f"{_KEPT_FRAMES_MAX} frames came while an answer was waited for; call receive()"
            )
        self._kept.append(frame)

    def _send_all(self, frame: bytes) -> None:
        try:
            with self._sending:
                self._socket.sendall(frame)
        except OSError as error:
            # A part of the frame may be out, so that nothing can follow it.
            self.close()
            raise Closed(f"can not send: {error}") from error

    def _receive(self, deadline: float) -> Frame:
        while True:
            frame = self._framer.next()
            if frame is None:
                self._read(deadline)
            elif frame.packet_id in SESSION_CONTROL_IDS:
                self._on_control(frame)
            else:
                return frame

    def _on_control(self, frame: Frame) -> None:
        """What the server's session layer says; no caller sees it, and unknown ids are dropped."""
        if frame.packet_id == SESSION_PING:
            self.send_bytes(SESSION_PONG, frame.payload[:PONG_BYTES_MAX])
        elif frame.packet_id == Close.packet_id:
            self._farewell = Close.decode(frame.payload)

    def _read(self, deadline: float) -> None:
        """Reads once; a wait of no time still takes what is there."""
        left = max(deadline - time.monotonic(), 0.0)
        try:
            if self._socket.fileno() < 0:
                raise OSError("it was closed here")
            # Not the socket's own limit: another thread may be sending within that one.
            if not self._readable.select(left):
                raise TimedOut("nothing came within the time limit")
            received = self._socket.recv(_RECEIVE_BYTES)
        except TimedOut:
            raise
        except (OSError, ValueError) as error:
            # A ValueError tells that another thread has closed it meanwhile.
            self.close()
            raise Closed(f"the connection failed: {error}", self._farewell) from error
        if not received:
            inside = self._framer.is_inside_a_frame
            self.close()
            where = " inside a frame" if inside else ""
            raise Closed(f"the server closed the connection{where}", self._farewell)
        self._framer.feed(received)

    def _deadline(self, timeout: Optional[float]) -> float:
        return time.monotonic() + (self._timeout if timeout is None else timeout)


def _answer(frame: Frame, answer: Type[M], request_id: int) -> Optional[M]:
    """The answer to the request, if the frame is it."""
    if frame.packet_id == ErrorResponse.packet_id and answer is not ErrorResponse:
        error = ErrorResponse.decode(frame.payload)
        if _has_id(error, request_id):
            raise RequestFailed(error)
    if frame.packet_id == answer.packet_id:
        decoded = answer.decode(frame.payload)
        if _has_id(decoded, request_id):
            return decoded
    return None


def _has_id(message: Message, request_id: int) -> bool:
    header = getattr(message, "header", None)
    return header is not None and header.request_id == request_id


def _parse(address: str) -> Tuple[str, int]:
    """Host and port of ``host``, ``host:port`` or ``[v6]:port``."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return address, DEFAULT_PORT
    try:
        number = int(port)
    except ValueError:
        raise ValueError(f"{address!r} is not host:port") from None
    return host.strip("[]"), number


__all__: List[str] = [
    "Client",
    "ClientError",
    "Closed",
    "DecodeError",
    "FrameError",
    "RequestFailed",
    "TimedOut",
]
