"""A real Redis (or Valkey) server for tests: started, killed and started again."""

import contextlib
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from app.jobs.embedded import die_with_parent, find_server
from tests.support.waiting import eventually


class RedisServer:
    """One server process on a directory of its own: a unix socket, or TCP on loopback with a password."""

    def __init__(self, directory: Path, *, port: int = 0, password: str | None = None, aof: bool = False) -> None:
        self.directory = directory
        self.port = port
        self.password = password
        self.aof = aof
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> Path:
        return self.directory / "s"

    @property
    def url(self) -> str:
        """Give the address, without a database, as CELL_BACKUP_REDIS_URL has it."""
        secret = "" if self.password is None else f":{quote(self.password, safe='')}@"
        return f"redis://{secret}127.0.0.1:{self.port}" if self.port else f"unix://{secret}{self.socket_path}"

    def client(self) -> redis.Redis:
        """Give a plain synchronous client, independent of the code under test."""
        return redis.Redis(unix_socket_path=str(self.socket_path), password=self.password)

    def start(self) -> None:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket_path),
            "dir": str(self.directory),
            "appendonly": "yes" if self.aof else "no",
            "appendfsync": "always",  # else a disk that is slow just now keeps writes in memory for two seconds
            "save": '""',
        }
        if self.password is not None:
            options["requirepass"] = f'"{self.password}"'
        config = self.directory / "conf"
        config.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [find_server(), config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  # a test run that is killed leaves no server behind
            )
        eventually(self._answers, what=f"the server in {self.directory} answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "log").read_text()
        client = self.client()
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
        finally:
            client.close()

    def kill(self) -> None:
        """End the server as a power cut would: SIGKILL, no word to anybody."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def flush(self) -> None:
        client = self.client()
        client.flushall()
        client.close()


def free_port() -> int:
    """Give a TCP port on loopback that nobody listens on, and that no connection going out is given meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)  # below the kernel's own choice (ip_local_port_range)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextmanager
def redis_server(*, port: int = 0, password: str | None = None, aof: bool = False) -> Iterator[RedisServer]:
    """Run a server in a private temporary directory with a short name, as socket paths are short."""
    directory = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(directory, port=port, password=password, aof=aof)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def redis_session() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis_url(redis_session: RedisServer) -> str:
    """Give the address of an empty Redis."""
    redis_session.flush()
    return redis_session.url


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """Give a durable server that this test may kill and start again."""
    with redis_server(aof=True) as server:
        yield server
