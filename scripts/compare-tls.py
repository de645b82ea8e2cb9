#!/usr/bin/env python3
"""What TLS costs: the same release build with it and without, side by side.

    scripts/compare-tls.py [--rounds N] [--duration 2s] [--engine auto|poll] [--only WORKLOAD]

Two servers on core 0, one with TLS and one without, and `fastport bench` on core 1; of each round
one run is against each, in an order that turns. Ratios are taken within a round, then their median.
The server's processor time is the system's, between the begin and the end of what is measured.
Needs `cargo build --release`, openssl for a certificate, and two cores; Linux alone.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PROJECT = pathlib.Path(__file__).resolve().parent.parent
NAME = "game.example"
BASE = ["--raw", "--warmup", "10"]
WORKLOADS = {
    "1,000 sessions, 64 B": ["--sessions", "1000", "--payload", "64"],
    "100 sessions, 64 B, 64 in flight": ["--sessions", "100", "--payload", "64", "--inflight", "64"],
    "100 sessions, 4 to 16 KiB": ["--sessions", "100", "--payload-min", "4096", "--payload-max", "16384"],
    "connect, echo, close": ["--scenario", "churn", "--sessions", "32", "--payload", "64"],
    "the same, TLS resumed": ["--scenario", "churn", "--sessions", "32", "--payload", "64"],
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--duration", default="2s")
    arguments.add_argument("--engine", default="auto")
    arguments.add_argument("--only", default="", help="workloads whose name has this in it")
    arguments.add_argument("--program", default=PROJECT / "target/release/fastport")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = make_certificate(pathlib.Path(folder))
        files = ["--tls-cert", certificate, "--tls-key", key]
        with Server(options, []) as plain, Server(options, files) as secured:
            print(f"{options.rounds} rounds of {options.duration}, engine {plain.engine}")
            print(
                "| workload | plain /s | TLS /s | ratio | plain p99 us | TLS p99 us "
                "| plain CPU us | TLS CPU us | ratio |"
            )
            print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
            for name, load in WORKLOADS.items():
                if options.only in name:
                    compare(options, name, load, plain, secured, certificate)


def compare(options, name, load, plain, secured, certificate):
    trust = ["--tls-ca", certificate, "--tls-name", NAME]
    if "resumed" in name:
        trust.append("--tls-resume")
    sides = [(plain, []), (secured, trust)]
    rounds = []
    for number in range(options.rounds):
        order = [0, 1] if number % 2 == 0 else [1, 0]
        seen = {side: measure(options, load + sides[side][1], sides[side][0]) for side in order}
        rounds.append((seen[0], seen[1]))

    def middle(of):
        return statistics.median(of(plain, tls) for plain, tls in rounds)

    def spread(of):
        values = [of(plain, tls) for plain, tls in rounds]
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    print(
        f"| {name} | {middle(lambda p, t: p['rate']):,.0f} | {middle(lambda p, t: t['rate']):,.0f} "
        f"| {spread(lambda p, t: t['rate'] / p['rate'])} "
        f"| {middle(lambda p, t: p['p99']):,.0f} | {middle(lambda p, t: t['p99']):,.0f} "
        f"| {middle(lambda p, t: p['cpu']):.3f} | {middle(lambda p, t: t['cpu']):.3f} "
        f"| {spread(lambda p, t: t['cpu'] / p['cpu'])} |",
        flush=True,
    )


def measure(options, load, server):
    """One run: its rate, the 99th percentile, and the server's processor time for each answer."""
    command = ["taskset", "-c", "1", options.program, "bench", "--connect", server.address, *BASE]
    command += [*load, "--duration", options.duration, "--json"]
    with Samples(server.process.pid) as samples:
        begin = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"the run failed: {done.stdout}{done.stderr}")
    run = json.loads(done.stdout)
    begin += (run["connect_elapsed_ns"] + run["warmup_elapsed_ns"]) / 1e9
    end = begin + run["measured_elapsed_ns"] / 1e9
    cpu_us = (samples.at(end) - samples.at(begin)) * 1e6
    return {
        "rate": run["packets_per_sec"],
        "p99": run["p99_latency_ns"] / 1e3,
        "cpu": cpu_us / run["measured_responses"],
    }


class Server:
    """A server on core 0, on a port of the system's choice."""

    def __init__(self, options, files):
        command = ["taskset", "-c", "0", options.program, "server", "--listen", "127.0.0.1:0"]
        command += ["--workers", "1", "--dispatch", "inline", "--log", "warn"]
        command += ["--engine", options.engine, "--max-sessions", "20000", *files]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            sys.exit(f"no server: {line}")
        self.address = line.split()[2]
        self.engine = line.strip()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Samples:
    """A process' processor time, all threads, looked at every 10 ms."""

    def __init__(self, pid):
        self.tasks = pathlib.Path(f"/proc/{pid}/task")
        self.seen = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def watch(self):
        while True:
            times = [int((task / "schedstat").read_text().split()[0]) for task in self.tasks.iterdir()]
            self.seen.append((time.monotonic(), sum(times) / 1e9))
            if self.ended.wait(0.01):
                return

    def at(self, moment):
        """In seconds, between the two looks around a moment."""
        before, after = self.seen[0], self.seen[-1]
        for look in self.seen:
            if look[0] <= moment:
                before = look
            else:
                after = look
                break
        if after[0] <= before[0]:
            return before[1]
        share = (moment - before[0]) / (after[0] - before[0])
        return before[1] + share * (after[1] - before[1])


def make_certificate(folder):
    certificate, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
         "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", key, "-out", certificate],
        capture_output=True, check=True,
    )
    return certificate, key


if __name__ == "__main__":
    main()
