"""Archives of volumes for tests, and how one comes out of them again."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from app.archive.dialects import Dialect
from app.archive.outgoing import VolumeReader
from app.archive.parts import Part, PartKind
from app.archive.reader import tar_stream
from app.archive.relay import Meter
from app.archive.writer import archive_writer
from tests.support.trees import Tree
from tests.unit.archive.archives import VOLUME, header, manifest, result
from tests.unit.archive.support import Feed, Output, go_on, opened

NOTES = Part(PartKind.VOLUME, "notes", service="notes", container="cell-notes", path="/notes")
FILES = Part(PartKind.VOLUME, "all", service="files", container="cell-files", path="/srv")


@dataclass(frozen=True, slots=True)
class Taken:
    """Hold what came out of an archive, and what the reader said about it."""

    tar: bytes
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]
    meter: Meter


def archive_of(streams: Mapping[Part, bytes]) -> bytes:
    """Write an archive of volumes by the real relay and writer; gives the tar stream in it."""
    output = Output()
    with archive_writer(output.write, Path("/tmp"), lock=None, gzip_level=0) as writer:
        writer.begin(header(tuple(streams)))
        results = []
        for part, stream in streams.items():
            relay = writer.relay(part.prefix)
            relay.copy(Feed(stream), go_on)
            relay.close_cut(go_on)
            results.append(result(part, files=relay.files))
        writer.finish(manifest(results))
    return b"".join(tar_stream(opened(bytes(output.data)), None))


def in_pieces(data: bytes, size: int) -> Iterable[bytes]:
    """Cut a stream into pieces of one size."""
    return (data[at : at + size] for at in range(0, len(data), size))


def reader_of(tar: bytes, size: int = 1 << 20) -> VolumeReader:
    """Give a reader of an archive's tar stream, which it gets in pieces of a size."""
    return VolumeReader(iter(in_pieces(tar, size)), meter=Meter(), keep_going=go_on)


def take(
    tar: bytes,
    dialect: Dialect = Dialect.PAX,
    *,
    part: Part = VOLUME,
    size: int = 1 << 20,
    leave_out: Collection[str] = (),
) -> Taken:
    """Take one volume out of an archive's tar stream."""
    meter = Meter()
    reader = VolumeReader(iter(in_pieces(tar, size)), meter=meter, keep_going=go_on)
    out = b"".join(reader.volume(part.prefix, dialect, leave_out=leave_out))
    return Taken(out, tuple(reader.left_out), tuple(reader.warnings), meter)


def without_devices(tree: Tree) -> Tree:
    """Leave out what no archive takes."""
    return {path: facts for path, facts in tree.items() if not facts.device}


def in_whole_seconds(tree: Tree) -> Tree:
    """Cut times as a format does that has no smaller unit."""
    return {path: replace(facts, mtime=facts.mtime // 10**9 * 10**9) for path, facts in tree.items()}
