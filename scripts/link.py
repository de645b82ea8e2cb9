#!/usr/bin/env python3
"""A link between two network namespaces in user space, which delays, reorders and loses packets.

Makes a TUN device in each namespace and carries packets between them. Each packet is held for
--delay-ms, give or take --jitter-ms, so that packets overtake each other; --loss of them, in
percent, are dropped. Needs root. Runs until it is killed; the devices go with it.

Linux only (TUNSETIFF, tuntap.rst of the kernel's documentation).
"""

import argparse
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import time

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
PACKET_BYTES_MAX = 65536


def open_end(namespace, name, address):
    """A TUN device with an address, in a namespace; the descriptor stays with this process."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    inside = ["ip", "-n", namespace]
    for command in (
        ["ip", "link", "set", name, "netns", namespace],
        inside + ["address", "add", address, "dev", name],
        inside + ["link", "set", name, "up"],
    ):
        subprocess.run(command, check=True)
    return end


def carry(ends, delay, jitter, loss):
    """Carries packets between the two ends for ever."""
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    waiting = []
    number = 0
    while True:
        now = time.monotonic()
        timeout = max(0, waiting[0][0] - now) if waiting else None
        readable, _, _ = select.select(ends, [], [], timeout)
        now = time.monotonic()
        for end in readable:
            packet = os.read(end, PACKET_BYTES_MAX)
            if random.random() * 100 < loss:
                continue
            number += 1
            due = now + delay + random.uniform(-jitter, jitter)
            heapq.heappush(waiting, (due, number, other[end], packet))
        while waiting and waiting[0][0] <= now:
            _, _, end, packet = heapq.heappop(waiting)
            try:
                os.write(end, packet)
            except BlockingIOError:
                # A full device drops packets, as real ones do.
                pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("namespaces", nargs=2)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--jitter-ms", type=float, default=0)
    parser.add_argument("--loss", type=float, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    process = os.getpid()
    ends = [
        open_end(namespace, f"fp{side}-{process}", f"10.66.0.{side}/24")
        for side, namespace in enumerate(arguments.namespaces, start=1)
    ]
    print("linked", flush=True)
    carry(ends, arguments.delay_ms / 1000, arguments.jitter_ms / 1000, arguments.loss)


if __name__ == "__main__":
    main()
