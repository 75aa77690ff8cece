"""The short way to prove a volume's files refuses, counts and hashes as the long one does."""

from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from io import BytesIO

import pytest

from app.archive.guard import Guard, Limits
from app.archive.headers import END_OF_ARCHIVE, Member, encode
from app.archive.reader import ReadMember
from app.archive.sums import SumsSpool
from app.archive.typical_proof import prove_typical
from app.archive.verify import Report, verify
from app.errors import ArchiveError, Code
from tests.unit.archive.archives import VOLUME, archive_of_volume, header
from tests.unit.archive.support import PREFIX, file_member

INSIDE = PREFIX.encode()
SIZES = (0, 1, 511, 512, 2046, 2047, 2048, 4094, 4095, 16384, 16385, 40000)
LIMITS = Limits(members=100, cell_files=100, expansion=1, free_bytes=1 << 20)


def content(size: int) -> bytes:
    return bytes(number % 251 for number in range(size))


def guard_in(folder: bytes, limits: Limits = LIMITS) -> Guard:
    """Give a guard that has just seen a file of the folder."""
    guard = Guard(limits, archive_size=0)
    guard.declare(header((VOLUME,)))
    member = Member(folder + b"before")
    guard.look(ReadMember(member, encode(member)))
    return guard


def test_files_of_every_size_get_their_digest() -> None:
    stream = b"".join(file_member(INSIDE + b"f%d" % size, content(size)) for size in SIZES)
    with closing(SumsSpool(None)) as sums:
        proven = prove_typical(b"xx" + stream, 2, guard_in(INSIDE), sums)
        lines = b"".join(sums.pieces())
    assert (proven.after, proven.files, proven.bytes) == (2 + len(stream), len(SIZES), sum(SIZES))
    assert proven.last == INSIDE + b"f40000"
    assert lines.decode() == "".join(f"{sha256(content(s)).hexdigest()}  {PREFIX}f{s}\n" for s in SIZES)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(file_member(INSIDE + b"other/x", b""), id="another folder"),
        pytest.param(file_member(INSIDE + b"..", b""), id="a name of dots"),
        pytest.param(file_member(INSIDE + b"n" * 300, b""), id="a long name"),
        pytest.param(file_member(b"services/mail/x", b""), id="above the volume"),
        pytest.param(file_member(b"config/x", b""), id="the cell's own"),
        pytest.param(file_member(INSIDE + b"cut", content(600))[:-1], id="not all there"),
        pytest.param(encode(Member(INSIDE + b"x", kind=ord("2"), link=b"y")), id="a link"),
        pytest.param(END_OF_ARCHIVE, id="the end"),
    ],
)
def test_what_is_not_typical_is_left_as_it_is(raw: bytes) -> None:
    good = file_member(INSIDE + b"good", b"x")
    guard = guard_in(INSIDE)
    with closing(SumsSpool(None)) as sums:
        assert prove_typical(good + raw, 0, guard, sums)[:3] == (len(good), INSIDE + b"good", 1)
        assert prove_typical(raw, 0, guard, sums)[:3] == (0, b"", 0)


def test_neither_the_cell_nor_the_archives_own_folder_is_gone_through() -> None:
    for folder in (b"config/", b".cell-backup/"):
        with closing(SumsSpool(None)) as sums:
            assert prove_typical(file_member(folder + b"x", b""), 0, guard_in(folder), sums).files == 0


def verified(stream: bytes, limits: Limits = LIMITS) -> Report:
    return verify(BytesIO(archive_of_volume(stream + END_OF_ARCHIVE)), data_key=None, limits=limits)


def names(count: int) -> list[bytes]:
    return [b"./f%d" % number for number in range(count)]


def files(given: Sequence[bytes], contents: bytes = b"") -> bytes:
    return b"".join(file_member(name, contents) for name in given)


def test_what_went_the_short_way_is_counted() -> None:
    report = verified(files(names(50), b"abc"))
    assert (report.members, report.files, report.bytes) == (50 + 3, 50, 150)


def test_one_name_twice_is_refused() -> None:
    guard = guard_in(INSIDE)
    twice = b"".join(file_member(INSIDE + name, b"") for name in (b"a", b"b", b"a"))
    with closing(SumsSpool(None)) as sums, pytest.raises(ArchiveError, match="a is there twice") as caught:
        prove_typical(twice, 0, guard, sums)
    assert caught.value.code == Code.ARCHIVE_HOSTILE


def test_the_limit_of_members_holds() -> None:
    # header and folders above count too
    assert verified(files(names(40)), Limits(members=48, cell_files=9)).files == 40
    with pytest.raises(ArchiveError, match="more members than are allowed") as caught:
        verified(files(names(40)), Limits(members=40, cell_files=9))
    assert caught.value.code == Code.ARCHIVE_HOSTILE
    assert "f" in caught.value.message


def test_the_limit_of_bytes_holds() -> None:
    guard = guard_in(INSIDE, Limits(members=100, cell_files=100, expansion=1, free_bytes=1500))
    stream = b"".join(file_member(INSIDE + name, content(600)) for name in (b"a", b"b", b"c"))
    with closing(SumsSpool(None)) as sums:
        assert prove_typical(stream, 0, guard, sums).files == 2
