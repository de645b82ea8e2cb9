"""The part of proto3 that FastPort's wire uses: what a message's bytes are, without protoc.

A message is a dataclass whose fields say their number and type:

    @dataclass
    class Move(Message):
        packet_id: ClassVar[int] = 0x0101
        header: Optional[Header] = message(1, Header)
        x: float = double(2)
        name: str = string(3)

Fields are written in number order and left out when they have their default, so equal messages
have equal bytes. Unknown fields are skipped, as proto3 says. No I/O here.
"""

import struct
from dataclasses import dataclass, field, fields
from typing import Any, Callable, ClassVar, Dict, Iterator, List, Tuple, Type, TypeVar

VARINT, FIXED64, LENGTH, GROUP_BEGIN, GROUP_END, FIXED32 = range(6)
#: How deep groups may be nested in what is skipped; proto3 has none, so a peer has no reason to.
_GROUPS_MAX = 64

M = TypeVar("M", bound="Message")


class DecodeError(Exception):
    """The bytes are not the message's encoding."""


@dataclass(frozen=True)
class _Kind:
    """How values of one type are written and read, without their tag."""

    name: str
    wire_type: int
    write: Callable[[Any], bytes]
    read: Callable[[Any], Any]
    # The message's class when the type is one; `repeated` when there may be several.
    message: Any = None
    repeated: bool = False


class Message:
    """Base of all messages. Subclasses are dataclasses; see the module's text."""

    #: The id of the message's frames, or None for a part of other messages.
    packet_id: ClassVar[Any] = None

    def encode(self) -> bytes:
        """The message's bytes.

        Raises ValueError when a number is out of its type's range, TypeError for a wrong type.
        """
        parts: List[bytes] = []
        for number, name, kind in self._layout():
            value = getattr(self, name)
            values = value if kind.repeated else [value]
            for item in values:
                if not kind.repeated and _is_default(item, kind):
                    continue
                try:
                    content = kind.write(item)
                except (TypeError, ValueError, AttributeError, struct.error) as error:
                    what = f"{type(self).__name__}.{name}: {error}"
                    raise (ValueError if isinstance(error, ValueError) else TypeError)(what)
                parts.append(_varint(number << 3 | kind.wire_type))
                if kind.wire_type == LENGTH:
                    parts.append(_varint(len(content)))
                parts.append(content)
        return b"".join(parts)

    @classmethod
    def decode(cls: Type[M], data: bytes) -> M:
        """The message that ``data`` encodes.

        Raises DecodeError when it encodes none: cut off, a wrong type, text that is not UTF-8.
        """
        read = cls()
        read._merge(data)
        return read

    def _merge(self, data: bytes) -> None:
        known = {number: (name, kind) for number, name, kind in self._layout()}
        for number, wire_type, value in _fields(data):
            if number not in known:
                continue
            name, kind = known[number]
            if wire_type != kind.wire_type:
                raise DecodeError(
                    f"{type(self).__name__}.{name}: wire type {wire_type} is not a {kind.name}"
                )
            if kind.repeated:
                getattr(self, name).append(kind.read(value))
            elif kind.message is not None and getattr(self, name) is not None:
                # A message that comes in several parts is one, says proto3.
                getattr(self, name)._merge(value)
            else:
                setattr(self, name, kind.read(value))

    @classmethod
    def _layout(cls) -> List[Tuple[int, str, _Kind]]:
        """The fields in number order; made once for each class."""
        layout = cls.__dict__.get("_layout_made")
        if layout is None:
            layout = sorted(
                (item.metadata["number"], item.name, item.metadata["kind"])
                for item in fields(cls)  # type: ignore[arg-type]
            )
            setattr(cls, "_layout_made", layout)
        return layout


def uint32(number: int) -> Any:
    """A field of an unsigned number of 32 bits."""
    return _scalar(number, _UINT32, 0)


def uint64(number: int) -> Any:
    """A field of an unsigned number of 64 bits."""
    return _scalar(number, _UINT64, 0)


def int32(number: int) -> Any:
    """A field of a signed number of 32 bits."""
    return _scalar(number, _INT32, 0)


def int64(number: int) -> Any:
    """A field of a signed number of 64 bits."""
    return _scalar(number, _INT64, 0)


def enum(number: int) -> Any:
    """A field of an enumeration. Numbers without a name are kept, as proto3 says."""
    return _scalar(number, _ENUM, 0)


def boolean(number: int) -> Any:
    """A field that is True or False."""
    return _scalar(number, _BOOL, False)


def double(number: int) -> Any:
    """A field of a floating-point number of 64 bits."""
    return _scalar(number, _DOUBLE, 0.0)


def string(number: int) -> Any:
    """A field of text."""
    return _scalar(number, _STRING, "")


def data(number: int) -> Any:
    """A field of bytes."""
    return _scalar(number, _BYTES, b"")


