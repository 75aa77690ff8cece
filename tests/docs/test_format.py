"""The page on the archive format, held against real archives."""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from app.archive.encryption import EncryptingSink
from app.archive.envelope import Envelope, Slot, new_envelope
from app.archive.manifest import Header, Manifest
from app.archive.parts import Part, PartResult
from app.catalog.base import Entry, Verification
from tests.docs.pages import blocks, literals, page, section, tables
from tests.faults.restoring import PASSPHRASE
from tests.service.alone import Archives, make_archives
from tests.service.terminal import Session, answer_on_terminal

PAGE = page("format.md")
OWN = (".cell-backup/header.json", ".cell-backup/SHA256SUMS", ".cell-backup/manifest.json")

Read = Callable[[Path, str], Session]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Give real archives of one cell with two volumes."""
    return make_archives(tmp_path_factory.mktemp("archives"))


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Give what runs the page's reader, as its reader would: in a shell of its own, without this project."""
    (script,) = blocks(section(PAGE, "Opening an encrypted archive"), "python")
    place = tmp_path / "open.py"
    place.write_text(script, encoding="utf-8")

    def reading(archive: Path, passphrase: str) -> Session:
        command: list[str | Path] = [sys.executable, "-P", place, archive]
        return answer_on_terminal(command, passphrase, environment={"LC_ALL": "C.UTF-8"}, directory=tmp_path)

    return reading


def members_of(content: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        for member in tar:
            held = tar.extractfile(member) if member.isreg() else None
            yield member, held.read() if held else b""


def test_the_reader_of_the_page_opens_a_real_encrypted_archive(archives: Archives, read: Read) -> None:
    session = read(archives.locked, PASSPHRASE)
    assert session.code == 0, session.screen
    members = list(members_of(session.output))
    names = [member.name for member, _ in members]
    assert (names[0], *names[-2:]) == OWN
    content = dict(zip(names, (data for _, data in members), strict=True))
    listed = dict(line.split("  ", 1)[::-1] for line in content[OWN[1]].decode().splitlines())
    files = {member.name for member, _ in members if member.isreg()} - set(OWN)
    assert files
    assert listed == {name: hashlib.sha256(content[name]).hexdigest() for name in files}


def test_the_reader_of_the_page_refuses_a_wrong_passphrase(archives: Archives, read: Read) -> None:
    session = read(archives.locked, "wrong")
    assert (session.code, session.output) == (1, b"")
    assert "the passphrase is wrong" in session.screen


def chunked(place: Path) -> list[bytes]:
    """Write an archive of five small chunks; give its six lines, and one that could be a sixth chunk behind its end."""
    envelope, data_key = new_envelope(PASSPHRASE, scrypt_n=1024)
    lines = io.BytesIO()
    small = Envelope(envelope.archive_id, envelope.slots, chunk=16)
    sink = EncryptingSink(lambda piece: void(lines.write(piece)), small, data_key)
    sink.write(bytes(range(70)))
    sink.finish()
    place.write_bytes(lines.getvalue())
    sink.write(b"more")
    sink.finish()
    return lines.getvalue().splitlines(keepends=True)


def void(_: int) -> None:
    """Give nothing."""


def test_the_reader_of_the_page_puts_chunks_together(read: Read, tmp_path: Path) -> None:
    archive = tmp_path / "small.age"
    assert len(chunked(archive)) == 7
    assert read(archive, PASSPHRASE).output == bytes(range(70))


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ([0, 1, 2, 3, 4], "the end is missing"),
        ([0, 1, 3, 2, 4, 5], "a chunk is out of place"),
        ([0, 1, 2, 2, 3, 4, 5], "a chunk is out of place"),
        ([0, 1, 2, 3, 4, 5, 6], "a chunk is out of place"),
    ],
    ids=["cut", "reordered", "repeated", "something behind the end"],
)
def test_the_reader_of_the_page_notices_what_is_wrong(
    order: list[int], complaint: str, read: Read, tmp_path: Path
) -> None:
    archive = tmp_path / "small.age"
    lines = chunked(archive)
    archive.write_bytes(b"".join(lines[number] for number in order))
    session = read(archive, PASSPHRASE)
    assert session.code == 1
    assert complaint in session.screen


