"""What the tests of the archive room share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from itertools import repeat

from app.archive import headers
from app.archive.headers import END_OF_ARCHIVE, Member
from app.archive.reader import TarReader
from app.archive.relay import Meter, Pieces, TarRelay
from app.archive.sums import SumsSpool
from app.errors import PartError

PREFIX = "services/mail/mailboxes/"
EVERYTHING_AT_ONCE = 1 << 30


def go_on() -> None:
    """Stand for a job that nobody cancels."""


class Feed:
    """Give a stream in pieces of the sizes told; the last size goes on for ever."""

    def __init__(self, data: bytes, sizes: Iterable[int] = (EVERYTHING_AT_ONCE,)) -> None:
        self._data = memoryview(data)
        self._sizes = iter(_for_ever(sizes))

    def read_into(self, buffer: memoryview) -> int:
        piece = self._data[: min(len(buffer), next(self._sizes))]
        buffer[: len(piece)] = piece
        self._data = self._data[len(piece) :]
        return len(piece)


def _for_ever(sizes: Iterable[int]) -> Iterator[int]:
    size = 1
    for given in sizes:
        size = given
        yield size
    yield from repeat(size)


class Output:
    """Collect what comes out."""

    def __init__(self) -> None:
        self.data = bytearray()

    def put(self, pieces: Pieces) -> None:
        for piece in pieces:
            self.data += piece

    def write(self, data: bytes) -> None:
        self.data += data


@dataclass(frozen=True, slots=True)
class Relayed:
    """Hold what became of one stream; `tar` has an end-of-archive of its own."""

    tar: bytes
    sums: bytes
    files: int
    bytes: int
    whole: bool
    damaged: tuple[str, ...]
    warnings: tuple[str, ...]
    error: PartError | None
    meter: Meter


def relay(
    stream: bytes,
    sizes: Iterable[int] = (EVERYTHING_AT_ONCE,),
    *,
    exclude: Sequence[str] = (),
    then: bytes | None = None,
    prefix: str = PREFIX,
) -> Relayed:
    """Relay a stream, a second one (`then`) after `resume`, and close what was cut, as the worker does."""
    output, meter = Output(), Meter()
    error = None
    with closing(SumsSpool(None)) as sums:
        passing = TarRelay(prefix, output.put, sums, meter, exclude=exclude)
        try:
            passing.copy(Feed(stream, sizes), go_on)
            if then is not None:
                passing.resume(go_on)
                passing.copy(Feed(then, sizes), go_on)
        except PartError as raised:
            error = raised
        passing.close_cut(go_on)
        lines = b"".join(sums.pieces())
    return Relayed(
        tar=bytes(output.data) + END_OF_ARCHIVE,
        sums=lines,
        files=passing.files,
        bytes=passing.bytes,
        whole=passing.whole,
        damaged=tuple(passing.damaged),
        warnings=tuple(passing.warnings),
        error=error,
        meter=meter,
    )


def members(tar: bytes) -> list[Member]:
    """Read the members of a tar by the archive's own reader."""
    return [read.member for read in TarReader(iter([tar])).members()]


def file_member(name: bytes, content: bytes) -> bytes:
    """Make a whole member with contents."""
    head = headers.encode(Member(name, size=len(content)))
    return head + content + bytes(headers.padding(len(content)))


def block(name: bytes = b"./x", **fields: bytes) -> bytes:
    """Make one header block by hand, with raw fields and a right checksum."""
    places = {
        "mode": (100, 108),
        "uid": (108, 116),
        "gid": (116, 124),
        "size": (124, 136),
        "mtime": (136, 148),
        "kind": (156, 157),
        "link": (157, 257),
        "magic": (257, 265),
        "prefix": (345, 500),
    }
    raw = bytearray(headers.encode(Member(name[:100])))
    for field, value in fields.items():
        start, end = places[field]
        raw[start:end] = value.ljust(end - start, b"\0")[: end - start]
    headers.seal(raw)
    return bytes(raw)


def opened(data: bytes) -> BytesIO:
    """Give bytes as a file."""
    return BytesIO(data)


def pax(records: Mapping[bytes, bytes] | None = None, *, raw: bytes = b"", kind: bytes = b"x") -> bytes:
    """Make an extended header by hand, of records or of any bytes."""
    payload = raw or headers.build_records((records or {}).items())
    return block(b"pax", kind=kind, size=b"%011o" % len(payload)) + payload + bytes(headers.padding(len(payload)))
