"""One blocking connection to the engine, which any thread may cut."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

from app.engine.endpoint import Endpoint
from app.errors import Code, PartError

CONNECT_SECONDS = 10.0


class Connection:
    """Read from the engine, or write to it, in one thread; `abort` from any other."""

    def __init__(self, endpoint: Endpoint, container: str, *, stall_seconds: float | None) -> None:
        self._endpoint = endpoint
        self._container = container
        self._stall_seconds = stall_seconds
        self._socket: socket.socket | None = None
        self._aborted = False
        self._busy = threading.Lock()

    @property
    def socket(self) -> socket.socket:
        """Give the open socket."""
        assert self._socket is not None, "open() comes first"
        return self._socket

    def open(self) -> None:
        """Connect; raise PartError ENGINE_UNREACHABLE, or TAR_FAILED where it was aborted meanwhile."""
        opened = self._endpoint.connect(timeout_seconds=CONNECT_SECONDS)
        opened.settimeout(self._stall_seconds)
        with self._busy:
            if self._aborted:
                opened.close()
            self.check()
            self._socket = opened

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Guard one reading call; raise PartError TAR_FAILED, STREAM_STALLED or STREAM_CUT."""
        return self._guarded("Nothing came from")

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """Guard one writing call; raises as `reading` does."""
        return self._guarded("Nothing was taken by")

    def push(self, data: bytes | memoryview, on_input: Callable[[], bool]) -> int:
        """Send the data inside a guard, call `on_input` whenever something can be read, and give how much was sent.

        Less than all was sent where `on_input` said False, or the peer has gone. Over TLS input is not looked at: what
        can be read there need not be anything but the layer's own.
        """
        left = memoryview(data).cast("B")
        is_tls = isinstance(self.socket, ssl.SSLSocket)
        wanted = select.POLLOUT if is_tls else select.POLLIN | select.POLLOUT
        # A blocking socket would otherwise send all before it returns, while nobody reads.
        flags = 0 if is_tls else socket.MSG_DONTWAIT
        poll = select.poll()
        poll.register(self.socket, wanted)
        with contextlib.suppress(ConnectionError):
            while left:
                ready = poll.poll(None if self._stall_seconds is None else self._stall_seconds * 1000)
                if not ready:
                    raise TimeoutError
                events = ready[0][1]
                if wanted & select.POLLIN and events & ~select.POLLOUT and not on_input():
                    break
                if events & select.POLLOUT:
                    left = left[self.socket.send(left, flags) :]
        self.check()
        return len(data) - len(left)

    def half_close(self) -> None:
        """Say that nothing more will be written, which TLS cannot; a peer that has gone need not be told."""
        if not isinstance(self.socket, ssl.SSLSocket):
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)

    def check(self) -> None:
        """Raise PartError TAR_FAILED where the stream was aborted: an end that follows is not the stream's own."""
        if self._aborted:
            raise PartError(Code.TAR_FAILED, f"The stream of {self._container} was aborted")

    @contextlib.contextmanager
    def _guarded(self, stalled: str) -> Iterator[None]:
        with self._busy:
            self.check()
            try:
                yield
            except TimeoutError as error:
                raise PartError(
                    Code.STREAM_STALLED, f"{stalled} {self._container} for {self._stall_seconds:g} seconds"
                ) from error
            except OSError as error:
                self.check()
                raise PartError(
                    Code.STREAM_CUT, f"The connection to {self._container} broke in mid-stream: {error}"
                ) from error

    def abort(self) -> None:
        """End a blocked call; safe at any time, from any thread, more than once."""
        self._aborted = True
        if self._socket is not None:
            self._shut()

    def close(self) -> None:
        """Abort, wait for the blocked call to notice, and give the socket back."""
        self.abort()
        with self._busy:
            if self._socket is not None:
                self._socket.close()

    def _shut(self) -> None:
        # The plain socket's shutdown: that of a TLS socket would take the TLS layer away under a reading thread.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
