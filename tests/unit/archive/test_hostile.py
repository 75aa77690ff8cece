"""Hostile archives as a whole: refused with a code, in bounded time and memory, with nothing given out beforehand."""

import gzip
import subprocess
import tarfile
import tracemalloc
import zlib
from collections.abc import Iterator
from io import BytesIO, RawIOBase
from pathlib import Path

import pytest
from typing_extensions import Buffer, override

from app.archive import headers
from app.archive.contents import list_members
from app.archive.encryption import EncryptingSink
from app.archive.envelope import parse_envelope
from app.archive.guard import Limits
from app.archive.headers import END_OF_ARCHIVE, Member, encode
from app.archive.manifest import HEADER_NAME, MANIFEST_NAME, SUMS_NAME, dump_header
from app.archive.verify import verify, verify_tar
from app.archive.writer import Lock
from app.errors import ArchiveError, Code, JobError
from tests.support.tars import SERVICE_FLAGS
from tests.unit.archive.archives import PASSPHRASE, archive_of_files, archive_of_volume, header, small_lock
from tests.unit.archive.conftest import Built
from tests.unit.archive.support import block, file_member, pax
from tests.unit.archive.taking import Shelf

MIB = 1 << 20
ONE_PAIR = {b"GNU.sparse.numblocks": b"1"}
TWO_PAIRS = {b"GNU.sparse.numblocks": b"2"}


