"""Verification of archives that somebody took apart and put together again, with something changed."""

import tarfile
from collections.abc import Callable, Sequence
from io import BytesIO

import pytest

from app.archive.verify import verify
from app.errors import ArchiveError, Code
from tests.unit.archive.archives import archive_of_files

FOLDER = ".cell-backup/"
Rebuild = Callable[[list[tuple[str, bytes]]], Sequence[tuple[str, bytes]]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    root = tmp_path_factory.mktemp("cell")
    (root / "config").mkdir()
    for name, content in (("a", b"aaa"), ("b\n", b"b"), ("c\\", b"cc"), ("empty", b"")):
        (root / "config" / name).write_bytes(content)
    return archive_of_files(root)


def rebuilt(data: bytes, change: Rebuild) -> bytes:
    """Unpack an archive by tarfile, change the list of its members, and pack it again."""
    with tarfile.open(fileobj=BytesIO(data), mode="r:gz") as tar:
        found = []
        for info in tar:
            file = tar.extractfile(info) if info.isreg() else None
            found.append((info.name, file.read() if file else b""))
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        for name, content in change(found):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    return out.getvalue()


def without(name: str) -> Rebuild:
    return lambda members: [item for item in members if item[0] != name]


def with_content(name: str, change: Callable[[bytes], bytes]) -> Rebuild:
    return lambda members: [(one, change(content) if one == name else content) for one, content in members]


def moved(name: str, to: int) -> Rebuild:
    def change(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        rest = [item for item in members if item[0] != name]
        item = next(item for item in members if item[0] == name)
        return [*rest[: to % (len(rest) + 1)], item, *rest[to % (len(rest) + 1) :]]

    return change


def files_only(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Leave out what tarfile's copy would turn into an empty file."""
    return [item for item in members if item[1] or item[0].endswith("empty")]


def test_a_rebuilt_archive_that_holds_the_same_passes(archive: bytes) -> None:
    assert verify(BytesIO(rebuilt(archive, files_only)), data_key=None).files == 4


HEADER, SUMS, MANIFEST = FOLDER + "header.json", FOLDER + "SHA256SUMS", FOLDER + "manifest.json"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(without("config/a"), Code.ARCHIVE_DAMAGED, id="a file is missing"),
        pytest.param(without("config/empty"), Code.ARCHIVE_DAMAGED, id="an empty file is missing"),
        pytest.param(with_content("config/a", lambda _: b"other"), Code.ARCHIVE_DAMAGED, id="a file is another"),
        pytest.param(lambda m: [*m[:2], ("new", b"x"), *m[2:]], Code.ARCHIVE_DAMAGED, id="a file is new"),
        pytest.param(
            lambda m: [*m[:-1], ("new", b"x"), m[-1]], Code.ARCHIVE_DAMAGED, id="a new one after the checksums"
        ),
        pytest.param(lambda m: [*m[:2], m[1], *m[2:]], Code.ARCHIVE_HOSTILE, id="a file is there twice"),
        pytest.param(lambda m: [m[0], m[2], m[1], *m[3:]], Code.ARCHIVE_DAMAGED, id="two files are swapped"),
        pytest.param(without(HEADER), Code.ARCHIVE_DAMAGED, id="no header"),
        pytest.param(without(SUMS), Code.ARCHIVE_DAMAGED, id="no checksums"),
        pytest.param(without(MANIFEST), Code.ARCHIVE_TRUNCATED, id="no manifest"),
        pytest.param(moved(HEADER, 1), Code.ARCHIVE_DAMAGED, id="header second"),
        pytest.param(moved(HEADER, -1), Code.ARCHIVE_DAMAGED, id="header last"),
        pytest.param(moved(MANIFEST, 1), Code.ARCHIVE_DAMAGED, id="manifest second"),
        pytest.param(moved(MANIFEST, -2), Code.ARCHIVE_DAMAGED, id="manifest before checksums"),
        pytest.param(moved(SUMS, 1), Code.ARCHIVE_DAMAGED, id="checksums second"),
        pytest.param(moved("config/a", -1), Code.ARCHIVE_DAMAGED, id="a file after the manifest"),
        pytest.param(moved("config/a", -2), Code.ARCHIVE_DAMAGED, id="a file after the checksums"),
        pytest.param(lambda m: [*m, m[-1]], Code.ARCHIVE_DAMAGED, id="two manifests"),
        pytest.param(lambda m: [m[0], *m], Code.ARCHIVE_DAMAGED, id="two headers"),
        pytest.param(lambda m: [*m[:-1], m[-2], m[-1]], Code.ARCHIVE_DAMAGED, id="checksums twice"),
        pytest.param(
            lambda m: [m[0], (FOLDER + "own", b"x"), *m[1:]], Code.ARCHIVE_DAMAGED, id="an unknown member of its own"
        ),
        pytest.param(with_content(SUMS, lambda _: b""), Code.ARCHIVE_DAMAGED, id="checksums empty"),
        pytest.param(with_content(SUMS, lambda c: c[:-1]), None, id="checksums without their last line feed"),
        pytest.param(with_content(SUMS, lambda c: c + b"x\n"), Code.ARCHIVE_DAMAGED, id="a line too many"),
        pytest.param(with_content(SUMS, lambda c: c[65:]), Code.ARCHIVE_DAMAGED, id="a line cut"),
        pytest.param(with_content(HEADER, lambda _: b"{}"), Code.ARCHIVE_DAMAGED, id="header empty"),
        pytest.param(with_content(MANIFEST, lambda c: c[:-5]), Code.ARCHIVE_DAMAGED, id="manifest cut"),
        pytest.param(
            with_content(HEADER, lambda c: c.replace(b'"version": 1', b'"version": 2')),
            Code.ARCHIVE_TOO_NEW,
            id="header of a newer format",
        ),
        pytest.param(
            with_content(MANIFEST, lambda _: b'{"format":"cell-backup","version":2,"other":[]}'),
            Code.ARCHIVE_TOO_NEW,
            id="manifest of a newer format",
        ),
        pytest.param(
            with_content(HEADER, lambda c: c.replace(b"abcdef", b"012345")),
            Code.ARCHIVE_DAMAGED,
            id="header of another backup",
        ),
        pytest.param(
            with_content(MANIFEST, lambda c: c.replace(b'"vault"', b'"other"')),
            Code.ARCHIVE_DAMAGED,
            id="manifest of other parts",
        ),
    ],
)
def test_members_that_were_changed_are_noticed(archive: bytes, change: Rebuild, code: Code | None) -> None:
    data = rebuilt(archive, lambda members: change(files_only(members)))

    if code is None:
        verify(BytesIO(data), data_key=None)
        return
    with pytest.raises(ArchiveError) as caught:
        verify(BytesIO(data), data_key=None)
    assert caught.value.code == code
