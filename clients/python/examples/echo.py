"""Asks a server for an echo: ``python3 clients/python/examples/echo.py [ADDRESS [TEXT]]``."""

import sys
from pathlib import Path

# So that the example runs from a clone, without an installation.
sys.path.insert(0, str(Path(__file__).parents[1]))

from fastport import Client, ClientError
from fastport.messages import EchoRequest, EchoResponse


def main() -> int:
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:6628"
    text = sys.argv[2] if len(sys.argv) > 2 else "hello"
    try:
        with Client(address) as client:
            answer = client.request(EchoRequest(data_str=text), EchoResponse)
    except ClientError as error:
        print(error, file=sys.stderr)
        return 1
    print(answer.data_str)
    return 0


if __name__ == "__main__":
    sys.exit(main())