def info(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644, size: int = 3
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, target, mode
    made.size = size if kind == tarfile.REGTYPE else 0
    return made


def archive(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Pack what Python's tarfile makes of members, between two good ones."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1, format=form) as tar:
        for member in (info("config/first"), *members, info("data/last")):
            tar.addfile(member, BytesIO(b"abc") if member.isreg() else None)
    return out.getvalue()


def encrypted(plain: bytes, lock: Lock) -> bytes:
    out = bytearray()
    sink = EncryptingSink(out.extend, lock.envelope, lock.data_key)
    sink.write(plain)
    sink.finish()
    return bytes(out)


def refusal(data: bytes, lock: Lock | None = None, limits: Limits | None = None) -> tuple[ArchiveError, Shelf]:
    shelf = Shelf()
    with pytest.raises(ArchiveError) as caught:
        verify(BytesIO(data), data_key=lock.data_key if lock else None, receiver=shelf, limits=limits or Limits())
    return caught.value, shelf


CASES = {
    "an absolute name": [info("/etc/passwd")],
    "a name that climbs": [info("config/../../x")],
    "a symlink out of the cell": [info("config/out", tarfile.SYMTYPE, "../../x")],
    "an absolute symlink": [info("config/out", tarfile.SYMTYPE, "/etc")],
    "a file through a link": [info("data/door", tarfile.SYMTYPE, "vault"), info("data/door/x")],
    "a hard link out of the cell": [info("data/twin", tarfile.LNKTYPE, "../x")],
    "a hard link into a volume": [info("services/a/b/x"), info("data/twin", tarfile.LNKTYPE, "services/a/b/x")],
    "a device": [info("data/null", tarfile.CHRTYPE)],
    "a disk in a volume": [info("services/a/b/disk", tarfile.BLKTYPE)],
    "a FIFO": [info("data/pipe", tarfile.FIFOTYPE)],
    "a name twice": [info("data/twice"), info("data/twice")],
    "a file and a folder": [info("data/both"), info("data/both", tarfile.DIRTYPE)],
    "a case trick": [info("Config/x")],
    "a setuid file": [info("data/tool", mode=0o4755)],
    "a long part": [info("data/" + "x" * 256)],
}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("members", CASES.values(), ids=CASES)
def test_a_hostile_member_is_refused_by_name_and_not_given_out(members: list[tarfile.TarInfo], form: int) -> None:
    data = archive(*members, form=form)
    error, shelf = refusal(data)

    assert error.code == Code.ARCHIVE_HOSTILE
    assert members[-1].name.strip("/")[:20] in error.message
    assert b"config/first" in shelf.kept
    assert b"data/last" not in shelf.kept
    assert len(shelf.given) < 1 + len(members)
    # people may still look at what is in it
    assert list_members(BytesIO(data), data_key=None)[0].path == "config/first"


@pytest.mark.parametrize("name", ["a name that climbs", "a file through a link", "a name twice"])
def test_encryption_makes_nothing_less_hostile(name: str) -> None:
    lock = small_lock()
    error, shelf = refusal(encrypted(archive(*CASES[name]), lock), lock)

    assert error.code == Code.ARCHIVE_HOSTILE
    assert b"data/last" not in shelf.kept


@pytest.mark.parametrize(
    "stream",
    [
        pax({b"path": b"../../evil"}) + file_member(b"data/good", b"x"),
        pax({b"linkpath": b"/etc"}) + block(b"data/good", kind=b"2", link=b"x"),
        pax({b"GNU.sparse.name": b"/etc/evil", b"GNU.sparse.size": b"0"}) + file_member(b"data/good", b""),
        pax({b"path": b"data/a\0b"}) + file_member(b"data/good", b"x"),
        block(b"L", kind=b"L", size=b"%011o" % 5) + b"../x\0".ljust(512, b"\0") + file_member(b"data/good", b"x"),
    ],
    ids=["path", "linkpath", "sparse name", "nul", "long name"],
)
def test_a_record_that_renames_the_next_member_is_seen(stream: bytes) -> None:
    error, shelf = refusal(gzip.compress(stream + END_OF_ARCHIVE, 1))

    assert error.code in {Code.ARCHIVE_HOSTILE, Code.ARCHIVE_DAMAGED}
    assert not shelf.given


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ({b"GNU.sparse.size": b"1024", **ONE_PAIR, b"GNU.sparse.map": b"1048576,512"}, Code.ARCHIVE_DAMAGED),
        ({b"GNU.sparse.size": b"4096", **TWO_PAIRS, b"GNU.sparse.map": b"512,512,0,512"}, Code.ARCHIVE_DAMAGED),
        ({b"GNU.sparse.size": b"100", **ONE_PAIR, b"GNU.sparse.map": b"0,50"}, Code.ARCHIVE_DAMAGED),
        ({b"GNU.sparse.size": b"9" * 19, **ONE_PAIR, b"GNU.sparse.map": b"0,512"}, Code.ARCHIVE_HOSTILE),
        ({b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"512"}, Code.ARCHIVE_DAMAGED),
    ],
    ids=["beyond the size", "overlapping", "too short", "a hole of exabytes", "no map"],
)
def test_a_sparse_map_that_lies_is_never_whole(records: dict[bytes, bytes], code: Code) -> None:
    error, shelf = refusal(gzip.compress(pax(records) + file_member(b"data/s", b"x" * 512) + END_OF_ARCHIVE))

    assert error.code == code
    # the others are known for what they are before their contents come
    without_fit = (
        records.keys() == {b"GNU.sparse.major", b"GNU.sparse.realsize"} or records.get(b"GNU.sparse.map") == b"0,50"
    )
    assert {kept.end for kept in shelf.kept.values()} <= {"damaged" if without_fit else "open"}
    assert bool(shelf.kept) == (code == Code.ARCHIVE_DAMAGED)


def test_a_volume_that_the_header_does_not_name_is_refused() -> None:
    first = file_member(HEADER_NAME, dump_header(header()))
    for name, code in (
        (b"services/mail/mailboxes/x", Code.ARCHIVE_TRUNCATED),
        (b"services/a/b/x", Code.ARCHIVE_HOSTILE),
    ):
        error, shelf = refusal(gzip.compress(first + file_member(name, b"x") + END_OF_ARCHIVE, 1))
        assert error.code == code
        assert not shelf.given


def old_sparse(*pairs: tuple[int, int], size: int) -> bytes:
    """Make an old GNU sparse member with a map of any numbers, also negative ones."""
    raw = bytearray(block(b"data/s", kind=b"S", size=b"%011o" % 512, magic=b"ustar  \0"))
    numbers = [number for pair in pairs for number in pair]
    for at, number in enumerate(numbers):
        raw[386 + 12 * at : 398 + 12 * at] = (number & (1 << 95) - 1 | 1 << 95).to_bytes(12, "big")
    raw[483:495] = (size & (1 << 95) - 1 | 1 << 95).to_bytes(12, "big")
    headers.seal(raw)
    return bytes(raw) + b"x" * 512


