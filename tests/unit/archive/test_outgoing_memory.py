"""Volumes on their way back: what waits to be handed over holds no more of the archive than it gives."""

import tracemalloc
from collections.abc import Iterable, Iterator

import pytest

from app.archive import headers
from app.archive.dialects import Dialect
from app.archive.headers import DIRECTORY, END_OF_ARCHIVE, Member
from app.archive.outgoing import VolumeReader
from app.archive.relay import Meter
from tests.unit.archive.archives import VOLUME
from tests.unit.archive.support import block, file_member, go_on, pax
from tests.unit.archive.volumes import in_pieces

MIB = 1 << 20
PIECE = 2 * MIB
INSIDE = VOLUME.prefix.encode()
ROOT = headers.encode(Member(INSIDE, kind=DIRECTORY))


def peak_of(pieces: Iterable[bytes], dialect: Dialect, leave_out: Iterable[str] = ()) -> tuple[int, int]:
    """Read the volume; give how much memory that took at most, and how much came out."""
    tracemalloc.start()
    try:
        reader = VolumeReader(iter(pieces), meter=Meter(), keep_going=go_on)
        size = sum(len(piece) for piece in reader.volume(VOLUME.prefix, dialect, leave_out=list(leave_out)))
        return tracemalloc.get_traced_memory()[1], size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dialect", list(Dialect))
def test_folders_with_one_file_each_hold_no_copies_of_what_they_stand_in(dialect: Dialect) -> None:
    pairs = (
        headers.encode(Member(INSIDE + b"%d/" % number, kind=DIRECTORY))
        + file_member(INSIDE + b"%d/file" % number, b"data!")
        for number in range(2000)
    )
    tar = ROOT + b"".join(pairs) + END_OF_ARCHIVE

    peak, size = peak_of(in_pieces(tar, PIECE), dialect)

    assert size == len(tar)
    assert peak < 4 * PIECE


def test_small_files_between_large_ones_that_are_left_out_do_not_hold_those() -> None:
    large = [f"{VOLUME.prefix}large-{number}" for number in range(50)]
    long_way = pax({b"path": INSIDE + b"small"}) + block(size=b"%011o" % 5) + b"data!".ljust(512, b"\0")

    def pieces() -> Iterator[bytes]:
        yield ROOT
        for name in large:
            yield long_way + file_member(name.encode(), bytes(PIECE))
        yield END_OF_ARCHIVE

    peak, size = peak_of(pieces(), Dialect.PAX, large)

    assert size == len(ROOT) + 50 * 1024 + len(END_OF_ARCHIVE)
    assert peak < 8 * PIECE
