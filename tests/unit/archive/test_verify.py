"""Verification: what is whole passes, and nothing else does."""

import gzip
import os
import subprocess
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from app.archive import headers
from app.archive.headers import END_OF_ARCHIVE, Member
from app.archive.manifest import Manifest, dump_header, dump_manifest
from app.archive.parts import PartFault, PartOutcome, PartResult
from app.archive.relay import Meter
from app.archive.shown import readable
from app.archive.verify import Report, verify
from app.archive.writer import Lock
from app.errors import ArchiveError, Code, JobError
from tests.support.tars import tar_of
from tests.unit.archive.archives import (
    CELL,
    VOLUME,
    archive_of_files,
    archive_of_volume,
    header,
    manifest,
    result,
    small_lock,
)
from tests.unit.archive.conftest import Built
from tests.unit.archive.support import PREFIX, block, file_member, pax

FOLDER = ".cell-backup/"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cell")
    (root / "config").mkdir()
    for name in ("a", "b\n", "c\\", "empty"):
        (root / "config" / name).write_bytes(b"" if name == "empty" else name.encode() * 50)
    (root / "config" / "link").symlink_to("a")
    (root / "config" / "twin").hardlink_to(root / "config" / "a")
    return root


@pytest.fixture(scope="module")
def plain_archive(tree: Path) -> bytes:
    return archive_of_files(tree)


def checked(data: bytes, lock: Lock | None = None) -> Report:
    return verify(BytesIO(data), data_key=lock.data_key if lock else None)


def refusal(data: bytes, lock: Lock | None = None) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        checked(data, lock)
    return caught.value


def test_a_whole_archive_passes(plain_archive: bytes) -> None:
    meter = Meter()
    pieces: list[None] = []
    report = verify(BytesIO(plain_archive), data_key=None, meter=meter, keep_going=lambda: pieces.append(None))

    assert (report.members, report.files, report.bytes) == (10, 4, 250)
    assert report.header == header()
    assert report.manifest == manifest([result(CELL), result(VOLUME)])
    assert (meter.files, meter.bytes, meter.current) == (4, 250, FOLDER + "manifest.json")
    assert pieces


def test_everything_a_tree_can_hold_passes(everything: Built) -> None:
    contents = {facts.names for facts in everything.tree.values() if facts.digest}
    for flags in (("--format=gnu", "--sparse"), ("--format=posix", "--sparse-version=0.1")):
        assert checked(archive_of_volume(tar_of(everything.root, *flags))).files == len(contents)
    assert checked(archive_of_volume(everything.tar)).files == len(contents)


def test_a_job_that_is_cancelled_stops(plain_archive: bytes) -> None:
    def cancelled() -> None:
        raise JobError(Code.CANCELLED, "enough")

    with pytest.raises(JobError):
        verify(BytesIO(plain_archive), data_key=None, keep_going=cancelled)


def test_a_cut_anywhere_is_noticed(plain_archive: bytes) -> None:
    for cut in range(len(plain_archive)):
        assert refusal(plain_archive[:cut]).code == Code.ARCHIVE_TRUNCATED, cut


def test_a_cut_of_an_encrypted_archive_is_noticed(tree: Path) -> None:
    lock = small_lock(200)
    data = archive_of_files(tree, lock)
    for cut in range(0, len(data), 13):
        expected = Code.ARCHIVE_TRUNCATED if cut > data.index(b"\n") or not cut else Code.ARCHIVE_FOREIGN
        assert refusal(data[:cut], lock).code == expected, cut


def test_a_flipped_bit_anywhere_is_noticed_or_changes_nothing(plain_archive: bytes) -> None:
    tar = gzip.decompress(plain_archive)
    harmless = 0
    for at in range(len(plain_archive)):
        for bit in (0, at % 7 + 1):
            data = bytearray(plain_archive)
            data[at] ^= 1 << bit
            try:
                checked(bytes(data))
            except ArchiveError:
                continue
            # the time in gzip's header is under no checksum, and zeros may be copied from other zeros
            assert gzip.decompress(data) == tar
            assert at < len(plain_archive) - 8
            harmless += 1

    assert harmless < len(plain_archive) / 20


