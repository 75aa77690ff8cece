"""The snippet for the cell's Caddy, in a real Caddy."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from typing_extensions import override

from app.jobs.embedded import die_with_parent
from tests.support.debian import needed
from tests.support.redis_server import free_port
from tests.support.service import PROJECT
from tests.support.waiting import eventually

SNIPPET = PROJECT / "deploy/caddy/cell-backup.caddy"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def caddy() -> str:
    found = shutil.which("caddy")
    needed(None if found else "there is no caddy")
    assert found is not None
    return found


def test_caddy_finds_the_snippet_valid_and_well_formatted(caddy: str) -> None:
    done = subprocess.run(
        [caddy, "validate", "--adapter=caddyfile", f"--config={SNIPPET}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    formatted = subprocess.run([caddy, "fmt", SNIPPET], capture_output=True, text=True, check=True).stdout
    assert formatted == SNIPPET.read_text()


class Upstream(ThreadingHTTPServer):
    """Stand in for the API: an event stream that waits in its middle, and uploads that are counted."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.go_on = threading.Event()
        self.received: list[int] = []
        self.asked_for: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    server: Upstream
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked_for.append(self.headers["X-Forwarded-For"])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"first")
        assert self.server.go_on.wait(30)
        self.wfile.write(b"second")
        self.close_connection = True

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        got = 0
        while left > got and (piece := self.rfile.read(min(left - got, 1 << 16))):
            got += len(piece)
        self.server.received.append(got)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT  # noqa: N815 - the library's name

    @override
    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


@contextmanager
def running_caddy(caddy: str, upstream: Upstream, folder: Path, snippet: str) -> Iterator[httpx2.Client]:
    site = f"http://127.0.0.1:{free_port()}"
    (folder / "cell-backup.caddy").write_text(snippet)
    config = folder / "Caddyfile"
    config.write_text("{\n\tadmin off\n}\nimport cell-backup.caddy\n")
    env = {
        "HOME": str(folder),
        "CELL_BACKUP_SITE": site,
        "CELL_BACKUP_UPSTREAM": f"127.0.0.1:{upstream.server_address[1]}",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [caddy, "run", "--adapter=caddyfile", f"--config={config}"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(),  # noqa: PLW1509  # a test run that is killed leaves no server behind
        )
    try:
        with httpx2.Client(base_url=site, timeout=30) as client:
            eventually(lambda: process.poll() is not None or _answers(client), what="Caddy answers")
            assert process.poll() is None, (folder / "log").read_text()
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _answers(client: httpx2.Client) -> bool:
    try:
        client.post("/")
    except httpx2.TransportError as error:
        return "refused" not in str(error)
    return True


@pytest.fixture
def front(caddy: str, upstream: Upstream, tmp_path: Path) -> Iterator[httpx2.Client]:
    with running_caddy(caddy, upstream, tmp_path, SNIPPET.read_text()) as client:
        yield client


def test_a_stream_goes_out_as_it_comes_and_asks_for_https_in_future(front: httpx2.Client, upstream: Upstream) -> None:
    with front.stream("GET", "/api/jobs/1/events") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first"
        assert not upstream.go_on.is_set()
        upstream.go_on.set()
        assert b"".join(pieces) == b"second"
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    assert upstream.asked_for == ["127.0.0.1"]


def test_only_archives_may_be_large(front: httpx2.Client, upstream: Upstream) -> None:
    large = b"\0" * (2 * MEGABYTE)
    upstream.received.clear()
    assert front.put("/api/config/backups/backup-1", content=large).status_code == 201
    assert upstream.received == [len(large)]
    for path in ("/api/config/backup", "/api/config/backups/backup-1/verify"):
        # older ones than Caddy 2.7 say that the API does not answer
        assert front.post(path, content=large).status_code in {413, 502}
    assert max(upstream.received[1:], default=0) <= MEGABYTE


def test_nobody_from_elsewhere_is_let_in(caddy: str, upstream: Upstream, tmp_path: Path) -> None:
    assert SNIPPET.read_text().count("private_ranges") == 1
    elsewhere = SNIPPET.read_text().replace("private_ranges", "192.0.2.0/24")
    with (
        running_caddy(caddy, upstream, tmp_path, elsewhere) as client,
        pytest.raises(httpx2.RemoteProtocolError),
    ):
        client.put("/api/config/backups/backup-1", content=b"x")
    assert upstream.received == []
