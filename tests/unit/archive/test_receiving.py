"""A receiver is given the cell's files while an archive is verified: whole, in order, and nothing else."""

import gzip
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from typing_extensions import override

from app.archive.headers import DIRECTORY, END_OF_ARCHIVE, HARD_LINK, REGULAR, SYMLINK, Member, encode
from app.archive.receiving import Taking
from app.archive.relay import Meter
from app.archive.verify import verify, verify_tar
from app.errors import ArchiveError, Code, JobError
from tests.support.tars import SERVICE_FLAGS, tar_of
from tests.support.trees import write_sparse
from tests.unit.archive.archives import archive_of_files, archive_of_volume, small_lock
from tests.unit.archive.support import block, file_member, pax
from tests.unit.archive.taking import Kept, Shelf

MIB = 1 << 20


def received(tar: bytes, sizes: Sequence[int] = (1 << 30,)) -> Shelf:
    shelf, pieces, rest = Shelf(), [], tar
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    verify_tar([*pieces, rest], size=len(tar), receiver=shelf)
    return shelf


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    root = tmp_path / "cell"
    (root / "config" / "dns").mkdir(parents=True)
    (root / "config" / "large").write_bytes(b"large" * 700_000)
    (root / "config" / "dns" / "empty").touch()
    (root / "config" / "twin").hardlink_to(root / "config" / "large")
    (root / "config" / "link").symlink_to("dns/empty")
    (root / "config" / "mode").write_bytes(b"x")
    (root / "config" / "mode").chmod(0o640)
    return root


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_every_file_of_the_cell_arrives_as_it_was(cell: Path, encrypted: bool) -> None:  # noqa: FBT001
    lock = small_lock(100_000) if encrypted else None
    shelf, meter = Shelf(), Meter()
    data = archive_of_files(cell, lock)
    verify(BytesIO(data), data_key=lock.data_key if lock else None, receiver=shelf, meter=meter)

    kinds = {name: kept.member.kind for name, kept in shelf.kept.items()}
    assert kinds == {
        b"config": DIRECTORY,
        b"config/dns": DIRECTORY,
        b"config/dns/empty": REGULAR,
        b"config/large": REGULAR,
        b"config/link": SYMLINK,
        b"config/mode": REGULAR,
        b"config/twin": HARD_LINK,
    }
    assert shelf.kept[b"config/large"].content == (cell / "config" / "large").read_bytes()
    assert shelf.kept[b"config/large"].end == shelf.kept[b"config/dns/empty"].end == "whole"
    assert shelf.kept[b"config/twin"].member.link == b"config/large"
    assert shelf.kept[b"config/link"].member.link == b"dns/empty"
    status, member = (cell / "config" / "mode").stat(), shelf.kept[b"config/mode"].member
    assert (member.mode, member.uid, member.mtime) == (0o640, status.st_uid, status.st_mtime_ns)
    assert meter.bytes == 3_500_001


def test_names_arrive_in_their_normal_form_and_links_of_the_text_as_they_are(cell: Path) -> None:
    shelf = received(tar_of(cell, "--sort=name", *SERVICE_FLAGS))

    assert sorted(shelf.kept)[:2] == [b"config", b"config/dns"]
    assert shelf.kept[b"config/twin"].member.link == b"config/large"
    old = received(
        block(b"config/", kind=b"\0") + encode(Member(b"./config//l", SYMLINK, link=b".//x")) + END_OF_ARCHIVE
    )
    assert [(m.name, m.kind, m.link) for m in old.given] == [
        (b"config", DIRECTORY, b""),
        (b"config/l", SYMLINK, b".//x"),
    ]


def test_volumes_and_the_archive_s_own_members_do_not_arrive() -> None:
    stream = file_member(b"./mail", b"x") + END_OF_ARCHIVE
    shelf = Shelf()
    verify(BytesIO(archive_of_volume(stream)), data_key=None, receiver=shelf)
    assert not shelf.given

    quick = b"".join(
        [
            encode(Member(b"./", DIRECTORY)),
            encode(Member(b"./.cell-backup/", DIRECTORY)),
            file_member(b"./.cell-backup/restore/lock", b""),
            file_member(b"./services/a/b/c", b"x"),
            file_member(b"./config/x", b"x"),
        ]
    )
    assert [member.name for member in received(quick + END_OF_ARCHIVE).given] == [b"config/x"]


@pytest.mark.parametrize("size", [1, 100, 511, 513, 100_000])
@pytest.mark.parametrize(
    "flags",
    [("--format=gnu",), ("--format=posix",), ("--format=posix", "--sparse-version=0.1")],
    ids=["old", "1.0", "0.1"],
)
def test_sparse_files_arrive_with_their_holes_left_out(tmp_path: Path, flags: Sequence[str], size: int) -> None:
    (tmp_path / "data").mkdir()
    segments = [(4096 * 3 * number, b"%03d" % number * 1300) for number in range(1, 40)]
    write_sparse(tmp_path / "data" / "s", MIB, segments)
    tar = tar_of(tmp_path, "--blocking-factor=1", "--sparse", *flags)
    shelf = received(tar, [size] * min(3000, len(tar) // size))

    assert shelf.kept[b"data/s"].end == "whole"
    assert shelf.kept[b"data/s"].content == (tmp_path / "data" / "s").read_bytes()


class Picky(Shelf):
    """Take only some, and fail on one."""

    @override
    def take(self, member: Member) -> Kept | None:
        super().take(member)
        if member.name == b"config/full":
            raise JobError(Code.DISK_FULL, "full")
        return self.kept[member.name] if member.name == b"config/wanted" else None


def test_what_is_not_wanted_is_checked_all_the_same() -> None:
    shelf = Picky()
    stream = file_member(b"config/wanted", b"1") + file_member(b"config/other", b"2")
    report = verify_tar([stream + END_OF_ARCHIVE], size=1, receiver=shelf)

    assert report.files == 2
    assert [(kept.end, bytes(kept.content)) for kept in shelf.kept.values()] == [("whole", b"1"), ("open", b"")]
    with pytest.raises(JobError):
        verify_tar([stream + file_member(b"config/full", b"")], size=1, receiver=Picky())


class Full:
    def write(self, offset: int, piece: memoryview) -> None:
        raise JobError(Code.DISK_FULL, f"{offset} {len(piece)}")

    def close(self, size: int, digest: str) -> None:
        raise AssertionError(size, digest)

    def damaged(self) -> None:
        raise AssertionError


class FullShelf:
    def take(self, member: Member) -> Taking | None:
        assert member.name
        return Full()


@pytest.mark.parametrize(
    "records",
    [{}, {b"GNU.sparse.size": b"9", b"GNU.sparse.numblocks": b"1", b"GNU.sparse.map": b"4,3"}],
    ids=["plain", "sparse"],
)
def test_what_goes_wrong_in_the_receiver_ends_the_work(records: dict[bytes, bytes]) -> None:
    head = pax(records) if records else b""
    with pytest.raises(JobError, match="4 3" if records else "0 3"):
        verify_tar([head + file_member(b"config/a", b"abc") + END_OF_ARCHIVE], size=1, receiver=FullShelf())


def test_a_file_that_is_cut_is_never_closed(cell: Path) -> None:
    data = gzip.decompress(archive_of_files(cell))
    shelf = Shelf()
    with pytest.raises(ArchiveError):
        verify_tar([data[: data.index(b"largelarge") + 1000]], size=1, receiver=shelf)
    assert shelf.kept[b"config/large"].end == "open"
    assert len(shelf.kept[b"config/large"].content) == 1000
