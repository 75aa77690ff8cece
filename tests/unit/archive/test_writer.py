"""Whole archives: one ordinary tar, plain or encrypted, and an error anywhere ends everything."""

import base64
import errno
import gzip
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from app.archive.envelope import read_envelope
from app.archive.headers import END_OF_ARCHIVE
from app.archive.manifest import load_header, load_manifest
from app.archive.parts import PartResult
from app.archive.storage import write_all, writing
from app.archive.verify import verify
from app.archive.writer import ArchiveWriter, Lock, archive_writer
from app.errors import Code, JobError
from tests.support.tars import check_sums, extract, listing
from tests.support.trees import PLAIN, build, describe, differences
from tests.unit.archive.archives import (
    CELL,
    NOW,
    PASSPHRASE,
    VOLUME,
    archive_of_files,
    archive_of_volume,
    entries,
    header,
    manifest,
    result,
    small_lock,
    write,
)
from tests.unit.archive.conftest import Built
from tests.unit.archive.support import PREFIX, Feed, Output, file_member, go_on

MIB = 1 << 20


def cell_and_volume(root: Path, stream: bytes) -> Callable[[ArchiveWriter], list[PartResult]]:
    """Give the body of a backup of one component and one volume."""

    def body(writer: ArchiveWriter) -> list[PartResult]:
        members = writer.files(root)
        for entry in entries(root):
            members.add(entry)
        relay = writer.relay(PREFIX)
        relay.copy(Feed(stream), go_on)
        assert relay.whole
        return [result(CELL), result(VOLUME, files=relay.files)]

    return body


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    root = tmp_path / "cell"
    (root / "config" / "api").mkdir(parents=True)
    (root / "config" / "api" / "cell_config.json").write_bytes(b"{}")
    (root / "data").mkdir()
    (root / "data" / "large").write_bytes(os.urandom(3 * MIB))
    return root


def plain_tar(data: bytes, lock: Lock | None) -> bytes:
    """Open an archive by stock Fernet and Python's gzip."""
    if lock is not None:
        _, *tokens = data.splitlines()
        data = b"".join(Fernet(lock.data_key).decrypt(token)[25:] for token in tokens)
    return gzip.decompress(data)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_gnu_tar_and_coreutils_agree_with_an_archive(
    cell: Path,
    everything: Built,
    tmp_path: Path,
    encrypted: bool,  # noqa: FBT001 - a parameter
) -> None:
    lock = small_lock(100_000) if encrypted else None
    output = Output()
    write(output.write, cell_and_volume(cell, everything.tar), lock=lock)
    tar = plain_tar(bytes(output.data), lock)

    at = extract(tar, tmp_path / "out")
    assert differences(everything.kept, describe(at / PREFIX)) == []
    assert (at / "data" / "large").read_bytes() == (cell / "data" / "large").read_bytes()
    listed = (at / ".cell-backup" / "SHA256SUMS").read_bytes()
    assert len(check_sums(listed, at)) == 2 + len({facts.names for facts in everything.tree.values() if facts.digest})
    with tarfile.open(fileobj=BytesIO(tar)) as archive:
        names = archive.getnames()
    assert (names[0], names[-2:]) == (
        ".cell-backup/header.json",
        [".cell-backup/SHA256SUMS", ".cell-backup/manifest.json"],
    )
    assert load_header((at / ".cell-backup/header.json").read_bytes()) == header()
    loaded = load_manifest((at / ".cell-backup/manifest.json").read_bytes())
    assert loaded == manifest([result(CELL), result(VOLUME, files=loaded.parts[1].files)])
    report = verify(BytesIO(output.data), data_key=lock.data_key if lock else None)
    assert (report.members, report.files) == (len(listing(tar)), listed.count(b"\n"))


def test_a_plain_archive_is_what_gzip_and_tar_know(cell: Path, everything: Built, tmp_path: Path) -> None:
    file = tmp_path / "a.tar.gz"
    with file.open("wb", buffering=0) as out:
        write(lambda data: write_all(out, data), cell_and_volume(cell, everything.tar))

    subprocess.run(["gzip", "--test", file], check=True)
    done = subprocess.run(["tar", "-tzf", file], capture_output=True, check=True)
    assert done.stdout.splitlines()[0] == b".cell-backup/header.json"


def test_the_passphrase_opens_what_was_written(cell: Path) -> None:
    lock = small_lock()
    file = BytesIO(archive_of_files(cell, lock))

    data_key = read_envelope(file).open(PASSPHRASE)
    file.seek(0)

    assert verify(file, data_key=data_key).files == 2


def test_nothing_of_an_encrypted_archive_is_readable(cell: Path) -> None:
    (cell / "data" / "name-of-a-secret").write_bytes(b"text of a secret" * 1000)
    data = archive_of_files(cell, small_lock())
    raw = b"".join(base64.urlsafe_b64decode(line) for line in data.splitlines()[1:])

    for word in (b"secret", b"cell_config", b"cell.example", b"\x1f\x8b\x08\0\0\0\0\0"):
        assert word not in data
        assert word not in raw


def test_equal_input_makes_equal_archives(cell: Path) -> None:
    assert archive_of_files(cell) == archive_of_files(cell)