@pytest.mark.parametrize(
    "stream",
    [
        old_sparse((100, -50), size=1000),
        old_sparse((-512, 512), size=1000),
        old_sparse((0, 512), size=-1),
        old_sparse(size=-1),
    ],
    ids=["negative length", "negative offset", "negative size", "negative size alone"],
)
def test_negative_numbers_in_a_map_are_damage_and_end_no_work_in_a_loop(stream: bytes) -> None:
    assert refusal(gzip.compress(stream + END_OF_ARCHIVE))[0].code == Code.ARCHIVE_DAMAGED


class Endless(RawIOBase):
    """Be a gzip file whose middle comes again and again, for ever, in no memory."""

    def __init__(self, first: bytes, again: bytes) -> None:
        super().__init__()
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        self._first = packer.compress(first) + packer.flush(zlib.Z_FULL_FLUSH)
        repeated = packer.compress(again) + packer.flush(zlib.Z_FULL_FLUSH)
        self._again = repeated * (1 + MIB // len(repeated))
        self._given = False
        self.read_bytes = 0

    @override
    def read(self, size: int = -1, /) -> bytes:
        if size == 1:
            return self._first[:1]
        piece, self._given = (self._again if self._given else self._first), True
        self.read_bytes += len(piece)
        return piece

    @override
    def seek(self, offset: int, whence: int = 0, /) -> int:
        return 100 * MIB if whence else 0

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        raise NotImplementedError


def numbered() -> Iterator[bytes]:
    for number in range(10_000_000):
        yield encode(Member(b"data/%d" % number))


SMALL = Limits(members=5000, cell_files=1000, expansion=2, free_bytes=16 * MIB)


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (encode(Member(b"data/x", size=8 << 30)), bytes(MIB)),
        (file_member(b"data/x", b"1") + END_OF_ARCHIVE, bytes(MIB)),
        (b"", encode(Member(b"data/x/", headers.DIRECTORY))),
        (b"", pax({b"comment": b"x" * 1000})),
        (encode(Member(HEADER_NAME, size=8 << 30)), b"[" * 4096),
        (encode(Member(b"data/x", size=1)) + bytes(512), bytes(512)),
    ],
    ids=["one file", "zeros behind the end", "members", "extended headers", "a header", "zero blocks"],
)
def test_a_bomb_goes_off_nowhere(first: bytes, again: bytes) -> None:
    bomb, shelf = Endless(first, again), Shelf()
    limits = Limits(members=5000, cell_files=5000, expansion=1, free_bytes=16 * MIB)
    tracemalloc.start()
    with pytest.raises(ArchiveError) as caught:
        verify(bomb, data_key=None, receiver=shelf, limits=limits)  # type: ignore[arg-type] # what of it is used
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert caught.value.code in {Code.ARCHIVE_HOSTILE, Code.ARCHIVE_DAMAGED}
    assert most < 64 * MIB
    assert bomb.read_bytes < 32 * MIB
    assert not any(kept.content for kept in shelf.kept.values() if kept.member.size > 1)


def test_ten_million_members_are_refused_after_the_limit() -> None:
    pieces = numbered()
    with pytest.raises(ArchiveError) as caught:
        verify_tar(pieces, size=1, limits=SMALL)
    assert (caught.value.code, next(pieces)[:9]) == (Code.ARCHIVE_HOSTILE, b"data/1001")


