"""The engine's multiplexed output: frames of an 8-byte header and a payload, two streams over one connection.

Header, by the engine's API documentation ("Attach to a container", stream format): one byte stream id (1 standard
output, 2 standard error), three zero bytes, four bytes payload length, big endian.
"""

import ssl
import struct
from collections.abc import Callable

from app.engine.connection import Connection
from app.errors import Code, PartError

_HEADER = struct.Struct(">BxxxL")
_STDOUT, _STDERR = 1, 2
_HELD_LIMIT = 1 << 20


class FrameReader:
    """Give standard output into the caller's buffers, and standard error to a callback."""

    def __init__(self, connection: Connection, container: str, on_stderr: Callable[[bytes], None]) -> None:
        self._connection = connection
        self._container = container
        self._on_stderr = on_stderr
        self._header = memoryview(bytearray(_HEADER.size))
        self._header_got = 0
        self._left = 0
        self._held = bytearray()
        self._failure: PartError | None = None

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer as far as the stream goes, blocking; 0 at its end.

        Raises PartError STREAM_CUT, STREAM_STALLED, STREAM_MALFORMED or, where it was aborted, TAR_FAILED; what came
        before the fault is given first.
        """
        if self._failure is not None:
            raise self._failure
        filled = self._give_held(buffer)
        try:
            with self._connection.reading():
                while filled < len(buffer) and self._next_payload():
                    filled += self._payload(buffer[filled : filled + self._left])
        except PartError as error:
            self._failure = error
            if not filled:
                raise
        return filled

    def _payload(self, part: memoryview) -> int:
        """Read some payload of the frame; where the part ends the frame, the next header comes in the same call."""
        sock = self._connection.socket
        if len(part) < self._left or isinstance(sock, ssl.SSLSocket):
            received = sock.recv_into(part)
        else:
            received = sock.recvmsg_into([part, self._header])[0]
        if not received:
            raise self._cut(f"{self._left} bytes of a frame are missing")
        got = min(received, len(part))
        self._header_got = received - got
        self._left -= got
        return got

    def read_some(self, buffer: memoryview) -> int:
        """Give what comes next, at most one frame of it, so that the order of both streams can be kept; 0 at the end.

        Raises as `read_into` does.
        """
        if self._held:
            return self._give_held(buffer)
        with self._connection.reading():
            return self._payload(buffer[: self._left]) if self._next_payload() else 0

    def take_frame(self, on_stdout: Callable[[bytes], None]) -> bool:
        """Take in one whole frame, of either stream, inside a guard of the caller's; False at the end of the stream."""
        if self._held:
            on_stdout(bytes(self._held))
            self._held.clear()
            return True
        if not self._left and not self._next_frame():
            return False
        self._take_payload(on_stdout)
        return True

    def settle(self, enough: Callable[[], bool]) -> None:
        """Take in standard error until it is enough or all has ended, holding what standard output says meanwhile.

        The engine copies the two streams side by side: what was written first need not come first.
        """
        with self._connection.reading():
            while not enough() and len(self._held) < _HELD_LIMIT and self._next_frame():
                self._take_payload(self._held.extend)

    def _give_held(self, buffer: memoryview) -> int:
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        del self._held[:size]
        return size

    def _next_payload(self) -> bool:
        """Go on to the next payload of standard output; False at the end of the stream."""
        while not self._left:
            if not self._next_frame():
                return False
        return True

    def _next_frame(self) -> bool:
        if not self._read_header():
            return False
        stream, self._left = _HEADER.unpack(self._header)
        self._header_got = 0
        if stream == _STDERR:
            self._take_payload(self._on_stderr)
        elif stream != _STDOUT:
            raise PartError(
                Code.STREAM_MALFORMED,
                f"The engine sent stream {stream} for {self._container}, where only 1 and 2 exist",
            )
        return True

    def _read_header(self) -> bool:
        while self._header_got < len(self._header):
            received = self._connection.socket.recv_into(self._header[self._header_got :])
            if not received:
                self._connection.check()
                if self._header_got:
                    raise self._cut("it ended inside the header of a frame")
                return False
            self._header_got += received
        return True

    def _take_payload(self, taker: Callable[[bytes], None]) -> None:
        while self._left:
            data = self._connection.socket.recv(min(self._left, 1 << 16))
            if not data:
                raise self._cut(f"{self._left} bytes of a frame are missing")
            self._left -= len(data)
            taker(data)

    def _cut(self, how: str) -> PartError:
        self._connection.check()
        return PartError(Code.STREAM_CUT, f"The stream from {self._container} was cut: {how}")
