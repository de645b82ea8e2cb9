"""Frames: a size and a packet id, two bytes each and big-endian, then the payload.

The size counts the whole frame, so it is at least 4. No I/O here: bytes come in by ``feed`` and
frames come out by ``next``, however the stream was cut.
"""

from typing import NamedTuple, Optional

HEADER_BYTES = 4
#: The largest frame there is, its header included.
FRAME_BYTES_MAX = 65_535
#: The largest payload that fits a frame.
PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - HEADER_BYTES


class FrameError(Exception):
    """The peer broke the frame format; nothing after it can be read."""


class Frame(NamedTuple):
    """A whole frame."""

    packet_id: int
    payload: bytes

    def encode(self) -> bytes:
        """The frame's bytes.

        Raises ValueError when the payload or the id is too large for a frame.
        """
        size = HEADER_BYTES + len(self.payload)
        if size > FRAME_BYTES_MAX:
            raise ValueError(
                f"a payload of {len(self.payload)} bytes; a frame takes {PAYLOAD_BYTES_MAX}"
            )
        if not 0 <= self.packet_id <= 0xFFFF:
            raise ValueError(f"packet id {self.packet_id}; it is 0 to 65535")
        return size.to_bytes(2, "big") + self.packet_id.to_bytes(2, "big") + self.payload


class Framer:
    """Cuts a stream of bytes into frames."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        """Frames larger than ``frame_bytes_max`` (4 to 65,535) are a violation."""
        if not HEADER_BYTES <= frame_bytes_max <= FRAME_BYTES_MAX:
            raise ValueError(f"frame_bytes_max is {HEADER_BYTES} to {FRAME_BYTES_MAX}")
        self._frame_bytes_max = frame_bytes_max
        self._bytes = bytearray()
        # Where the next frame begins; what is before it is dropped by the next feed().
        self._begin = 0

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the stream."""
        if self._begin:
            del self._bytes[: self._begin]
            self._begin = 0
        self._bytes += data

    def next(self) -> Optional[Frame]:
        """The next whole frame, or None when more bytes are needed.

        Raises FrameError as soon as the size is known to be wrong, even if nothing else of the
        frame has come; and again whenever it is asked after that.
        """
        have = len(self._bytes) - self._begin
        if have < 2:
            return None
        begin = self._begin
        size = int.from_bytes(self._bytes[begin : begin + 2], "big")
        if size < HEADER_BYTES:
            raise FrameError(f"a frame of {size} bytes; the least is {HEADER_BYTES}")
        if size > self._frame_bytes_max:
            raise FrameError(f"a frame of {size} bytes; the most here is {self._frame_bytes_max}")
        if have < size:
            return None
        self._begin = begin + size
        packet_id = int.from_bytes(self._bytes[begin + 2 : begin + HEADER_BYTES], "big")
        return Frame(packet_id, bytes(self._bytes[begin + HEADER_BYTES : self._begin]))

    @property
    def is_inside_a_frame(self) -> bool:
        """Whether a frame was begun that is not finished."""
        return len(self._bytes) > self._begin
