"""Reads an archive member by member: authenticates, decompresses and parses in one pass, in constant memory."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from app.archive import headers
from app.archive.ahead import read_ahead
from app.archive.compress import gunzip
from app.archive.encryption import decrypt
from app.archive.envelope import read_envelope
from app.archive.headers import BLOCK, MalformedTarError, Member, Records
from app.archive.pax import check_agreement
from app.archive.renaming import EXTENDED, HeaderGroup
from app.archive.shown import readable
from app.errors import ArchiveError, Code

_PIECE = 2 << 20
_MAX_EXTENDED = 1 << 20
_MAX_ALL_EXTENDED = 2 << 20
_MAX_EXTENSIONS = 1 << 16
_ZERO_BLOCK = bytes(BLOCK)
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

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        # the piece at hand, and how much of it is taken
        self._piece = b""
        self._at = 0
        self._before = 0
        self._left = 0
        self._pad = 0
        self._last = b""

    def members(self) -> Iterator[ReadMember]:
        """Give every member in order; proves at the end that nothing but zeros follows."""
        try:
            while (read := self._next()) is not None:
                self._last = read.member.name
                yield read
                if self._left or self._pad:
                    for _ in self.data():
                        pass
            self._end()
        except MalformedTarError as error:
            where = readable(self._last) or "its beginning"
            raise ArchiveError(Code.ARCHIVE_DAMAGED, f"The tar stream is malformed after {where}: {error}.") from error

    def data(self) -> Iterator[memoryview]:
        """Give what is left of the current member's contents, in pieces."""
        while self._left:
            piece = self._take(min(self._left, _PIECE))
            self._left -= len(piece)
            yield piece
        if self._pad:
            if self._at + self._pad <= len(self._piece):
                self._at += self._pad
            else:
                self._exactly(self._pad)
            self._pad = 0

    @property
    def at_hand(self) -> tuple[bytes, int]:
        """Give the piece at hand, and the offset in it of what was not taken yet."""
        return self._piece, self._at

    @property
    def position(self) -> int:
        """Give how many bytes of the stream were taken."""
        return self._before + self._at

    def went_past(self, name: bytes, at: int) -> None:
        """Hear that members up to `at` were taken out of the piece at hand, the last of them under this name."""
        self._at, self._last = at, name

    def _next(self) -> ReadMember | None:
        records, block = self._headers()
        if not block[0] and block == _ZERO_BLOCK:
            if self._exactly(BLOCK) != _ZERO_BLOCK:
                raise MalformedTarError("a single block of zeros stands where two belong")
            return None
        check_agreement(block, records)
        headers.check_facts(block, records)
        member = headers.decode(block, records)
        extensions = tuple(self._extensions()) if block[156] == headers.GNU_SPARSE and block[482] else ()
        self._left = member.size if member.is_file else 0
        self._pad = headers.padding(self._left)
        return ReadMember(member, block, extensions)

    def _headers(self) -> tuple[Records, bytes]:
        """Read extended headers as far as there are any; give what they say, and the block that follows them."""
        group = HeaderGroup()
        extended = 0
        while (block := self._exactly(BLOCK))[156] in EXTENDED:
            payload = self._extended(block)
            extended += BLOCK + len(payload)
            if extended > _MAX_ALL_EXTENDED:
                raise MalformedTarError("the extended headers of a member are longer than 2 MiB")
            group.add_extended(block, payload)
        return group.records(), block

    def _extended(self, block: bytes) -> bytes:
        headers.checked(block)
        size = headers.number(block[124:136])
        if not 0 < size <= _MAX_EXTENDED:
            raise MalformedTarError(f"an extended header has {size} bytes")
        return self._exactly(size + headers.padding(size))[:size]

    def _extensions(self) -> Iterator[bytes]:
        for _ in range(_MAX_EXTENSIONS):
            extension = self._exactly(BLOCK)
            yield extension
            if not extension[504]:
                return
        raise MalformedTarError("the map of a sparse member is too long")

    def _end(self) -> None:
        rest = self._piece[self._at :]
        while True:
            if rest.count(0) != len(rest):
                raise MalformedTarError("something follows the end-of-archive blocks")
            if (following := next(self._pieces, None)) is None:
                return
            rest = following

    def _take(self, limit: int) -> memoryview:
        """Take at least one and at most `limit` bytes."""
        while self._at == len(self._piece):
            piece = next(self._pieces, None)
            if piece is None:
                where = f"{'in' if self._left else 'after'} {readable(self._last) or 'its beginning'}"
                raise ArchiveError(Code.ARCHIVE_TRUNCATED, f"The tar stream ends too early {where}.")
            self._before += len(self._piece)
            self._piece, self._at = piece, 0
        start, self._at = self._at, min(self._at + limit, len(self._piece))
        return memoryview(self._piece)[start : self._at]

    def _exactly(self, size: int) -> bytes:
        start, end = self._at, self._at + size
        if end <= len(self._piece):
            self._at = end
            return self._piece[start:end]
        whole = bytearray()
        while len(whole) < size:
            whole += self._take(size - len(whole))
        return bytes(whole)


def is_encrypted(file: BinaryIO) -> bool:
    """Tell by its first byte whether an archive is encrypted; leaves the file at its beginning."""
    first = file.read(1)
    file.seek(0)
    return first == _ENCRYPTED_MARK


def tar_stream(file: BinaryIO, data_key: bytes | None) -> Iterator[bytes]:
    """Give an archive's tar stream; an encrypted one needs its data key.

    Raises ArchiveError: PASSPHRASE_REQUIRED without the key, and what decrypting and decompressing find.
    """
    return _whole_or_damaged(gunzip(_content(file, data_key)))


def tar_stream_ahead(file: BinaryIO, data_key: bytes | None) -> Generator[bytes, None, None]:
    """Give the same, sooner for whoever wants all of it; close it before the file is used again.

    The file is read (and decrypted) in a thread, and decompressed in another: what follows is ready when it is wanted.
    Decompressing is the slower of the two, and goes further ahead.
    """
    with (
        closing(read_ahead(_content(file, data_key))) as content,
        closing(read_ahead(gunzip(content), depth=3)) as plain,
    ):
        yield from _whole_or_damaged(plain)


def _whole_or_damaged(pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except OSError as error:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"The archive's file cannot be read: {error.strerror}.") from error


def _content(file: BinaryIO, data_key: bytes | None) -> Iterator[bytes]:
    """Give what is compressed in the archive."""
    if not is_encrypted(file):
        yield from iter(lambda: file.read(_PIECE), b"")
    elif data_key is None:
        raise ArchiveError(Code.PASSPHRASE_REQUIRED, "The archive is encrypted.")
    else:
        yield from decrypt(file, read_envelope(file), data_key)