def test_a_flipped_bit_in_headers_and_contents_is_noticed_even_under_a_right_gzip(plain_archive: bytes) -> None:
    tar = gzip.decompress(plain_archive)
    with tarfile.open(fileobj=BytesIO(tar)) as archive:
        infos = archive.getmembers()
    checksummed = {info.offset_data + at for info in infos for at in range(-512, 0)}
    checksummed |= {info.offset_data + at for info in infos if "json" not in info.name for at in range(info.size)}
    # a checksum may be padded in many ways
    padding = {info.offset_data - 512 + at for info in infos for at in range(148, 156)}
    for at in sorted(checksummed - padding):
        changed = bytearray(tar)
        changed[at] ^= 1 << at % 8
        assert refusal(gzip.compress(changed, 0)).code, at


def test_a_flipped_bit_anywhere_in_an_encrypted_archive_is_noticed_or_changes_nothing(tree: Path) -> None:
    lock = small_lock(200)
    data = archive_of_files(tree, lock)
    head = data.index(b"\n")
    ends = {at for at in range(len(data)) if data[at : at + 1] in {b"=", b"\n"}}
    expected = checked(data, lock)
    harmless = []
    for at in range(head, len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        try:
            assert checked(bytes(changed), lock) == expected
        except ArchiveError:
            continue
        harmless.append(at)

    # the last digit of base64 has bits that stand for nothing
    assert all(at + 1 in ends for at in harmless)


def test_an_encrypted_archive_needs_its_key(tree: Path) -> None:
    lock = small_lock()
    data = archive_of_files(tree, lock)

    assert refusal(data).code == Code.PASSPHRASE_REQUIRED
    assert refusal(data, small_lock()).code == Code.ARCHIVE_DAMAGED


@pytest.mark.parametrize("data", [b"", b"x", b"{", b"{}\n", b"PK\3\4" * 100, bytes(1024)], ids=repr)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    assert refusal(data, small_lock()).code in {Code.ARCHIVE_FOREIGN, Code.ARCHIVE_TRUNCATED}


def test_what_a_cell_s_own_backup_makes_passes_as_foreign(tree: Path, small: Built) -> None:
    for root, flags in ((tree, ()), (small.root, ("--format=gnu", "--sparse", "--exclude=./link"))):
        packed = subprocess.run(["gzip"], input=tar_of(root, *flags), capture_output=True, check=True).stdout
        report = checked(packed)

        assert (report.header, report.manifest) == (None, None)
        assert report.files
        assert refusal(packed[:-9]).code == Code.ARCHIVE_TRUNCATED


def test_a_foreign_archive_without_its_end_is_truncated() -> None:
    missing = refusal(gzip.compress(file_member(b"a", b"1")))
    assert (missing.code, str(missing)) == (Code.ARCHIVE_TRUNCATED, "The tar stream ends too early after a.")
    assert str(refusal(gzip.compress(file_member(b"a", b"1")[:-512]))) == "The tar stream ends too early in a."
    assert str(refusal(gzip.compress(block()[:-1]))) == "The tar stream ends too early after its beginning."
    assert refusal(gzip.compress(file_member(b"a", b"1") + bytes(512))).code == Code.ARCHIVE_TRUNCATED
    assert refusal(gzip.compress(file_member(b"a", b"1") + bytes(512) + block())).code == Code.ARCHIVE_DAMAGED
    assert refusal(gzip.compress(file_member(b"a", b"1") + END_OF_ARCHIVE + b"x")).code == Code.ARCHIVE_DAMAGED
    assert refusal(gzip.compress(END_OF_ARCHIVE)).code == Code.ARCHIVE_FOREIGN


@pytest.mark.parametrize(
    "wrong",
    [
        block(kind=b"S", size=b"%011o" % 0, magic=b"ustar  \0")[:386] + b"x" * 96 + bytes(30),
        pax({b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"x"}) + block(),
        pax({b"GNU.sparse.size": b"100", b"GNU.sparse.map": b"0,50"}) + block(),
        pax({b"mtime": b"now"}) + block(),
        block(size=b"\xff" * 12),
        pax({b"comment": b"x"}, kind=b"g") + block(),
    ],
    ids=["old map", "real size", "short data", "time", "negative size", "global header"],
)
def test_a_malformed_tar_is_damage(wrong: bytes) -> None:
    # the first one's checksum is put right again, as its map is what is wrong
    raw = bytearray(wrong[-512:])
    headers.seal(raw)

    error = refusal(gzip.compress(file_member(b"good", b"1") + wrong[:-512] + raw + END_OF_ARCHIVE))

    assert error.code == Code.ARCHIVE_DAMAGED


HEADER, SUMS, MANIFEST = FOLDER + "header.json", FOLDER + "SHA256SUMS", FOLDER + "manifest.json"


def written_by_hand(content: bytes, sums: bytes, closing: Manifest) -> bytes:
    members = (HEADER, dump_header(header())), ("f", content), (SUMS, sums), (MANIFEST, dump_manifest(closing))
    return gzip.compress(b"".join(file_member(name.encode(), data) for name, data in members) + END_OF_ARCHIVE, 1)


def test_a_member_without_a_line_passes_only_where_the_manifest_calls_it_damaged() -> None:
    assert refusal(written_by_hand(b"x", b"", manifest([result(CELL), result(VOLUME)]))).code == Code.ARCHIVE_DAMAGED
    assert checked(written_by_hand(b"x", b"", manifest([result(CELL, ["f"]), result(VOLUME)]))).files == 1
    assert refusal(written_by_hand(b"x", b"", manifest([result(CELL, ["g"]), result(VOLUME)]))).code == (
        Code.ARCHIVE_DAMAGED
    )


@pytest.mark.parametrize("name", [b"plain", b"line\nfeed", b"back\\slash", b"return\r", b"\xff\xfe"], ids=repr)
def test_a_damaged_member_of_any_name_is_known_by_it(name: bytes) -> None:
    stream = file_member(b"./" + name, b"x" * 5000)

    report = checked(archive_of_volume(stream[:2000]))

    assert report.manifest is not None
    assert report.manifest.parts[1].damaged == (PREFIX + readable(name),)


def test_a_name_that_only_looks_like_the_archive_s_own_is_a_file_like_any_other() -> None:
    stream = file_member(b"./.cell-backup/header.json", b"x") + END_OF_ARCHIVE

    assert checked(archive_of_volume(stream)).files == 1


def test_a_document_without_an_end_is_hostile() -> None:
    huge = headers.encode(Member(HEADER.encode(), size=65 << 20)) + bytes(65 << 20)

    assert refusal(gzip.compress(huge + END_OF_ARCHIVE, 1)).code == Code.ARCHIVE_HOSTILE


def test_members_that_are_no_files_need_no_line(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")

    report = checked(archive_of_volume(tar_of(tmp_path, "--format=posix")))

    assert (report.files, report.members) == (0, 7)


def test_outcome_and_parts_come_back_as_they_were_written() -> None:
    odd = replace(result(CELL), warnings=("odd \\xff", "é\n"), seconds=1.5, exit_code=1, way="exec")

    fit = replace(odd, warnings=("odd \\xff", "é\\n"))
    assert checked(written_by_hand(b"", LINE_OF_EMPTY, manifest([odd, result(VOLUME)]))).manifest == manifest(
        [fit, result(VOLUME)]
    )


def test_texts_that_go_on_to_people_are_short_and_printable() -> None:
    fault = PartFault("x", "\x1b[2J" + "Z" * 2000, "")
    odd = PartResult(CELL, PartOutcome.FAILED, warnings=("w",) * 2000, damaged=("f",) * 2000, error=fault)
    report = checked(written_by_hand(b"", LINE_OF_EMPTY, manifest([odd, result(VOLUME)])))

    assert report.manifest is not None
    told = report.manifest.parts[0]
    assert (len(told.warnings), len(told.damaged)) == (1000, 1000)
    assert told.error is not None
    assert told.error.message.startswith("\\x1b[2JZZZ")
    assert len(told.error.message) == 1000


def test_a_volume_that_is_said_to_be_saved_and_is_not_there_is_damage() -> None:
    error = refusal(written_by_hand(b"", LINE_OF_EMPTY, manifest([result(CELL), result(VOLUME, files=3)])))

    assert error.code == Code.ARCHIVE_DAMAGED
    assert "mail/mailboxes" in error.message


LINE_OF_EMPTY = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  f\n"
