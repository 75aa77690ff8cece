"""The relay: passes a container's tar stream into the archive under a new path prefix, header by header, in place.

Nothing is re-packed: owners, modes, times, xattrs, ACLs and sparse maps go through as the container's tar wrote them.
Only names change, the names of owners are blanked (numbers count), and each file's SHA-256 is taken on the way.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.archive import headers
from app.archive.headers import BLOCK, MalformedTarError
from app.archive.patterns import Excluder
from app.archive.refusals import Refusals
from app.archive.renaming import (
    EXTENDED,
    Description,
    HeaderGroup,
    extended_size,
    has_extension,
    next_extension,
    renamed,
    renamed_in_place,
)
from app.archive.sparse import SparseHash, sparse_hash
from app.archive.sums import SumsSpool, line
from app.archive.typical import relay_typical
from app.errors import Code, PartError

Pieces = Sequence[memoryview | bytes]

_BUFFER = 1 << 20
_MAX_EXTENDED = _BUFFER // 2
_ZERO_BLOCK = bytes(BLOCK)


class Source(Protocol):
    """Give the bytes of a tar stream."""

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer as far as one read gives; 0 at the end."""


@dataclass(slots=True)
class Meter:
    """Count what has gone through; read by whoever reports progress."""

    files: int = 0
    bytes: int = 0
    current: str = ""