@pytest.mark.parametrize("name", [HEADER_NAME, MANIFEST_NAME])
def test_a_document_of_millions_of_wrong_values_is_refused_before_it_is_understood(name: bytes) -> None:
    first = (
        b"" if name == HEADER_NAME else file_member(HEADER_NAME, dump_header(header())) + file_member(SUMS_NAME, b"")
    )
    stream = first + file_member(name, b'{"version":1,"parts":[' + b"0," * 1_500_000 + b"0]}") + END_OF_ARCHIVE
    tracemalloc.start()
    with pytest.raises(ArchiveError) as caught:
        verify_tar([stream], size=1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == Code.ARCHIVE_HOSTILE
    assert most < 32 * MIB


def test_extended_headers_without_an_end_are_refused() -> None:
    endless = (block(b"L", kind=b"L", size=b"%011o" % 1000) + (b"x" * 1000).ljust(1024, b"\0") for _ in range(10_000))
    with pytest.raises(ArchiveError, match="2 MiB"):
        verify_tar(endless, size=1)


def test_a_line_of_checksums_without_an_end_costs_no_memory() -> None:
    def pieces() -> Iterator[bytes]:
        yield file_member(HEADER_NAME, dump_header(header()))
        yield encode(Member(SUMS_NAME, size=1 << 40))
        while True:
            yield b"x" * 65536

    tracemalloc.start()
    with pytest.raises(ArchiveError) as caught:
        verify_tar(pieces(), size=1, limits=Limits(expansion=1, free_bytes=1 << 50))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == Code.ARCHIVE_DAMAGED
    assert most < 32 * MIB


def test_hashing_a_hole_can_be_cancelled() -> None:
    left = iter(range(20))

    def keep_going() -> None:
        if next(left, None) is None:
            raise JobError(Code.CANCELLED, "enough")

    size = {b"GNU.sparse.size": b"%d" % (1 << 40)}
    hole = pax({**size, **ONE_PAIR, b"GNU.sparse.map": b"0,512"}) + file_member(b"s", b"x" * 512)
    with pytest.raises(JobError):
        verify_tar([hole + END_OF_ARCHIVE], size=1, limits=Limits(free_bytes=1 << 41), keep_going=keep_going)


@pytest.mark.parametrize("change", [{"n": 2**40}, {"n": 2**20, "r": 64}], ids=str)
def test_a_key_derivation_that_costs_too_much_is_refused_at_once(change: dict[str, int]) -> None:
    envelope = small_lock().envelope
    line = envelope.to_line()
    for key, value in change.items():
        old = getattr(envelope.slots[0], key)
        assert f'"{key}":{old},' in line
        line = line.replace(f'"{key}":{old},', f'"{key}":{value},')
    with pytest.raises(ArchiveError) as caught:
        parse_envelope(line).open(PASSPHRASE)
    assert caught.value.code in {Code.ARCHIVE_HOSTILE, Code.ARCHIVE_DAMAGED}


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    """Give a small cell with what honest cells have."""
    root = tmp_path / "cell"
    (root / "config" / "api").mkdir(parents=True)
    (root / "config" / "api" / "cell_config.json").write_bytes(b"{}")
    (root / "config" / "current").symlink_to("api/cell_config.json")
    (root / "data" / "vault").mkdir(parents=True, mode=0o2700)
    (root / "data" / "vault" / "twin").hardlink_to(root / "config" / "api" / "cell_config.json")
    (root / "data" / ("n" * 200)).write_bytes(b"long")
    with (root / "data" / "sparse").open("wb") as sparse:
        sparse.truncate(3 * MIB)
    for name in (".env", "Makefile", "docker-compose.yml"):
        (root / name).write_bytes(name.encode())
    return root


LISTED = ["config", "data", "Makefile", "docker-compose.yml", ".env"]


@pytest.mark.parametrize("what", [LISTED, ["."]], ids=["listed", "dot"])
@pytest.mark.parametrize(
    "flags",
    [(), ("--format=gnu", "--sparse"), ("--format=posix", "--sparse"), SERVICE_FLAGS, ("--sort=name", "-b1")],
    ids=str,
)
def test_what_gnu_tar_makes_of_a_cell_passes(cell: Path, what: list[str], flags: tuple[str, ...]) -> None:
    made = subprocess.run(["tar", "-czf", "-", *flags, "-C", cell, *what], capture_output=True, check=True)
    shelf = Shelf()
    report = verify(BytesIO(made.stdout), data_key=None, receiver=shelf)

    on_disk = {str(path.relative_to(cell)) for path in cell.rglob("*")}
    assert {name.decode() for name in shelf.kept} == on_disk
    assert report.files == sum(kept.end == "whole" for kept in shelf.kept.values()) == 6


def test_what_the_writer_makes_passes(cell: Path, everything: Built) -> None:
    lock = small_lock(10_000)
    for data, key in ((archive_of_files(cell), None), (archive_of_files(cell, lock), lock.data_key)):
        shelf = Shelf()
        verify(BytesIO(data), data_key=key, receiver=shelf)
        assert len(shelf.kept) == len(list(cell.rglob("*")))
    shelf = Shelf()
    verify(BytesIO(archive_of_volume(everything.tar)), data_key=None, receiver=shelf)
    assert not shelf.given
