"""A terminal of the chat example: ``python3 clients/python/examples/chat.py [ADDRESS [NAME]]``.

Start ``cargo run --release --example chat`` and then this in two terminals. What one types, the
other reads. Ctrl-D leaves.
"""

import os
import sys
import threading
from pathlib import Path

# So that the example runs from a clone, without an installation.
sys.path.insert(0, str(Path(__file__).parents[1]))

from fastport import Client, ClientError, TimedOut
from fastport.messages import EchoRequest

#: The id that the chat example uses for a line.
SAY = 0x0100


def show(client: Client) -> None:
    """Prints what others say until the connection ends, and the program with it."""
    while True:
        try:
            frame = client.receive(timeout=3600)
        except TimedOut:
            continue
        except ClientError as error:
            print(f"-- {error}", flush=True)
            # The other thread waits for a line that would go nowhere.
            os._exit(1)
        if frame.packet_id == SAY:
            print(EchoRequest.decode(frame.payload).data_str, flush=True)


def main() -> int:
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:7001"
    name = sys.argv[2] if len(sys.argv) > 2 else "somebody"
    try:
        client = Client(address)
    except ClientError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"-- connected to {address} as {name}; Ctrl-D leaves", flush=True)
    # The receiver ends with the connection, so nobody waits for it when the text ends.
    threading.Thread(target=show, args=(client,), daemon=True).start()
    try:
        for line in sys.stdin:
            client.send(EchoRequest(data_str=f"{name}: {line.rstrip()}"), packet_id=SAY)
    except ClientError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