def message(number: int, of: Type[Message]) -> Any:
    """A field of another message; None when there is none."""
    return _scalar(number, _message_kind(of, False), None)


def repeated(number: int, of: Type[Message]) -> Any:
    """A field of any number of messages."""
    kind = _message_kind(of, True)
    return field(default_factory=list, metadata={"number": number, "kind": kind})


def _scalar(number: int, kind: _Kind, default: Any) -> Any:
    return field(default=default, metadata={"number": number, "kind": kind})


def _is_default(value: Any, kind: _Kind) -> bool:
    if kind.message is not None:
        return value is None
    if kind is _DOUBLE:
        # Minus zero is not the default: its bits differ.
        return struct.pack("<d", value) == bytes(8) if isinstance(value, (int, float)) else False
    return not value


def _varint(number: int) -> bytes:
    """A number from 0 to 2^64 - 1, seven bits a byte, least first."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _read_varint(encoded: bytes, at: int) -> Tuple[int, int]:
    """The number at ``at``, and where the next thing begins."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(encoded):
            raise DecodeError("cut off inside a number")
        byte = encoded[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >= 1 << 64:
                break
            return number, at
    raise DecodeError("a number of more than 64 bits")


def _fields(encoded: bytes) -> Iterator[Tuple[int, int, Any]]:
    """Number, wire type and content of each field, in the order in which they come."""
    at = 0
    groups: List[int] = []
    while at < len(encoded):
        tag, at = _read_varint(encoded, at)
        number, wire_type = tag >> 3, tag & 7
        if not 1 <= number <= 0x1FFF_FFFF:
            raise DecodeError(f"field number {number}")
        content: Any = None
        if wire_type == VARINT:
            content, at = _read_varint(encoded, at)
        elif wire_type in (FIXED64, FIXED32):
            content, at = _take(encoded, at, 8 if wire_type == FIXED64 else 4)
        elif wire_type == LENGTH:
            length, at = _read_varint(encoded, at)
            content, at = _take(encoded, at, length)
        elif wire_type == GROUP_BEGIN:
            groups.append(number)
            if len(groups) > _GROUPS_MAX:
                raise DecodeError("groups nested too deep")
            continue
        elif wire_type == GROUP_END:
            if not groups or groups.pop() != number:
                raise DecodeError("a group ends that was not begun")
            continue
        else:
            raise DecodeError(f"wire type {wire_type}")
        if not groups:
            yield number, wire_type, content
    if groups:
        raise DecodeError("cut off inside a group")


def _take(encoded: bytes, at: int, length: int) -> Tuple[bytes, int]:
    if length > len(encoded) - at:
        raise DecodeError("cut off inside a field")
    return encoded[at : at + length], at + length


def _whole(value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    if not least <= value <= most:
        raise ValueError(f"{value} is not within {least} to {most}")
    return int(value)


def _unsigned(bits: int) -> Callable[[Any], bytes]:
    return lambda value: _varint(_whole(value, 0, (1 << bits) - 1))


def _signed(bits: int) -> Callable[[Any], bytes]:
    # Negative numbers are written as 64 bits, whatever the type.
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    return lambda value: _varint(_whole(value, low, high) & (1 << 64) - 1)


def _read_signed(bits: int) -> Callable[[int], int]:
    def read(value: int) -> int:
        value &= (1 << bits) - 1
        return value - (1 << bits) if value >> bits - 1 else value

    return read


def _read_text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError(f"text that is not UTF-8: {error.reason}") from None


def _write_bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{type(value).__name__} is not bytes")
    return bytes(value)


def _write_bool(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is not True or False")
    return _varint(int(value))


def _message_kind(of: Type[Message], repeated: bool) -> _Kind:
    key = (of, repeated)
    if key not in _MESSAGE_KINDS:
        _MESSAGE_KINDS[key] = _Kind(
            of.__name__, LENGTH, lambda value: value.encode(), of.decode, of, repeated
        )
    return _MESSAGE_KINDS[key]


_MESSAGE_KINDS: Dict[Tuple[Any, bool], _Kind] = {}
_UINT32 = _Kind("uint32", VARINT, _unsigned(32), lambda value: value & 0xFFFF_FFFF)
_UINT64 = _Kind("uint64", VARINT, _unsigned(64), lambda value: value)
_INT32 = _Kind("int32", VARINT, _signed(32), _read_signed(32))
_INT64 = _Kind("int64", VARINT, _signed(64), _read_signed(64))
_ENUM = _Kind("enum", VARINT, _signed(32), _read_signed(32))
_BOOL = _Kind("bool", VARINT, _write_bool, lambda value: value != 0)
_DOUBLE = _Kind(
    "double",
    FIXED64,
    lambda value: struct.pack("<d", value),
    lambda value: struct.unpack("<d", value)[0],
)
_STRING = _Kind("string", LENGTH, lambda value: value.encode("utf-8"), _read_text)
_BYTES = _Kind("bytes", LENGTH, _write_bytes, lambda value: value)