def test_the_reader_of_the_page_tries_every_slot(read: Read, tmp_path: Path) -> None:
    archive = tmp_path / "small.age"
    lines = chunked(archive)
    head = json.loads(lines[0])
    other, _ = new_envelope("another one", scrypt_n=1024)
    head["slots"].insert(0, other.slots[0].model_dump())
    archive.write_bytes(json.dumps(head).encode() + b"\n" + b"".join(lines[1:6]))
    assert read(archive, PASSPHRASE).output == bytes(range(70))


def keys_of(heading: str, table: int = 0) -> list[str]:
    return [key for row in tables(section(PAGE, heading))[table] for key in literals(row["key"])]


def names_of(model: type[Any]) -> set[str]:
    return {field.name for field in fields(model)}


@pytest.mark.parametrize(
    ("heading", "table", "model"),
    [
        ("header.json", 0, Header), ("header.json", 1, Part),
        ("manifest.json", 0, Manifest), ("manifest.json", 1, PartResult),
        ("The sidecar", 0, Entry),
    ],
)  # fmt: skip
def test_the_page_has_every_key_of_a_document(heading: str, table: int, model: type[Any]) -> None:
    told = keys_of(heading, table)
    assert len(told) == len(set(told))
    assert set(told) == names_of(model)


def test_the_page_has_every_key_of_a_verification() -> None:
    (row,) = [row for row in tables(section(PAGE, "The sidecar"))[0] if row["key"] == "`verified`"]
    assert set(literals(row["what it is"])) == names_of(Verification)


def test_real_documents_have_those_keys(archives: Archives) -> None:
    content = {member.name: data for member, data in members_of(archives.full.read_bytes())}
    header, manifest = (json.loads(content[name]) for name in (OWN[0], OWN[2]))
    sidecar = json.loads(archives.full.with_name(archives.full.name.removesuffix(".tar.gz") + ".json").read_bytes())
    assert set(header) == set(keys_of("header.json"))
    assert {key for part in header["parts"] for key in part} == set(keys_of("header.json", 1))
    assert set(manifest) == set(keys_of("manifest.json"))
    assert {key for result in manifest["parts"] for key in result} == set(keys_of("manifest.json", 1))
    assert [result["part"] for result in manifest["parts"]] == header["parts"]
    assert set(sidecar) == set(keys_of("The sidecar"))
    assert (header["version"], manifest["version"]) == (1, 1)


def test_members_follow_in_the_order_that_the_page_names(archives: Archives) -> None:
    with gzip.open(archives.full) as plain:
        content = gzip.compress(plain.read())
    names = [member.name for member, _ in members_of(content)]
    marks = ["data/vault/ca.key", ".env", "config/caddy/Caddyfile", "data/ddns_token",
             "data/service_credentials/mail.json", "data/something/else"]  # fmt: skip
    assert sorted(marks, key=names.index) == marks
    volumes = [name for name in names if name.startswith("services/")]
    assert volumes
    assert names[-2 - len(volumes) : -2] == volumes


def test_the_first_line_has_the_keys_and_the_shape_of_the_page(archives: Archives) -> None:
    with archives.locked.open("rb") as lines:
        head = json.loads(lines.readline())
    assert set(head) == set(keys_of("Encrypted"))
    (shown,) = [json.loads(text) for text in [_indented(section(PAGE, "Encrypted"))]]
    assert set(shown) == set(head)
    assert [set(slot) for slot in shown["slots"]] == [set(Slot.model_fields)]
    assert (shown["version"], head["version"], head["chunk"]) == (1, 1, shown["chunk"])


def _indented(text: str) -> str:
    return "".join(line for line in text.splitlines() if line.startswith("    "))
