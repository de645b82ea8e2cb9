"""A client for FastPort servers that needs nothing but Python's standard library.

``Client`` connects, sends messages and waits for answers. ``messages`` has the messages of the
wire, ``proto`` encodes them, ``frame`` cuts the byte stream into frames. Each can be used alone:
``frame`` and ``proto`` do no I/O.
"""

from .client import (
    Client,
    ClientError,
    Closed,
    RequestFailed,
    TimedOut,
)
from .frame import FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX, Frame, Framer, FrameError
from .proto import DecodeError, Message

__all__ = [
    "Client",
    "ClientError",
    "Closed",
    "DecodeError",
    "FRAME_BYTES_MAX",
    "Frame",
    "FrameError",
    "Framer",
    "Message",
    "PAYLOAD_BYTES_MAX",
    "RequestFailed",
    "TimedOut",
]
