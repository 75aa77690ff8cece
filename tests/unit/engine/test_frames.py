"""The engine's two streams over one connection, in whatever order they come."""

import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.engine.connection import Connection
from app.engine.endpoint import Endpoint
from app.engine.frames import FrameReader

_OUT, _ERR = 1, 2


def frame(stream: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(payload)) + payload


@contextmanager
def reader_of(sent: bytes, on_stderr: Callable[[bytes], None]) -> Iterator[FrameReader]:
    """Read what an engine sends that says this much and then hangs up."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "engine"
        listener.bind(str(path))
        listener.listen()
        connection = Connection(Endpoint(sockets=(path,)), "cell-mail", stall_seconds=10)
        connection.open()
        engine, _ = listener.accept()
        speaking = threading.Thread(target=_say, args=(engine, sent))
        speaking.start()
        try:
            yield FrameReader(connection, "cell-mail", on_stderr)
        finally:
            connection.close()
            speaking.join()


def _say(engine: socket.socket, words: bytes) -> None:
    with engine:
        engine.sendall(words)


@pytest.mark.parametrize("size", [1, 4, 100])
def test_the_first_words_on_standard_error_are_found_behind_output(size: int) -> None:
    heard = bytearray()
    sent = frame(_OUT, b"first ") + frame(_OUT, b"second ") + frame(_ERR, b"17\n") + frame(_OUT, b"third")
    with reader_of(sent, heard.extend) as frames:
        frames.settle(lambda: b"\n" in heard)

        assert heard == b"17\n"
        buffer, got = memoryview(bytearray(size)), bytearray()
        while taken := frames.read_into(buffer):
            got += buffer[:taken]
        assert got == b"first second third"


def test_output_that_was_held_comes_first_and_once_however_it_is_read() -> None:
    heard = bytearray()
    sent = frame(_OUT, b"first ") + frame(_ERR, b"17\n") + frame(_OUT, b"second")
    with reader_of(sent, heard.extend) as frames:
        frames.settle(lambda: bool(heard))
        buffer = memoryview(bytearray(100))
        assert bytes(buffer[: frames.read_some(buffer)]) == b"first "
        assert bytes(buffer[: frames.read_some(buffer)]) == b"second"
    with reader_of(sent, heard.extend) as frames:
        heard.clear()
        frames.settle(lambda: bool(heard))
        got: list[bytes] = []
        while frames.take_frame(got.append):
            pass
        assert got == [b"first ", b"second"]


def test_a_command_that_never_says_a_word_on_standard_error_is_not_held_for_ever() -> None:
    sent = b"".join(frame(_OUT, bytes([number]) * (1 << 15)) for number in range(40))
    with reader_of(sent[: 33 * (8 + (1 << 15))], lambda _: None) as frames:
        frames.settle(lambda: False)

        buffer = memoryview(bytearray(1 << 21))
        assert frames.read_into(buffer) == 33 << 15
