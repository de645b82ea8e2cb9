"""The wire's vectors, read from the file that the server's own tests hold."""

import json
from pathlib import Path
from typing import Any, List, NamedTuple, Type

from fastport import Message, messages

_FILE = Path(__file__).parents[3] / "crates" / "fastport-protocol" / "vectors.json"


class Vector(NamedTuple):
    """A message and the frame that it is."""

    message: Message
    frame: bytes


def load() -> List[Vector]:
    """Every frame of the file with its message."""
    return [
        Vector(
            _message(getattr(messages, entry["message"]), entry["fields"]),
            bytes.fromhex(entry["frame"]),
        )
        for entry in _read()["frames"]
    ]


def violations() -> List[bytes]:
    """Beginnings of frames that are none."""
    return [bytes.fromhex(text) for text in _read()["violations"]]


def _read() -> Any:
    return json.loads(_FILE.read_text(encoding="utf-8"))


def _message(kind: Type[Message], values: Any) -> Message:
    """Builds a message; numbers and texts are as JSON has them, bytes in hexadecimal."""
    made = kind()
    for name, value in values.items():
        default = getattr(made, name)
        if name == "header":
            value = messages.Header(**value)
        elif isinstance(default, bytes):
            value = bytes.fromhex(value)
        setattr(made, name, value)
    return made
