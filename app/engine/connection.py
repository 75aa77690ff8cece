"""One blocking connection to the engine, which any thread may cut."""

import contextlib
import socket
import threading
from collections.abc import Iterator

from app.engine.endpoint import Endpoint
from app.errors import Code, PartError

CONNECT_SECONDS = 10.0


class Connection:
    """Read from the engine in one thread; `abort` from any other."""

    def __init__(self, endpoint: Endpoint, container: str, *, stall_seconds: float | None) -> None:
        self._endpoint = endpoint
        self._container = container
        self._stall_seconds = stall_seconds
        self._socket: socket.socket | None = None
        self._aborted = False
        self._reading = threading.Lock()

    @property
    def socket(self) -> socket.socket:
        """Give the open socket."""
        assert self._socket is not None, "open() comes first"
        return self._socket

    def open(self) -> None:
        """Connect; raise PartError ENGINE_UNREACHABLE, or TAR_FAILED where it was aborted meanwhile."""
        opened = self._endpoint.connect(timeout_seconds=CONNECT_SECONDS)
        opened.settimeout(self._stall_seconds)
        with self._reading:
            if self._aborted:
                opened.close()
            self.check()
            self._socket = opened

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Guard one reading call; raise PartError TAR_FAILED, STREAM_STALLED or STREAM_CUT."""
        with self._reading:
            self.check()
            try:
                yield
            except TimeoutError as error:
                raise PartError(
                    Code.STREAM_STALLED, f"Nothing came from {self._container} for {self._stall_seconds:g} seconds"
                ) from error
            except OSError as error:
                self.check()
                raise PartError(
                    Code.STREAM_CUT, f"The connection to {self._container} broke in mid-stream: {error}"
                ) from error

    def check(self) -> None:
        """Raise PartError TAR_FAILED where the reading was aborted: an end that follows is not the stream's own."""
        if self._aborted:
            raise PartError(Code.TAR_FAILED, f"Reading from {self._container} was aborted")

    def abort(self) -> None:
        """End a blocked read; safe at any time, from any thread, more than once."""
        self._aborted = True
        if self._socket is not None:
            self._shut()

    def close(self) -> None:
        """Abort, wait for the reading call to notice, and give the socket back."""
        self.abort()
        with self._reading:
            if self._socket is not None:
                self._socket.close()

    def _shut(self) -> None:
        # The plain socket's shutdown: that of a TLS socket would take the TLS layer away under a reading thread.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
