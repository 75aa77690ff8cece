"""How long GET /health takes, asked for fifty times a second over one connection, from a process of its own."""

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

_INTERVAL = 1 / 50


@contextmanager
def asking_for_health(address: str) -> Iterator[list[float]]:
    """Ask while the block runs; the list has the seconds each answer took once the block is left."""
    seconds: list[float] = []
    command = [sys.executable, "-m", "benchmarks.health", address]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield seconds
        except BaseException:
            process.kill()
            raise
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit("The program that asks for /health failed; its words are above.")
    seconds.extend(json.loads(output))


def ask_until_told(address: str) -> list[float]:
    """Ask until standard input ends, and give the seconds of every answer.

    A question that is late because the answer before it was slow is timed from when it was due: else a service that
    stands still for a second would have one slow answer, where fifty users would have seen one.
    """
    connection = HTTPConnection(urlsplit(address).netloc, timeout=60)
    seconds: list[float] = []
    due = time.perf_counter()
    while True:
        wait = due - time.perf_counter()
        if select.select([sys.stdin], [], [], max(0.0, wait))[0]:
            connection.close()
            return seconds
        begun = time.perf_counter() if wait > 0 else due
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"GET /health gave {answer.status}")
        seconds.append(time.perf_counter() - begun)
        due += _INTERVAL


if __name__ == "__main__":
    print(json.dumps(ask_until_told(sys.argv[1])))
