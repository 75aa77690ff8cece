"""Reading ahead gives what there is, in its order, and never reads on once it is closed."""

import threading
from collections.abc import Iterator
from io import BytesIO

import pytest
from typing_extensions import override

from app.archive.ahead import read_ahead
from app.archive.reader import tar_stream, tar_stream_ahead
from app.errors import ArchiveError, Code
from tests.unit.archive.archives import archive_of_volume, small_lock
from tests.unit.archive.conftest import Built

SECONDS = 30.0


def test_everything_comes_in_its_order() -> None:
    assert list(read_ahead(iter(range(1000)))) == list(range(1000))
    assert list(read_ahead(iter([]))) == []
    assert list(read_ahead(iter([None, b""]))) == [None, b""]


def test_the_thread_is_another_one() -> None:
    def here() -> Iterator[int]:
        yield threading.get_ident()

    assert list(read_ahead(here())) != list(here())


def test_an_error_comes_behind_what_was_good() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise ArchiveError(Code.ARCHIVE_DAMAGED, "here")

    ahead = read_ahead(failing())
    assert (next(ahead), next(ahead)) == (1, 2)
    with pytest.raises(ArchiveError, match="here"):
        next(ahead)


def test_no_more_is_read_than_was_agreed() -> None:
    before = threading.active_count()
    read: list[int] = []
    third = threading.Event()

    def counted() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            if number == 2:
                third.set()
            yield number

    ahead = read_ahead(counted(), depth=2)
    assert next(ahead) == 0
    assert next(ahead) == 1
    assert third.wait(SECONDS)
    ahead.close()
    assert len(read) <= 4
    assert threading.active_count() == before


def test_closing_waits_for_the_one_who_reads() -> None:
    reading, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        reading.set()
        assert go_on.wait(SECONDS)
        done.set()
        yield 2

    ahead = read_ahead(slow())
    assert next(ahead) == 1
    assert reading.wait(SECONDS)
    threading.Timer(0.05, go_on.set).start()
    ahead.close()
    assert done.is_set()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_an_archive_is_the_same_ahead(small: Built, encrypted: bool) -> None:  # noqa: FBT001
    lock = small_lock(700) if encrypted else None
    data, key = archive_of_volume(small.tar, lock=lock), lock.data_key if lock else None

    assert b"".join(tar_stream_ahead(BytesIO(data), key)) == b"".join(tar_stream(BytesIO(data), key))
    with pytest.raises(ArchiveError) as caught:
        list(tar_stream_ahead(BytesIO(data[:-20]), key))
    assert caught.value.code == Code.ARCHIVE_TRUNCATED


def test_an_encrypted_archive_needs_its_key(small: Built) -> None:
    data = archive_of_volume(small.tar, lock=small_lock())
    with pytest.raises(ArchiveError) as caught:
        next(tar_stream_ahead(BytesIO(data), None))
    assert caught.value.code == Code.PASSPHRASE_REQUIRED


def test_a_file_that_cannot_be_read_is_damaged() -> None:
    class Broken(BytesIO):
        @override
        def read(self, size: int | None = -1, /) -> bytes:
            if size == 1:
                return super().read(1)
            raise OSError(5, "Input/output error")

    with pytest.raises(ArchiveError, match="Input/output error"):
        next(tar_stream_ahead(Broken(b"\x1f\x8b"), None))
