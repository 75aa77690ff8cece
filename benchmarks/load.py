"""Many small jobs from many clients at once: none may be lost, none answered with an error, none left running."""

import argparse
import asyncio
import hashlib
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.load_client import Client, LoadError
from benchmarks.load_counts import Counts, summary, times
from benchmarks.service import Service, running_service

_TRACKS = 3  # jobs that one client has under way at once, so that fifty clients fill the queue
_SCRAPE_SECONDS = 5.0
_PAGE = 500
_PASSPHRASE = "of the load run"
_TINY: dict[str, Any] = {"components": ["identity"], "services": []}


def main() -> int:
    """Run it; 0 where all went well, 1 where something went wrong, with what it was."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description="Many small jobs at once.")
    parser.add_argument("--jobs", type=_positive, default=1000, help="how many jobs in all (1000)")
    parser.add_argument("--clients", type=_positive, default=50, help="how many clients queue them (50)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{options.jobs:,} jobs of {options.clients} clients at once; {machine}.")
    with tempfile.TemporaryDirectory(prefix="cell-backup-load-") as folder:
        history = max(1000, options.jobs)  # so that each can be looked at when all have ended
        with running_service(Path(folder), [], [], scrypt_n=1024, job_history=history) as service:
            begun = time.monotonic()
            counts = asyncio.run(load(service, jobs=options.jobs, clients=options.clients))
            elapsed = time.monotonic() - begun
        counts.problems.extend(wrong_in((Path(folder) / "service.log").read_text()))
    print(f"\n{times(counts)}\n\n{summary(counts, elapsed)}")
    for problem in counts.problems:
        print(f"WRONG: {problem}", file=sys.stderr)
    return 1 if counts.problems else 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


async def load(service: Service, *, jobs: int, clients: int) -> Counts:
    """Run that many jobs, then look at what is left of them."""
    counts = Counts()
    numbers = iter(range(jobs))
    async with asyncio.TaskGroup() as group:
        scraping = group.create_task(_scrape(service, counts))
        try:
            async with asyncio.TaskGroup() as working:
                for _ in range(clients):
                    working.create_task(_client(service, counts, numbers))
        finally:
            scraping.cancel()
    async with _session(service) as session:
        await check(Client(session, counts), counts, service.archives, wanted=jobs)
    return counts


async def _client(service: Service, counts: Counts, numbers: Iterator[int]) -> None:
    async with _session(service) as session, asyncio.TaskGroup() as group:
        client = Client(session, counts)
        for track in range(_TRACKS):
            group.create_task(_track(client, counts, numbers, count(2 * track)))


async def _track(client: Client, counts: Counts, numbers: Iterator[int], turns: Iterator[int]) -> None:
    """Take one number after the other: a backup, a verification of it, an encrypted one, a verification of that."""
    backup_id, lock = "", dict[str, str]()
    for turn, number in zip(turns, numbers, strict=False):
        stream = number % 2 == 0
        try:
            if turn % 2 and backup_id:
                await client.job(f"/api/config/backups/{backup_id}/verify", lock, stream=stream)
            else:
                lock = {"passphrase": _PASSPHRASE} if turn % 4 else {}
                backup_id = (await client.job("/api/config/backup", _TINY | lock, stream=stream))["backup_id"]
        except (LoadError, TimeoutError, aiohttp.ClientError) as error:
            counts.problems.append(f"job number {number}: {error!r}")


async def _scrape(service: Service, counts: Counts) -> None:
    async with _session(service) as session:
        while True:
            try:
                await Client(session, counts).scrape()
            except LoadError as error:
                counts.problems.append(f"metrics: {error}")
            await asyncio.sleep(_SCRAPE_SECONDS)


def _session(service: Service) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(service.address, headers=service.headers)


async def check(client: Client, counts: Counts, archives: Path, *, wanted: int) -> None:
    """Note as a problem every job that was lost or did not succeed, every archive that is not there or not whole."""
    if len(counts.ended) != wanted:
        counts.problems.append(f"{wanted} jobs were wanted, {len(counts.ended)} ended")
    known = await client.get("/api/jobs?limit=1", "GET list")
    if known["total"] != wanted:
        counts.problems.append(f"the service knows {known['total']} jobs, not {wanted}")
    for state in ("queued", "running"):
        left = await client.get(f"/api/jobs?state={state}&limit=1", "GET list")
        if left["total"]:
            counts.problems.append(f"{left['total']} jobs are still {state}")
    listed: set[str] = set()
    while page := (await client.get(f"/api/config/backups?limit={_PAGE}&offset={len(listed)}", "GET list"))["backups"]:
        listed |= {entry["backup_id"] for entry in page}
    for job in counts.ended.values():
        counts.problems.extend(wrong_with(job, listed, archives))


def wrong_with(job: dict[str, Any], listed: set[str], archives: Path) -> Iterator[str]:
    """Say what is wrong with a job that ended."""
    if job["state"] != "succeeded":
        yield f"{job['kind']} {job['job_id']} ended as {job['state']}: {job['error']}"
    elif job["kind"] == "backup":
        if job["backup_id"] not in listed:
            yield f"archive {job['backup_id']} is not listed"
        with suppress(FileNotFoundError):
            content = (archives / job["result"]["file_name"]).read_bytes()
            if hashlib.sha256(content).hexdigest() == job["result"]["sha256"]:
                return
        yield f"archive {job['backup_id']} is not what the job wrote"


def wrong_in(log: str) -> Iterator[str]:
    """Say what the service's log has that it must not have."""
    place = log.find("Traceback (most recent call last)")
    if place >= 0:
        yield f"the service stumbled:\n{log[max(0, place - 500) : place + 5000]}"


if __name__ == "__main__":
    sys.exit(main())
