"""Plain volumes: which they are, and that tar, taking the prefix off by itself, makes of them what was there."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest

from app.archive.dialects import Dialect
from app.archive.headers import END_OF_ARCHIVE
from app.archive.outgoing import VolumeReader
from app.archive.relay import Meter
from app.archive.verify import Report, verify, verify_tar
from app.engine.tar_command import Tar, TarKind
from app.errors import Code, JobError
from tests.support.tars import SERVICE_FLAGS, tar_of
from tests.support.trees import Wanted, build, describe, differences
from tests.unit.archive.archives import VOLUME, archive_of_volume
from tests.unit.archive.support import block, file_member, go_on, pax
from tests.unit.archive.volumes import FILES, NOTES, archive_of, in_pieces

ORDINARY = Wanted(long_paths=False, xattrs=False, sparse=False, special=False)
PREFIX = VOLUME.prefix.encode()
ROOT = block(b"./", kind=b"5")
FEW = file_member(b"./a", b"1") + file_member(b"./b", b"22")
ACL = {b"SCHILY.acl.access": b"user::rw-,group::r--,other::r--"}
MAP = {
    b"GNU.sparse.major": b"1",
    b"GNU.sparse.minor": b"0",
    b"GNU.sparse.realsize": b"2000",
    b"GNU.sparse.name": b"./s",
}
SPARSE = pax(MAP) + block(b"./GNUSparseFile.1/s", size=b"%011o" % 1024) + b"1\n0\n512\n".ljust(512, b"\0") + bytes(512)
NOT_PLAIN = {
    "no root": FEW,
    "the root comes later": FEW + ROOT,
    "the root comes twice": ROOT + FEW + ROOT,
    "an ACL of the root": pax(ACL) + ROOT + FEW,
    "an ACL of the first file": ROOT + pax(ACL) + FEW,
    "an ACL of a later file": ROOT + FEW + pax(ACL) + file_member(b"./c", b"3"),
    "an ACL of a folder": ROOT + FEW + pax(ACL) + block(b"./d/", kind=b"5"),
    "an attribute": ROOT + FEW + pax({b"SCHILY.xattr.user.a": b"1"}) + file_member(b"./c", b"3"),
    "a sparse file": ROOT + FEW + SPARSE,
    "a name with a detour": ROOT + FEW + file_member(b"./d/./c", b"3"),
    "a name that tar converts": ROOT + FEW + pax({b"path": b"./" + "é".encode() * 100}) + file_member(b"./e", b"3"),
}


def proven(stream: bytes) -> Report:
    return verify(BytesIO(archive_of_volume(stream + END_OF_ARCHIVE)), data_key=None)


def extracted(pieces: Iterator[bytes | memoryview], to: Path) -> None:
    """Extract as the command does that runs in containers."""
    to.mkdir()
    command = Tar(TarKind.GNU).extraction(str(to), plain=True)
    done = subprocess.run(command, input=b"".join(pieces), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def reading(tar: bytes, size: int, meter: Meter | None = None) -> VolumeReader:
    report = verify_tar(in_pieces(tar, 1 << 20), size=len(tar))
    return VolumeReader(
        iter(in_pieces(tar, size)), meter=meter or Meter(), keep_going=go_on, misfits=report.misfits, plain=report.plain
    )


def trees(folder: Path, names: Sequence[str]) -> list[Path]:
    made = []
    for name in names:
        root = folder / name
        root.mkdir()
        build(root, ORDINARY)
        for path in root.rglob("*"):
            if not os.fsencode(path.name).isascii():
                path.unlink()
        root.chmod(0o2751)
        (root / "many" / ("deep" * 50) / ("deeper" * 40)).mkdir(parents=True)
        for number in range(300):
            (root / "many" / f"{name}-{number}").write_bytes(bytes([number % 256]) * number * 11)
        made.append(root)
    return made


@pytest.mark.parametrize("size", [1000, 100_000, 1 << 30])
def test_tar_takes_the_prefix_off_and_everything_is_as_it_was(size: int, tmp_path: Path) -> None:
    roots = trees(tmp_path, ["mail", "notes", "files"])
    parts = (VOLUME, NOTES, FILES)
    reader = reading(
        archive_of({part: tar_of(root, *SERVICE_FLAGS) for part, root in zip(parts, roots, strict=True)}), size
    )
    for part, root in zip(parts, roots, strict=True):
        if part is not NOTES:  # that one is skipped
            target = tmp_path / f"{part.name}-back"
            extracted(reader.plain_volume(part.prefix), target)
            assert differences(describe(root), describe(target)) == []


def test_a_plain_volume_is_counted_as_it_was_proven(tmp_path: Path) -> None:
    (root,) = trees(tmp_path, ["mail"])
    meter, proof = Meter(), Meter()
    tar = archive_of({VOLUME: tar_of(root, *SERVICE_FLAGS)})
    reader = reading(tar, 5000, meter)
    seen = [meter.bytes for _ in reader.plain_volume(VOLUME.prefix)]
    list(VolumeReader(iter([tar]), meter=proof, keep_going=go_on).volume(VOLUME.prefix, Tar(TarKind.GNU).dialect))
    assert (meter.files, meter.bytes) == (proof.files, proof.bytes)
    assert seen == sorted(seen)
    assert len(set(seen)) > 10


def test_an_empty_volume_is_plain(tmp_path: Path) -> None:
    reader = reading(archive_of({VOLUME: ROOT + END_OF_ARCHIVE}), 512)
    extracted(reader.plain_volume(VOLUME.prefix), tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_an_ordinary_volume_is_plain() -> None:
    stretch = proven(ROOT + FEW).plain[PREFIX]
    assert (stretch.files, stretch.bytes, stretch.end - stretch.start) == (2, 3, len(FEW))


@pytest.mark.parametrize("stream", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_a_volume_is_not_plain_that_has(stream: bytes) -> None:
    assert proven(stream).plain == {}


def test_volumes_of_an_archive_without_a_header_are_not_plain() -> None:
    tar = b"".join(file_member(PREFIX + name, b"") for name in (b"", b"a")) + END_OF_ARCHIVE
    assert verify_tar([tar], size=len(tar)).plain == {}


def test_what_was_given_up_half_way_is_skipped() -> None:
    forged = file_member(NOTES.prefix.encode() + b"forged", b"")
    first, second = ROOT + file_member(b"./x", forged + bytes(100_000)), ROOT + file_member(b"./true", b"1")
    reader = reading(archive_of({VOLUME: first + END_OF_ARCHIVE, NOTES: second + END_OF_ARCHIVE}), 600)
    pieces = reader.plain_volume(VOLUME.prefix)
    next(pieces)
    assert forged[:20] in b"".join(bytes(next(pieces)) for _ in range(4))
    assert b"forged" not in b"".join(reader.volume(NOTES.prefix, Dialect.PAX))
    assert reader.files == 1


def test_a_volume_that_stands_elsewhere_is_not_read() -> None:
    tar = archive_of({VOLUME: ROOT + FEW + END_OF_ARCHIVE})
    report = verify_tar([tar], size=len(tar))
    other = archive_of({VOLUME: pax({b"comment": b"longer"}) + ROOT + FEW + END_OF_ARCHIVE})
    reader = VolumeReader(iter([other]), meter=Meter(), keep_going=go_on, plain=report.plain)
    with pytest.raises(JobError) as raised:
        list(reader.plain_volume(VOLUME.prefix))
    assert raised.value.code is Code.INTERNAL
