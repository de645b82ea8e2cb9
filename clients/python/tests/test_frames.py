"""Frames, however the stream is cut."""

import unittest

from fastport import FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX, Frame, FrameError, Framer

from . import vectors


class Frames(unittest.TestCase):
    def test_a_stream_may_be_cut_at_every_byte(self) -> None:
        frames = [vector.frame for vector in vectors.load()]
        stream = b"".join(frames)
        for step in (1, 2, 3, 5, len(stream)):
            framer, got = Framer(), []
            for begin in range(0, len(stream), step):
                framer.feed(stream[begin : begin + step])
                while (frame := framer.next()) is not None:
                    got.append(frame.encode())
            self.assertEqual(got, frames, f"cut into {step} bytes")
            self.assertFalse(framer.is_inside_a_frame)

    def test_a_violation_is_told_after_two_bytes_and_after_the_frames_before_it(self) -> None:
        for begin in vectors.violations():
            framer = Framer()
            framer.feed(bytes.fromhex("00040001") + begin)
            self.assertEqual(framer.next(), Frame(1, b""))
            for _ in range(2):
                with self.assertRaises(FrameError):
                    framer.next()

    def test_the_size_of_a_frame_has_both_ends(self) -> None:
        largest = Frame(2, bytes(PAYLOAD_BYTES_MAX))
        framer = Framer()
        framer.feed(largest.encode())
        self.assertEqual(framer.next(), largest)
        with self.assertRaises(ValueError):
            Frame(2, bytes(PAYLOAD_BYTES_MAX + 1)).encode()
        with self.assertRaises(ValueError):
            Frame(0x1_0000, b"").encode()
        for limit in (3, FRAME_BYTES_MAX + 1):
            with self.assertRaises(ValueError):
                Framer(limit)

    def test_a_smaller_limit_is_told_before_the_frame_has_come(self) -> None:
        framer = Framer(frame_bytes_max=100)
        framer.feed(Frame(3, bytes(96)).encode())
        self.assertIsNotNone(framer.next())
        framer.feed((101).to_bytes(2, "big"))
        with self.assertRaises(FrameError):
            framer.next()

    def test_one_byte_of_a_frame_is_a_frame_that_was_begun(self) -> None:
        framer = Framer()
        framer.feed(b"\x00")
        self.assertIsNone(framer.next())
        self.assertTrue(framer.is_inside_a_frame)
