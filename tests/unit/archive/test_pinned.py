"""A pinned file: the second pass reads what the first one read, or nothing."""

import os
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest

from app.archive import pinned
from app.archive.pinned import PinnedFile
from app.archive.reader import is_encrypted, tar_stream
from app.archive.verify import verify
from app.errors import ArchiveError, Code
from tests.unit.archive.archives import archive_of_volume, small_lock
from tests.unit.archive.conftest import Built

BLOCK = 1000


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "_BLOCK", BLOCK)
    monkeypatch.setattr(pinned, "_BUFFER", 300)


def file_of(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, 5 * BLOCK + 7])
def test_every_pass_gives_the_same(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    with PinnedFile(file_of(tmp_path / "a", data).open("rb")) as file:
        assert file.size == size
        assert file.read() == data
        for piece in (1, 7, 299, 2000):
            file.rewind()
            assert b"".join(iter(partial(file.read, piece), b"")) == data
            assert file.read(10) == b""


def flip(file: Path, at: int) -> None:
    with file.open("r+b") as out:
        out.seek(at)
        byte = out.read(1)[0]
        out.seek(at)
        out.write(bytes([byte ^ 1]))


CHANGES: dict[str, Callable[[Path], None]] = {
    "a bit of the first block": lambda file: flip(file, 0),
    "a bit of the third": lambda file: flip(file, 2 * BLOCK + 500),
    "the last bit": lambda file: flip(file, 5 * BLOCK + 6),
    "cut at a block": lambda file: os.truncate(file, 3 * BLOCK),
    "cut in a block": lambda file: os.truncate(file, 3 * BLOCK + 1),
    "emptied": lambda file: os.truncate(file, 0),
    "longer": lambda file: os.truncate(file, 9 * BLOCK),
}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_noticed_before_a_byte_of_its_block_is_given_out(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    data = os.urandom(5 * BLOCK + 7)
    path = file_of(tmp_path / "a", data)
    with PinnedFile(path.open("rb")) as file:
        assert file.read() == data
        file.rewind()
        change(path)
        given = bytearray()
        with pytest.raises(ArchiveError) as caught:
            given.extend(b for piece in iter(partial(file.read, 100), b"") for b in piece)
        assert caught.value.code == Code.ARCHIVE_DAMAGED
        assert data.startswith(given)
        assert path.read_bytes().startswith(given)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_that_came_later_are_not_given_out(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a", b"x" * 2 * BLOCK)
    with PinnedFile(path.open("rb")) as file:
        file.read()
        path.write_bytes(b"x" * 3 * BLOCK)
        file.rewind()
        assert file.read(2 * BLOCK) == b"x" * 2 * BLOCK
        with pytest.raises(ArchiveError):
            file.read(1)


def test_nothing_that_was_buffered_is_given_out_in_the_next_pass(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a", b"one")
    with PinnedFile(path.open("rb")) as file:
        assert file.read() == b"one"
        path.write_bytes(b"two")
        file.rewind()
        with pytest.raises(ArchiveError):
            file.read(1)


def test_another_file_of_the_name_changes_nothing(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a", b"one")
    with PinnedFile(path.open("rb")) as file:
        file.read()
        file_of(tmp_path / "b", b"two").rename(path)
        file.rewind()
        assert file.read() == b"one"


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_an_archive_is_read_twice(small: Built, tmp_path: Path, encrypted: bool) -> None:  # noqa: FBT001
    lock = small_lock(700) if encrypted else None
    key = lock.data_key if lock else None
    path = file_of(tmp_path / "a", archive_of_volume(small.tar, lock=lock))
    with PinnedFile(path.open("rb")) as file:
        assert is_encrypted(file) is encrypted
        assert verify(file, data_key=key).members
        file.rewind()
        assert is_encrypted(file) is encrypted
        again = b"".join(tar_stream(file, key))
        file.rewind()
        flip(path, path.stat().st_size // 2)
        with pytest.raises(ArchiveError, match="changed while"):
            list(tar_stream(file, key))
    assert again == b"".join(tar_stream(BytesIO(archive_of_volume(small.tar)), None))


def test_closing_it_closes_the_file(tmp_path: Path) -> None:
    below = file_of(tmp_path / "a", b"x").open("rb")
    with PinnedFile(below) as file:
        file.rewind()
    assert below.closed
    assert file.closed


def test_a_place_that_is_not_at_hand_cannot_be_sought(tmp_path: Path) -> None:
    with PinnedFile(file_of(tmp_path / "a", bytes(3 << 20)).open("rb")) as file:
        file.read(2 << 20)
        with pytest.raises(OSError, match="beginning to its end"):
            file.seek(0)


@pytest.mark.parametrize("content", [b"", b"x", b"xyz", bytes(1 << 20)])
def test_a_short_file_can_be_read_from_its_beginning_again(tmp_path: Path, content: bytes) -> None:
    with PinnedFile(file_of(tmp_path / "a", content).open("rb")) as file:
        assert file.read(1) == content[:1]
        file.seek(0)
        assert file.read() == content
        file.rewind()
        assert file.read(1) == content[:1]
        file.seek(0)
        assert file.read() == content
