"""Reads an archive member by member: authenticates, decompresses and parses in one pass, in constant memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.archive import headers
from app.archive.compress import gunzip
from app.archive.encryption import decrypt
from app.archive.envelope import read_envelope
from app.archive.headers import BLOCK, MalformedTarError, Member, Records
from app.errors import ArchiveError, Code

_PIECE = 1 << 20
_MAX_EXTENDED = 1 << 20
_ENCRYPTED_MARK = b"{"


@dataclass(frozen=True, slots=True)
class ReadMember:
    """Hold one member as it was read, with the raw blocks that a sparse map may stand in."""

    member: Member
    block: bytes
    extensions: tuple[bytes, ...] = ()


class TarReader:
    """Walk a tar stream: `members` gives each header, `data` the contents of the one given last.

    Raises ArchiveError: ARCHIVE_DAMAGED where the stream is no valid tar, ARCHIVE_TRUNCATED where it ends too early.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._buffer = memoryview(b"")
        self._left = 0
        self._pad = 0
        self._last = ""

    def members(self) -> Iterator[ReadMember]:
        """Give every member in order; proves at the end that nothing but zeros follows."""
        try:
            while (read := self._next()) is not None:
                self._last = read.member.name.decode("utf-8", "backslashreplace")
                yield read
                for _ in self.data():
                    pass
            self._end()
        except MalformedTarError as error:
            where = self._last or "its beginning"
            raise ArchiveError(Code.ARCHIVE_DAMAGED, f"The tar stream is malformed after {where}: {error}.") from error

    def data(self) -> Iterator[memoryview]:
        """Give what is left of the current member's contents, in pieces."""
        while self._left:
            piece = self._take(min(self._left, _PIECE))
            self._left -= len(piece)
            yield piece
        if self._pad:
            self._exactly(self._pad)
            self._pad = 0

    def _next(self) -> ReadMember | None:
        records: Records = {}
        long_name = long_link = b""
        while True:
            block = self._exactly(BLOCK)
            if block == bytes(BLOCK):
                if self._exactly(BLOCK) != bytes(BLOCK):
                    raise MalformedTarError("a single block of zeros stands where two belong")
                return None
            if block[156] not in {headers.PAX_NEXT, headers.GNU_LONG_NAME, headers.GNU_LONG_LINK, headers.PAX_GLOBAL}:
                break
            payload = self._extended(block)
            match block[156]:
                case headers.PAX_NEXT:
                    records.update(headers.parse_records(payload))
                case headers.GNU_LONG_NAME:
                    long_name = headers.text(payload)
                case headers.GNU_LONG_LINK:
                    long_link = headers.text(payload)
                case _:
                    raise MalformedTarError("it has a global extended header")
        if long_name:
            records.setdefault(b"path", long_name)
        if long_link:
            records.setdefault(b"linkpath", long_link)
        member = headers.decode(block, records)
        extensions = self._extensions(block)
        self._left = member.size if member.is_file else 0
        self._pad = headers.padding(self._left)
        return ReadMember(member, block, tuple(extensions))

    def _extended(self, block: bytes) -> bytes:
        headers.checked(block)
        size = headers.number(block[124:136])
        if not 0 < size <= _MAX_EXTENDED:
            raise MalformedTarError(f"an extended header has {size} bytes")
        return self._exactly(size + headers.padding(size))[:size]

    def _extensions(self, block: bytes) -> Iterator[bytes]:
        more = block[156] == headers.GNU_SPARSE and block[482]
        while more:
            extension = self._exactly(BLOCK)
            more = extension[504]
            yield extension

    def _end(self) -> None:
        while (rest := self._some()) is not None:
            if bytes(rest).count(0) != len(rest):
                raise MalformedTarError("something follows the end-of-archive blocks")
            self._buffer = memoryview(b"")

    def _some(self) -> memoryview | None:
        """Give what is buffered, or the next piece; None at the end."""
        while not self._buffer:
            piece = next(self._pieces, None)
            if piece is None:
                return None
            self._buffer = memoryview(piece)
        return self._buffer

    def _take(self, limit: int) -> memoryview:
        """Take at least one and at most `limit` bytes."""
        view = self._some()
        if view is None:
            where = f" in {self._last}" if self._left else ""
            raise ArchiveError(Code.ARCHIVE_TRUNCATED, f"The tar stream ends too early{where}.")
        piece, self._buffer = view[:limit], view[limit:]
        return piece

    def _exactly(self, size: int) -> bytes:
        piece = bytes(self._take(size))
        while len(piece) < size:
            piece += self._take(size - len(piece))
        return piece


def is_encrypted(file: BinaryIO) -> bool:
    """Tell by its first byte whether an archive is encrypted; leaves the file at its beginning."""
    first = file.read(1)
    file.seek(0)
    return first == _ENCRYPTED_MARK


def tar_stream(file: BinaryIO, data_key: bytes | None) -> Iterator[bytes]:
    """Give an archive's tar stream; an encrypted one needs its data key.

    Raises ArchiveError: PASSPHRASE_REQUIRED without the key, and what decrypting and decompressing find.
    """
    try:
        if not is_encrypted(file):
            yield from gunzip(iter(lambda: file.read(_PIECE), b""))
            return
        if data_key is None:
            raise ArchiveError(Code.PASSPHRASE_REQUIRED, "The archive is encrypted.")
        yield from gunzip(decrypt(file, read_envelope(file), data_key))
    except OSError as error:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"The archive's file cannot be read: {error.strerror}.") from error
