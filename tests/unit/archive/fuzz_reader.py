"""A fuzz run of the reader, which pytest leaves alone: `python -m tests.unit.archive.fuzz_reader [RUNS [FOLDER]]`.

With atheris installed (it is no dependency) coverage leads the run, and FOLDER keeps what it found worth keeping;
otherwise short valid streams are changed at random. Checksums are put right again, so that changes get past them.
"""

import importlib
import inspect
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from types import FunctionType
from typing import Any

from app.archive import (
    guard,
    headers,
    names,
    outgoing,
    plain_volumes,
    raw_reader,
    reader,
    sparse,
    typical_cut,
    typical_file,
    typical_proof,
    verify,
)
from app.archive.dialects import Dialect
from app.archive.guard import Limits
from app.archive.headers import BLOCK, END_OF_ARCHIVE, HARD_LINK, SYMLINK, MalformedTarError, Member, encode, seal
from app.archive.manifest import HEADER_NAME, dump_header
from app.archive.outgoing import VolumeReader
from app.archive.reader import TarReader
from app.archive.relay import Meter
from app.archive.verify import Report, verify_tar
from app.errors import ArchiveError, Code, JobError
from tests.support.tars import SERVICE_FLAGS, tar_of
from tests.support.trees import write_sparse
from tests.unit.archive.archives import VOLUME, archive_of_files, header
from tests.unit.archive.support import file_member, pax
from tests.unit.archive.taking import Shelf
from tests.unit.archive.volumes import archive_of, in_pieces, reader_of

MODULES = (
    guard,
    headers,
    names,
    outgoing,
    plain_volumes,
    raw_reader,
    reader,
    sparse,
    typical_cut,
    typical_file,
    typical_proof,
    verify,
)
LIMITS = Limits(members=60, cell_files=50, expansion=4, free_bytes=1 << 22)
MOST_SECONDS = 2.0
MOST_BYTES = 64 << 10
WORDS = (
    b"..",
    b"/",
    b"./",
    b"../" * 3,
    b"services/mail/mailboxes/",
    b".cell-backup/",
    b"config/",
    b"GNU.sparse.map=0,1,2,3",
    b"GNU.sparse.major=1",
    b"GNU.sparse.name=",
    b"path=",
    b"linkpath=",
    b"size=",
    b"\xff" * 8,
    b"\x80" + bytes(10) + b"\x01",
    b"\0",
    b"0",
    b"7",
    b"S",
    b"x",
    b"L",
    b"1",
    b"2",
    b"5",
)


def one_input(data: bytes) -> str:
    """Read one stream: it passes, or is refused by an error of ours, in bounded time; gives the code.

    In one piece its typical files go the short way, in pieces of a block none does: both must say the same.
    """
    began = time.monotonic()
    code, report = _proven(data, len(data) or 1)
    slowly, other = _proven(data, BLOCK)
    assert slowly == code, (code, slowly)
    if report is not None and other is not None:
        assert (report.members, report.files, report.bytes) == (other.members, other.files, other.bytes)
        assert report.plain == other.plain
        for volume in report.plain:
            _check_volume(data, volume.decode(), report)
    assert time.monotonic() - began < MOST_SECONDS, "too slow"
    return code


