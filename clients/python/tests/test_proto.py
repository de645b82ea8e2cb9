"""The codec: the wire's vectors, the ends of each type, and bytes that are no message."""

import random
import unittest
from dataclasses import dataclass
from typing import ClassVar, List, Optional

from fastport import DecodeError, Frame, Message, messages
from fastport.proto import int32, int64, message, repeated, string, uint32

from . import vectors


class Vectors(unittest.TestCase):
    def test_each_is_written_exactly_and_read_back(self) -> None:
        loaded = vectors.load()
        self.assertEqual(len(loaded), 7)
        for vector in loaded:
            name = type(vector.message).__name__
            packet_id = type(vector.message).packet_id
            written = Frame(packet_id, vector.message.encode()).encode()
            self.assertEqual(written.hex(), vector.frame.hex(), name)
            self.assertEqual(type(vector.message).decode(vector.frame[4:]), vector.message, name)

    def test_no_message_is_read_from_a_part_that_ends_inside_a_field(self) -> None:
        for vector in vectors.load():
            payload = vector.frame[4:]
            whole = 0
            for end in range(len(payload)):
                try:
                    part = type(vector.message).decode(payload[:end])
                except DecodeError:
                    continue
                # What decodes ends between two fields: it is written as it was read.
                self.assertEqual(part.encode(), payload[:end])
                whole += 1
            self.assertLess(whole, 12)


@dataclass
class Signed(Message):
    small: int = int32(1)
    large: int = int64(2)


@dataclass
class Short(Message):
    number: int = uint32(1)
    text: str = string(2)


class Types(unittest.TestCase):
    def test_ends_of_the_ranges_come_back(self) -> None:
        for small in (-(1 << 31), -1, 1, (1 << 31) - 1):
            for large in (-(1 << 63), -1, 1, (1 << 63) - 1):
                sent = Signed(small, large)
                self.assertEqual(Signed.decode(sent.encode()), sent)
        # Minus one takes ten bytes, says protobuf, as a number of 32 bits too.
        self.assertEqual(Signed(small=-1).encode().hex(), "08" + "ff" * 9 + "01")
        self.assertEqual(Short((1 << 32) - 1).encode().hex(), "08ffffffff0f")

    def test_what_is_out_of_range_or_of_another_type_is_refused(self) -> None:
        for wrong in (Short(-1), Short(1 << 32), Signed(1 << 31), Short(text="\ud800")):
            with self.assertRaises(ValueError):
                wrong.encode()
        for wrong in (
            Short("1"),  # type: ignore[arg-type]
            Short(True),
            Short(text=b"x"),  # type: ignore[arg-type]
            messages.EchoRequest(data="x"),  # type: ignore[arg-type]
            messages.ThroughputData(is_last=1),  # type: ignore[arg-type]
            messages.ThroughputResult(packets_per_second="1"),  # type: ignore[arg-type]
        ):
            with self.assertRaises(TypeError):
                wrong.encode()

    def test_repeated_messages_keep_their_order(self) -> None:
        sessions = [messages.AdminSessionInfo(number, -number) for number in range(300)]
        page = messages.AdminSessionListResponse(total=300, sessions=sessions)
        self.assertEqual(messages.AdminSessionListResponse.decode(page.encode()), page)

    def test_unknown_fields_are_skipped_of_every_wire_type(self) -> None:
        unknown = "5801" "59" + "00" * 8 + "5a03616263" "5d" + "00" * 4 + "5b08015c"
        for at_end in (True, False):
            parts = [b"\x08\x07", bytes.fromhex(unknown)]
            joined = b"".join(parts if at_end else reversed(parts))
            self.assertEqual(Short.decode(joined), Short(7))

    def test_the_last_of_several_wins_and_parts_of_a_message_are_one(self) -> None:
        self.assertEqual(Short.decode(bytes.fromhex("08010802")), Short(2))
        two = bytes.fromhex("0a020807" "0a021009")
        self.assertEqual(messages.EchoRequest.decode(two).header, messages.Header(7, 9))

    def test_what_is_no_message_is_an_error(self) -> None:
        for wrong in (
            "08",  # a number that does not come
            "08" + "ff" * 10,  # more than 64 bits
            "08" + "ff" * 9 + "02",  # 65 bits
            "1203ff",  # text cut off
            "1201ff",  # not UTF-8
            "0a00",  # a length where a number belongs
            "00",  # field 0
            "0f",  # wire type 7
            "5b",  # a group that does not end
            "5c",  # a group that was not begun
            "5b" * 100,  # groups in groups
        ):
            with self.assertRaises(DecodeError, msg=wrong):
                Short.decode(bytes.fromhex(wrong))

    def test_random_bytes_are_a_message_or_an_error(self) -> None:
        source = random.Random(6628)
        kinds = [type(vector.message) for vector in vectors.load()]
        for _ in range(20_000):
            payload = source.randbytes(source.randrange(40))
            for kind in kinds:
                try:
                    read = kind.decode(payload)
                except DecodeError:
                    continue
                self.assertEqual(kind.decode(read.encode()), read)


class OwnMessages(unittest.TestCase):
    def test_an_application_declares_its_own(self) -> None:
        @dataclass
        class Move(Message):
            packet_id: ClassVar[int] = 0x0101
            header: Optional[messages.Header] = message(1, messages.Header)
            names: List[Short] = repeated(2, Short)

        move = Move(names=[Short(1, "one"), Short(2, "two")])
        self.assertEqual(Move.decode(move.encode()), move)
        self.assertIn(Move.packet_id, messages.APPLICATION_IDS)