def test_the_archive_s_own_members_are_private_and_dated(cell: Path) -> None:
    with tarfile.open(fileobj=BytesIO(gzip.decompress(archive_of_files(cell)))) as archive:
        for name in ("header.json", "SHA256SUMS", "manifest.json"):
            info = archive.getmember(f".cell-backup/{name}")
            assert (info.mode, info.uid, info.gid) == (0o600, 0, 0)
            assert info.mtime == pytest.approx(NOW.timestamp(), abs=1e-3)


def archive_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in {"store", "compress"}]


@pytest.mark.parametrize("after", [0, 1, 1000, MIB, 2 * MIB, 3 * MIB])
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_write_error_comes_out_and_leaves_no_thread(
    cell: Path,
    everything: Built,
    after: int,
    encrypted: bool,  # noqa: FBT001 - a parameter
) -> None:
    failure = JobError(Code.DISK_FULL, "full")
    written = 0

    def write_some(data: bytes) -> None:
        nonlocal written
        written += len(data)
        if written > after:
            raise failure

    with pytest.raises(JobError) as caught:
        write(write_some, cell_and_volume(cell, everything.tar), lock=small_lock(10_000) if encrypted else None)

    assert caught.value is failure
    assert archive_threads() == []


def test_a_write_error_in_the_very_last_piece_comes_out(cell: Path) -> None:
    for lock in (None, small_lock()):
        pieces: list[bytes] = []
        write(pieces.append, cell_and_volume(cell, bytes(1024)), lock=lock)
        count = len(pieces)
        pieces.clear()

        def write_some(data: bytes, pieces: list[bytes] = pieces, count: int = count) -> None:
            pieces.append(data)
            if len(pieces) == count:
                raise JobError(Code.WRITE_FAILED, "the last one")

        with pytest.raises(JobError, match="the last one"):
            write(write_some, cell_and_volume(cell, bytes(1024)), lock=lock)
        assert archive_threads() == []


class OddError(Exception):
    """Something that only a test raises."""


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_an_error_in_the_block_drops_everything(
    cell: Path,
    encrypted: bool,  # noqa: FBT001 - a parameter
) -> None:
    output = Output()
    lock = small_lock() if encrypted else None

    def body(writer: ArchiveWriter) -> list[PartResult]:
        members = writer.files(cell)
        for entry in entries(cell):
            members.add(entry)
        raise OddError

    with pytest.raises(OddError):
        write(output.write, body, lock=lock)

    assert archive_threads() == []
    if lock is None:
        with pytest.raises(EOFError):
            gzip.decompress(output.data or b"\x1f\x8b")
    else:
        assert not any(Fernet(lock.data_key).decrypt(line)[24] for line in bytes(output.data).splitlines()[1:]), (
            "no chunk says that it is the last one"
        )


def test_the_spool_leaves_no_name_behind(cell: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    write(Output().write, cell_and_volume(cell, bytes(1024)), spool=folder)

    def body(writer: ArchiveWriter) -> list[PartResult]:
        writer._sums.add(b"x" * (2 * MIB) + b"\n")
        raise OddError

    with pytest.raises(OddError):
        write(Output().write, body, spool=folder)
    assert list(folder.iterdir()) == []


def test_an_archive_of_many_files_has_all_its_lines() -> None:
    # more than 1 MiB of lines: they go through the spool's file
    names = [b"./%s/%s/%04d" % (b"n" * 250, b"m" * 250, number) for number in range(2500)]
    stream = b"".join(file_member(name, b"") for name in names) + END_OF_ARCHIVE

    assert verify(BytesIO(archive_of_volume(stream)), data_key=None).files == 2500


def test_a_damaged_member_is_in_the_manifest_and_not_in_the_sums(small: Built) -> None:
    data = archive_of_volume(small.tar[: small.tar.index(b"contents\n") + 100])
    report = verify(BytesIO(data), data_key=None)

    assert report.manifest is not None
    assert report.manifest.outcome == "partial"
    assert report.manifest.parts[1].damaged == (PREFIX + "folder/file",)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, Code.DISK_FULL),
        (errno.EDQUOT, Code.DISK_FULL),
        (errno.EFBIG, Code.DISK_FULL),
        (errno.EIO, Code.WRITE_FAILED),
        (errno.EROFS, Code.WRITE_FAILED),
    ],
)
def test_what_the_system_says_of_a_write_becomes_a_code(number: int, code: Code) -> None:
    with pytest.raises(JobError) as caught, writing():
        raise OSError(number, os.strerror(number))

    assert caught.value.code == code
    assert os.strerror(number) in caught.value.message


def test_a_short_write_is_gone_on_with() -> None:
    class Slow:
        def __init__(self) -> None:
            self.data = b""

        def write(self, data: memoryview, /) -> int | None:
            self.data += data[:3]
            return min(len(data), 3)

    file = Slow()
    write_all(file, b"0123456789")

    assert file.data == b"0123456789"


def test_a_full_device_is_a_full_disk() -> None:
    with open("/dev/full", "wb", buffering=0) as file, pytest.raises(JobError) as caught:  # noqa: PTH123 - a device
        write_all(file, b"x")

    assert caught.value.code == Code.DISK_FULL


def test_leaving_the_block_has_written_everything(tmp_path: Path) -> None:
    build(tmp_path, PLAIN)
    output = Output()
    with archive_writer(output.write, tmp_path, lock=None, gzip_level=0) as writer:
        writer.begin(header())
        writer.finish(manifest([result(CELL), result(VOLUME)]))

    assert gzip.decompress(output.data).endswith(bytes(1024))
    assert writer.meter.files == 0