def _proven(data: bytes, piece: int) -> tuple[str, Report | None]:
    left = iter(range(2 * MOST_BYTES // BLOCK))

    def keep_going() -> None:
        if next(left, None) is None:
            raise JobError(Code.CANCELLED, "enough")

    shelf = Shelf()
    pieces = in_pieces(data, piece)
    try:
        report = verify_tar(pieces, size=len(data), receiver=shelf, limits=LIMITS, keep_going=keep_going)
    except (ArchiveError, JobError) as error:
        return error.code.value, None
    assert all(kept.end == "whole" for kept in shelf.kept.values() if kept.member.is_file)
    return "passes", report


def _check_volume(data: bytes, volume: str, report: Report) -> None:
    """Hold a volume that passes as it is against the same one with its members looked at, in large and small pieces."""
    reader = VolumeReader(iter([data]), meter=Meter(), keep_going=lambda: None, plain=report.plain)
    as_it_is = _members(b"".join(reader.plain_volume(volume)), volume.encode())
    for piece in (len(data), BLOCK):
        looked_at = b"".join(reader_of(data, piece).volume(volume, Dialect.PAX))
        assert _members(looked_at, b"") == as_it_is


def _members(tar: bytes, prefix: bytes) -> list[tuple[bytes, int, bytes, int, int, int, bytes]]:
    """Give what a tar would make of a stream whose names have this prefix."""
    stream = TarReader(iter([tar]))
    found = []
    for read in stream.members():
        member = read.member
        name, link = member.name, member.link
        if prefix:
            link = b"./" + link.removeprefix(prefix) if member.kind == HARD_LINK else link
            name = b"./" + name.removeprefix(prefix).removeprefix(b"./")
        facts = (name.rstrip(b"/"), member.kind, link, member.mode, member.uid, member.gid)
        found.append((*facts, b"".join(stream.data())))
    return found


def repaired(data: bytes) -> bytes:
    """Put right the checksum of each header, walking from one to the next as far as the sizes lead."""
    stream = bytearray(data)
    at = 0
    while at + BLOCK <= len(stream):
        block = stream[at : at + BLOCK]
        if any(block):
            seal(block)
            stream[at : at + BLOCK] = block
        try:
            size = headers.number(bytes(block[124:136])) if block[156] in b"\x000xLKgS7" else 0
        except MalformedTarError:
            break
        if not 0 <= size <= len(stream):
            break
        at += BLOCK + size + headers.padding(size)
    return bytes(stream)


def seeds() -> Iterator[bytes]:
    """Give short valid streams of every format."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "cell")
        (root / "config" / "api").mkdir(parents=True)
        (root / "config" / "api" / "cell_config.json").write_bytes(b"{}\n" * 100)
        (root / "config" / "twin").hardlink_to(root / "config" / "api" / "cell_config.json")
        (root / "config" / "link").symlink_to("api/../twin")
        (root / "data").mkdir()
        write_sparse(root / "data" / "sparse", 1 << 15, [(0, b"s" * 600), (1 << 14, b"t" * 100)])
        (root / "data" / ("long-" * 30)).write_bytes(b"x" * 10)
        for flags in (
            SERVICE_FLAGS,
            ("--format=gnu", "--sparse"),
            ("--format=posix", "--sparse", "--sparse-version=0.1"),
            ("--format=posix", "--sparse", "--sparse-version=0.0"),
            ("--format=v7", "--exclude=long-*"),
        ):
            yield tar_of(root, "--blocking-factor=1", "--sort=name", *flags)
        yield b"".join(reader.tar_stream(BytesIO(archive_of_files(root)), None))
    first = file_member(HEADER_NAME, dump_header(header()))
    links = encode(Member(b"a", SYMLINK, link=b"b/../c")) + encode(
        Member(b"services/mail/mailboxes/x", HARD_LINK, link=b"services/mail/mailboxes/y")
    )
    yield _mailboxes(("--format=posix",))
    yield _mailboxes(("--format=gnu",))
    yield first + file_member(b"config/a", b"1") + links + END_OF_ARCHIVE
    yield pax({b"path": b"config/x", b"size": b"3"}) + file_member(b"y", b"abc") + END_OF_ARCHIVE


def _mailboxes(flags: Sequence[str]) -> bytes:
    """Give an archive with a volume of small files, links and folders, as the relay writes it."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for number in range(6):
            mail = root / f"user{number // 3}" / "cur" / f"{number}.M1P1.cell:2,S"
            mail.parent.mkdir(parents=True, exist_ok=True)
            mail.write_bytes(bytes([65 + number]) * (number * 300))
        (root / "user0" / "new").symlink_to("cur")
        (root / "user1" / "same").hardlink_to(root / "user1" / "cur" / "4.M1P1.cell:2,S")
        return archive_of({VOLUME: tar_of(root, "--blocking-factor=1", "--sort=name", *flags)})


def changed(data: bytes, chance: random.Random) -> bytes:
    """Change a stream in a few places."""
    stream = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        block = chance.randrange(max(1, len(stream) // BLOCK)) * BLOCK
        at = block + chance.choice((0, 0, 100, 124, 136, 156, 157, 257, 345, 386, 482, 483, chance.randrange(BLOCK)))
        match chance.randrange(9):
            case 0:
                del stream[block : block + BLOCK * chance.randint(1, 3)]
            case 1:
                stream[block:block] = stream[block : block + BLOCK * chance.randint(1, 3)]
            case 2:
                other = chance.randrange(max(1, len(stream) // BLOCK)) * BLOCK
                stream[block : block + BLOCK] = stream[other : other + BLOCK]
            case 3:
                stream[at : at + 1] = bytes([chance.randrange(256)])
            case 4:
                del stream[at:]
            case _:
                word = chance.choice(WORDS)
                stream[at : at + len(word)] = word
    return bytes(stream[:MOST_BYTES])


def run_at_random(runs: int, seed: int) -> None:
    """Change the seeds, and what came of them before, `runs` times."""
    chance = random.Random(seed)
    pool = list(seeds())
    codes: dict[str, int] = {}
    for number in range(runs):
        data = changed(chance.choice(pool), chance)
        if chance.randrange(16):
            data = repaired(data)
        try:
            code = one_input(data)
        except BaseException:
            Path(f"crash-{seed}-{number}").write_bytes(data)
            raise
        codes[code] = codes.get(code, 0) + 1
        if code == "passes" and not chance.randrange(20):
            pool = [*pool[:400], data]
        if number % 50_000 == 0:
            print(number, codes, flush=True)  # noqa: T201 - a program
    print("done", runs, codes)  # noqa: T201 - a program


def run_with(atheris: Any, runs: int, folder: Path) -> None:
    """Let coverage choose the changes."""
    for module in MODULES:
        for owner in (module, *(kind for _, kind in inspect.getmembers(module, inspect.isclass))):
            for function in vars(owner).values():
                if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                    atheris.instrument_func(function)
    folder.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds()):
        (folder / f"seed-{number}").write_bytes(seed)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        mutated = changed(data, chance) if chance.randrange(3) else atheris.Mutate(data, most)
        return repaired(mutated)[:most]

    atheris.Setup(
        [sys.argv[0], f"-runs={runs}", f"-max_len={MOST_BYTES}", "-timeout=20", str(folder)],
        one_input,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp())
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        run_at_random(runs, seed=1)
    else:
        run_with(atheris, runs, folder)


if __name__ == "__main__":
    main()
