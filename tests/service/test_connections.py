"""Connections on which nobody asks anything keep nobody else out."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

from tests.support.service import Client, Place, running_service

FILES = 256


@contextmanager
def few_files() -> Iterator[None]:
    """Let processes that are started in the block open few files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(service: Client) -> socket.socket:
    host, port = service.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def closed_by_the_service(connection: socket.socket) -> bool:
    with suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def test_more_connections_than_files_keep_nobody_out_for_long(place: Place) -> None:
    with ExitStack() as stack:
        with few_files():
            service = stack.enter_context(running_service(place))
        crowd = [stack.enter_context(closing(connect(service))) for _ in range(2 * FILES)]
        for connection in crowd:
            with suppress(OSError):
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        assert all(closed_by_the_service(connection) for connection in crowd)
        with closing(connect(service)) as late:
            late.sendall(b"GET /health HTTP/1.1\r\nHost: cell\r\nConnection: close\r\n\r\n")
            assert late.recv(100).startswith(b"HTTP/1.1 200 ")
    said = "".join(path.read_text() for path in place.logs)
    assert "out of system resource" not in said
