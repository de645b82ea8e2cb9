"""The messages of FastPort's wire, as its .proto files have them.

Numbers and types are fixed: clients in other languages speak them. Packages of the .proto files
are left out of the names; no two messages share one.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, List, Optional

from .proto import (
    Message,
    boolean,
    data,
    double,
    enum,
    int32,
    int64,
    message,
    repeated,
    string,
    uint32,
    uint64,
)

#: The payload comes back as it is, without a codec on either side.
RAW_ECHO = 0x0002
#: The ids that applications choose from.
APPLICATION_IDS = range(0x0003, 0x1000)
#: The ids of the server's own; an application can not use them.
RESERVED_IDS = range(0x8000, 0x9000)


#: What session layers say to each other by themselves: see docs/session-control.md.
SESSION_CONTROL_IDS = range(0x8F00, 0x8F10)
SESSION_PING = 0x8F02
SESSION_PONG = 0x8F03
#: So much of a ping's payload comes back.
PONG_BYTES_MAX = 64


class ResultCode(IntEnum):
    """How a request went."""

    UNSPECIFIED = 0
    OK = 1
    ERROR = 2


class ServerMode(IntEnum):
    """Which engine a server runs on."""

    UNKNOWN = 0
    IOCP = 1
    RIO = 2
    IO_URING = 3
    POLL = 4


@dataclass
class Header(Message):
    """What requests and answers are matched by."""

    #: Chosen by the client, echoed in the answer.
    request_id: int = uint64(1)
    #: Milliseconds since the Unix epoch.
    timestamp_ms: int = uint64(2)


@dataclass
class Close(Message):
    """The last packet of a side that ends the session and says why."""

    packet_id: ClassVar[int] = 0x8F01
    #: Below 1000 the number of one of FastPort's own reasons, from 1000 the application's.
    code: int = uint32(1)
    #: The server's words; escape them before they are shown.
    text: str = string(2)


@dataclass
class PingRequest(Message):
    packet_id: ClassVar[int] = 0x1009
    header: Optional[Header] = message(1, Header)
    payload: str = string(2)


@dataclass
class PingResponse(Message):
    packet_id: ClassVar[int] = 0x100A
    header: Optional[Header] = message(1, Header)
    result: int = enum(2)
    payload: str = string(3)


@dataclass
class EchoRequest(Message):
    packet_id: ClassVar[int] = 0x0001
    header: Optional[Header] = message(1, Header)
    data: bytes = data(2)
    data_str: str = string(3)


@dataclass
class EchoResponse(Message):
    packet_id: ClassVar[int] = 0x0001
    header: Optional[Header] = message(1, Header)
    result: int = enum(2)
    data: bytes = data(3)
    data_str: str = string(4)


@dataclass
class ErrorResponse(Message):
    packet_id: ClassVar[int] = 0x100B
    header: Optional[Header] = message(1, Header)
    result: int = enum(2)
    message: str = string(3)
    error_code: int = int32(4)


@dataclass
class BenchmarkRequest(Message):
    packet_id: ClassVar[int] = 0x1001
    header: Optional[Header] = message(1, Header)
    client_timestamp_ns: int = uint64(2)
    sequence: int = uint32(3)
    payload: bytes = data(4)


@dataclass
class BenchmarkResponse(Message):
    packet_id: ClassVar[int] = 0x1002
    header: Optional[Header] = message(1, Header)
    result: int = enum(2)
    client_timestamp_ns: int = uint64(3)
    server_recv_timestamp_ns: int = uint64(4)
    server_send_timestamp_ns: int = uint64(5)
    sequence: int = uint32(6)
    payload: bytes = data(7)


@dataclass
class BenchmarkStartRequest(Message):
    packet_id: ClassVar[int] = 0x1003
    header: Optional[Header] = message(1, Header)
    test_name: str = string(2)
    iterations: int = uint32(3)
    payload_size: int = uint32(4)
    warmup_iterations: int = uint32(5)


@dataclass
class BenchmarkStartResponse(Message):
    packet_id: ClassVar[int] = 0x1004
    header: Optional[Header] = message(1, Header)
    result: int = enum(2)
    session_id: str = string(3)


@dataclass
class BenchmarkEndRequest(Message):
    packet_id: ClassVar[int] = 0x1005
    header: Optional[Header] = message(1, Header)
    session_id: str = string(2)
    total_sent: int = uint32(3)


@dataclass
class BenchmarkEndResponse(Message):
    packet_id: ClassVar[int] = 0x1006
    header: Optional[Header] = message(1, Header)
    result: int = enum(2)
    total_received: int = uint32(3)
    server_elapsed_ns: int = uint64(4)


@dataclass
class ThroughputData(Message):
    packet_id: ClassVar[int] = 0x1007
    sequence: int = uint32(1)
    payload: bytes = data(2)
    is_last: bool = boolean(3)


@dataclass
class ThroughputResult(Message):
    packet_id: ClassVar[int] = 0x1008
    header: Optional[Header] = message(1, Header)
    packets_received: int = uint32(2)
    bytes_received: int = uint64(3)
    elapsed_ns: int = uint64(4)
    packets_per_second: float = double(5)
    megabytes_per_second: float = double(6)


@dataclass
class AdminStatusSummaryRequest(Message):
    packet_id: ClassVar[int] = 0x8001
    header: Optional[Header] = message(1, Header)
    auth_token: str = string(2)


@dataclass
class AdminStatusSummaryResponse(Message):
    packet_id: ClassVar[int] = 0x8002
    header: Optional[Header] = message(1, Header)
    result: int = enum(2)
    server_uptime_ms: int = uint64(3)
    active_session_count: int = uint32(4)
    total_rx_bytes: int = uint64(5)
    total_tx_bytes: int = uint64(6)
    idle_disconnect_count: int = uint64(7)
    server_mode: int = enum(8)
    process_memory_bytes: int = uint64(9)
    process_cpu_percent: float = double(10)
    server_timestamp_ms: int = uint64(11)


@dataclass
class AdminSessionListRequest(Message):
    packet_id: ClassVar[int] = 0x8003
    header: Optional[Header] = message(1, Header)
    offset: int = uint32(2)
    limit: int = uint32(3)
    auth_token: str = string(4)


@dataclass
class AdminSessionInfo(Message):
    session_id: int = uint64(1)
    #: Milliseconds of a clock that only goes forward; 0 when nothing came.
    last_recv_ms: int = int64(2)
    rx_bytes: int = uint64(3)
    tx_bytes: int = uint64(4)


@dataclass
class AdminSessionListResponse(Message):
    packet_id: ClassVar[int] = 0x8004
    header: Optional[Header] = message(1, Header)
    result: int = enum(2)
    total: int = uint32(3)
    offset: int = uint32(4)
    sessions: List[AdminSessionInfo] = repeated(5, AdminSessionInfo)