class TarRelay:
    """Relay one volume: `copy` once, and again after each `resume`."""

    def __init__(
        self,
        prefix: str,
        out: Callable[[Pieces], None],
        sums: SumsSpool,
        meter: Meter,
        *,
        exclude: Sequence[str] = (),
    ) -> None:
        self._refusals = Refusals()
        self.damaged: list[str] = []
        self.files = 0
        self.bytes = 0
        self.warnings = self._refusals.warnings
        self._prefix = prefix.encode()
        self._out = out
        self._sums = sums
        self._meter = meter
        self._excluder = Excluder(exclude) if exclude else None
        # the member whose data is passing
        self._hash: hashlib._Hash | SparseHash | None = None
        self._name = self._path = b""
        self._left = self._pad = 0
        self._dropping = False
        self._keep_going: Callable[[], None] = lambda: None
        self._resume_after: bytes | None = None
        # the end of the archive: two blocks of zeros, then nothing but zeros
        self._zero_blocks = 0
        # the buffer at hand, before and after renaming, and where what was not yet handed on begins
        self._view = memoryview(b"")
        self._before = b""
        self._pieces: list[memoryview | bytes] = []
        self._start = 0

    @property
    def whole(self) -> bool:
        """Tell whether the end-of-archive blocks were seen: the end of a stream alone proves nothing."""
        return self._zero_blocks == 2 and self._resume_after is None

    def copy(self, source: Source, keep_going: Callable[[], None]) -> None:
        """Relay until the source ends; `keep_going` is called once a buffer and may raise.

        Raises PartError STREAM_MALFORMED, and what the source raises. Look at `whole` afterwards.
        """
        carry = b""
        self._keep_going = keep_going
        while True:
            view = memoryview(bytearray(_BUFFER))
            view[: len(carry)] = carry
            got = source.read_into(view[len(carry) :])
            if not got:
                return
            keep_going()
            filled = len(carry) + got
            try:
                used = self._process(view, filled)
            except MalformedTarError as error:
                where = _readable(self._name) or "its beginning"
                message = f"The container's tar stream is malformed after {where}: {error}."
                raise PartError(Code.STREAM_MALFORMED, message) from error
            carry = bytes(view[used:filled])
            self._meter.current = _readable(self._path)

    def close_cut(self, keep_going: Callable[[], None]) -> None:
        """Close a member that was cut: the rest of it becomes zeros, it is marked damaged and gets no checksum line."""
        self._close_map()
        if self._left and not self._dropping:
            self._spoil()
        self._zero_rest(keep_going)

    def resume(self, keep_going: Callable[[], None]) -> None:
        """Get ready for a second read of the volume, after its tar gave up because a file shrank under it.

        That file is closed with zeros, as GNU tar does; the second read goes on with the member that follows it.
        """
        if self._left and not self._dropping:
            self._refusals.warn(f"{_readable(self._path)} shrank while it was read; the rest of it is zeros")
        self._close_map()
        self._zero_rest(keep_going)
        self._resume_after = self._name
        self._zero_blocks = 0

    def _close_map(self) -> None:
        """End the map of a sparse member that was cut inside it: zeros are no map, and other tars would stop there."""
        if isinstance(self._hash, SparseHash) and (rest := self._hash.rest_of_map()[: self._left]):
            self._spoil()
            self._out([rest])
            self._consume(memoryview(rest), 0, len(rest))

    def _zero_rest(self, keep_going: Callable[[], None]) -> None:
        while self._left:
            keep_going()
            zeros = memoryview(bytes(min(self._left, _BUFFER)))
            if not self._dropping:
                self._out([zeros])
            self._consume(zeros, 0, len(zeros))
        if self._pad and not self._dropping:
            self._out([bytes(self._pad)])
        self._pad = 0

    def _process(self, view: memoryview, end: int) -> int:
        """Relay what is whole in the buffer; give the offset where unfinished headers begin."""
        self._view, self._pieces, self._start = view, [], 0
        at = self._consume(view, 0, end)
        self._before = bytes(view[:end]) if at < end else b""
        try:
            while at < end:
                after = self._typical(at) or self._member(at, end)
                if after is None:
                    if at == 0 and end == len(view):
                        raise MalformedTarError("its headers are longer than 1 MiB")
                    break
                at = after
        finally:
            # what came before a malformed header is good and was counted: hand it on in any case
            self._emit(max(self._start, at))
            if self._pieces:
                self._out(self._pieces)
        return at

    def _emit(self, until: int) -> None:
        if until > self._start:
            self._pieces.append(self._view[self._start : until])
        self._start = until

    def _consume(self, view: memoryview, at: int, end: int) -> int:
        """Take data and padding of the current member; give the offset behind them."""
        if self._left:
            data = view[at : min(at + self._left, end)]
            self._update(data)
            if not self._dropping:
                self.bytes += len(data)
                self._meter.bytes += len(data)
            self._left -= len(data)
            at += len(data)
            if not self._left:
                self._finish()
        if self._pad and not self._left:
            skipped = min(self._pad, end - at)
            self._pad -= skipped
            at += skipped
        if self._dropping:
            self._start = at
        return at

    def _update(self, data: memoryview) -> None:
        try:
            if self._hash is not None:
                self._hash.update(data)
        except MalformedTarError:
            self._spoil()

    def _finish(self) -> None:
        try:
            if self._hash is not None:
                self._sums.add(line(self._hash.hexdigest(), self._path))
                self._hash = None
        except MalformedTarError:
            self._spoil()

    def _spoil(self) -> None:
        """Mark the member at hand as damaged; it gets no checksum line."""
        name = _readable(self._path)
        if self.damaged[-1:] != [name]:
            self.damaged.append(name)
        self._hash = None

    def _typical(self, at: int) -> int | None:
        """Relay what goes the short way; give the offset behind it, None where this member has to go the long one."""
        if self._zero_blocks or self._resume_after is not None or self._excluder:
            return None
        done = relay_typical(self._before, self._view, at, self._prefix, self._refusals.has_file)
        if done.after == at:
            return None
        self._name, self._path = done.name, done.path
        self._dropping = False
        if done.files:
            self._sums.add(b"".join(done.lines))
            self.files += done.files
            self.bytes += done.bytes
            self._meter.files += done.files
            self._meter.bytes += done.bytes
        if done.refused is not None:
            self._emit(done.refused)
            self._start = done.after
        return done.after

    def _member(self, start: int, end: int) -> int | None:
        """Relay the member that begins here, as far as it is in the buffer; None where its headers are not whole."""
        if self._zero_blocks == 2:
            return self._zero_block(start, end)
        view, at, group = self._view, start, HeaderGroup()
        while True:
            if end - at < BLOCK:
                return None
            block = bytes(view[at : at + BLOCK])
            at += BLOCK
            if block[156] not in EXTENDED:
                break
            size = extended_size(block, _MAX_EXTENDED)
            after = at + size + headers.padding(size)
            if after > end:
                return None
            group.add_extended(block, bytes(view[at : at + size]))
            at = after
        if not block[0] and block == _ZERO_BLOCK:
            return self._zero_block(start, end)
        if self._zero_blocks:
            raise MalformedTarError("something follows its end-of-archive blocks")
        group.block = block
        more = has_extension(block)
        while more:
            if end - at < BLOCK:
                return None
            extension, more = next_extension(view[at:])
            group.extensions += (extension,)
            at += BLOCK
        self._begin(group, start, at)
        return self._consume(view, at, end)

    def _zero_block(self, at: int, end: int) -> int:
        """Keep the volume's end of archive out of ours; after its second block only zeros may follow."""
        self._emit(at)
        after = end if self._zero_blocks else at + BLOCK
        if bytes(self._view[at:after]).count(0) != after - at:
            raise MalformedTarError("something follows its end-of-archive blocks")
        self._zero_blocks = min(self._zero_blocks + 1, 2)
        self._start = after
        return after

    def _begin(self, group: HeaderGroup, start: int, after: int) -> None:
        """Rename the member or drop it, and get ready for its data, which begins at `after`."""
        told = group.describe()
        dropping = self._is_dropped(told) or self._refusals.has(group, told, self._prefix)
        hasher = _hasher(group, told) if told.is_file and not dropping else None
        if isinstance(hasher, SparseHash):
            hasher.keep_going = self._keep_going
        # from here on nothing raises: what is counted is also written
        self._name, self._dropping, self._hash = told.name, dropping, hasher
        self._left, self._pad = told.size, headers.padding(told.size)
        if dropping:
            self._emit(start)
            return
        self._path = self._prefix + told.path
        block = renamed_in_place(group, told, self._path)
        if block is not None:
            self._view[after - BLOCK : after] = block
        else:
            self._emit(start)
            self._pieces.append(renamed(group, told, self._path, self._prefix + told.link if told.link else b""))
            self._start = after
        if hasher is not None:
            self.files += 1
            self._meter.files += 1
            if not self._left:
                self._finish()

    def _is_dropped(self, told: Description) -> bool:
        if self._resume_after is not None:
            if told.name == self._resume_after:
                self._resume_after = None
            return True
        if self._excluder is None:
            return False
        if self._excluder.matches(told.path):
            return True
        if told.link and self._excluder.matches(told.link):
            self._refusals.warn(f"{_readable(told.path)} is left out: it is a hard link to an excluded file")
            return True
        return False


def _hasher(group: HeaderGroup, told: Description) -> "hashlib._Hash | SparseHash":
    if not told.records and group.block[156] != headers.GNU_SPARSE:
        return hashlib.sha256()
    return sparse_hash(group.block, group.extensions, told.records) or hashlib.sha256()


def _readable(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
