"""Takes volumes out of an archive again: each as a tar stream of its own.

The way back of app.archive.relay, for the second pass over an archive, which the first one has proven whole.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

from app.archive import headers
from app.archive.acls import attribute_records, numeric_records
from app.archive.dialect_headers import expanded, leads_out, plain_headers
from app.archive.dialects import Dialect
from app.archive.guard import hostile, normal_name
from app.archive.headers import END_OF_ARCHIVE, GNU_SPARSE, MalformedTarError
from app.archive.manifest import FOLDER, HEADER_NAME, MAX_DOCUMENT, load_header
from app.archive.parents import Parents
from app.archive.plain_volumes import Stretch
from app.archive.raw_reader import RawMember, RawReader
from app.archive.relay import Meter
from app.archive.renaming import renamed
from app.archive.sparse import MAX_HOLES, SparseData, sparse_data
from app.archive.typical_cut import cut_typical
from app.errors import ArchiveError, Code, JobError

Piece = bytes | memoryview

_BATCH = 256 << 10
_ZEROS = bytes(1 << 20)


class VolumeReader:
    """Read an archive's volumes in its order: `volume` once for each that is wanted.

    One that is given up half way, or not asked for, is skipped. `left_out` has the full names of members that were left
    out, `files` counts the regular files that the current volume gave out, as the manifest counts them, `warnings` says
    what a dialect could not be told. `misfits` are sparse members whose data is not what their map says, by their
    normal names: no tar is given such a map, they become plain files with zeros where they are damaged. `plain` are
    the volumes that `plain_volume` can read, as the first pass found them.
    """

    def __init__(
        self,
        pieces: Iterator[bytes],
        *,
        meter: Meter,
        keep_going: Callable[[], None],
        misfits: Collection[bytes] = frozenset(),
        plain: Mapping[bytes, Stretch] | None = None,
    ) -> None:
        self.left_out: list[str] = []
        self.warnings: list[str] = []
        self.files = 0
        self._parents: Parents | None = None
        self._reader = RawReader(pieces, keep_going)
        self._meter = meter
        self._keep_going = keep_going
        self._misfits = misfits
        self._plain = plain or {}
        self._kept: RawMember | None = None
        self._opened = False
        # the volumes that the archive's header names and that are still to come; None without a header
        self._coming: list[bytes] | None = None
        self._volume = b""
        self._dialect = Dialect.PAX
        self._missing: set[str] = set()
        self._below: tuple[str, ...] = ()
        # where the volume ends that was given without a look at its members
        self._until = 0

    def volume(
        self, prefix: str, dialect: Dialect, *, leave_out: Collection[str] = (), parents: bool = False
    ) -> Iterator[Piece]:
        """Give the volume as a tar stream, in pieces; that of a volume without members has only its end.

        `prefix` is that of its part; `leave_out` has full names: those members, what is
        below them and hard links to them are left out.
        With `parents`, ArchiveError ARCHIVE_HOSTILE for a member whose folder was not given before it: where the volume
        is not emptied, a link may stand there. Raises too: ArchiveError ARCHIVE_DAMAGED, ARCHIVE_TRUNCATED, and what
        reading the archive raises; JobError INTERNAL for a volume that the archive does not have or whose turn is over.
        """
        self.files = 0
        self._parents = Parents() if parents else None
        self._volume, self._dialect, self._missing = prefix.encode(), dialect, set(leave_out)
        self._below = tuple(f"{name}/" for name in leave_out)
        self._open()
        self._skip_to(self._volume)
        try:
            yield from _batched(self._pieces())
        except MalformedTarError as error:
            raise self._reader.malformed(error) from error

    def is_plain(self, prefix: str) -> bool:
        """Tell whether `plain_volume` can read the volume."""
        return prefix.encode() in self._plain

    def plain_volume(self, prefix: str) -> Iterator[Piece]:
        """Give a plain volume as `volume` does, but with the names that it has in the archive, prefix and all.

        The root's is an exception: `./` stands behind the prefix, so that a tar which takes that off keeps a name.
        """
        volume, stretch, reader, meter = prefix.encode(), self._plain[prefix.encode()], self._reader, self._meter
        self.files = 0
        self._open()
        self._skip_to(volume)
        root = self._member()
        if root is None or reader.position != stretch.start:
            raise JobError(Code.INTERNAL, f"The volume {prefix} is not where it was.")
        self._until = stretch.end
        yield renamed(root.group, root.told, volume + b"./", b"")
        files, size, length = meter.files, meter.bytes, stretch.end - stretch.start
        meter.current = prefix
        for piece in reader.up_to(stretch.end):
            yield piece
            done = reader.position - stretch.start
            meter.files, meter.bytes = files + stretch.files * done // length, size + stretch.bytes * done // length
        self.files = stretch.files
        yield END_OF_ARCHIVE

    def _open(self) -> None:
        """Read the archive's header, if it has one: it says in which order the volumes follow."""
        if self._opened:
            return
        self._opened = True
        self._kept = self._reader.next()
        if self._kept is not None and self._kept.told.path == HEADER_NAME:
            if self._kept.told.size > MAX_DOCUMENT:
                raise ArchiveError(Code.ARCHIVE_HOSTILE, "The archive's header is longer than 64 MiB.")
            header = load_header(b"".join(self._reader.data()))
            self._coming = [part.prefix.encode() for part in header.parts if part.prefix]
            self._kept = None

    def _skip_to(self, volume: bytes) -> None:
        """Go to the volume's first member, or to the first one that comes after it."""
        behind: tuple[bytes, ...] = ()
        if self._coming is not None:
            if volume not in self._coming:
                raise JobError(Code.INTERNAL, f"The volume {volume.decode()} was not expected here.")
            del self._coming[: self._coming.index(volume) + 1]
            behind = (*self._coming, FOLDER.encode())
        for _ in self._reader.up_to(self._until):
            pass
        while (member := self._member()) is not None:
            if _path(member).startswith((volume, *behind)):
                self._kept = member
                break

    def _member(self) -> RawMember | None:
        member, self._kept = self._kept, None
        return member or self._reader.next()

    def _pieces(self) -> Iterator[Piece]:
        while True:
            if self._kept is None:
                yield from self._typical()
            member = self._member()
            if member is None or not _path(member).startswith(self._volume):
                self._kept = member
                break
            if self._is_wanted(member):
                self._check_parent(_path(member), is_folder=member.group.block[156] == headers.DIRECTORY)
                yield from self._converted(member)
        yield END_OF_ARCHIVE

    def _typical(self) -> Iterator[Piece]:
        """Give the members that go the short way, up to the first that does not."""
        reader, meter = self._reader, self._meter
        while True:
            # a look at each name is needed only where something is left out, or folders are looked after
            wanted = self._goes_short if self._missing or self._parents is not None else None
            cut = cut_typical(reader.buffer, reader.at, self._volume, self._dialect, wanted)
            if not cut.files:
                return
            reader.went_past(cut.last, cut.after)
            self.files += cut.files
            meter.files += cut.files
            meter.bytes += cut.bytes
            meter.current = _readable(cut.last)
            yield cut.stretch

    def _goes_short(self, path: bytes) -> bool:
        if self._is_missing(_readable(path)):
            return False
        self._check_parent(path, is_folder=False)
        return True

    def _check_parent(self, path: bytes, *, is_folder: bool) -> None:
        inner = path[len(self._volume) :].rstrip(b"/")
        if self._parents is not None and not self._parents.have(inner, is_folder=is_folder):
            raise hostile(path, "comes without its folder, and a link may stand there in the volume")

    def _is_wanted(self, member: RawMember) -> bool:
        told, name = member.told, _readable(member.told.path)
        if self._is_refused(member):
            self.warnings.append(f"{name} is left out: the engine takes no symlink that leaves its volume")
        elif not self._is_missing(name) and not self._is_missing(_readable(told.link)):
            return True
        left = next((one for one in self._below if name.startswith(one)), name)
        self._missing.add(left)
        if self.left_out[-1:] != [left]:
            self.left_out.append(left)
        return False

    def _is_missing(self, name: str) -> bool:
        return name in self._missing or name.startswith(self._below)

    def _is_refused(self, member: RawMember) -> bool:
        if self._dialect is not Dialect.GO or member.group.block[156] != headers.SYMLINK:
            return False
        return leads_out(self._relative(_path(member)), member.decoded().link)

    def _converted(self, member: RawMember) -> Iterator[Piece]:
        """Give a member as the dialect wants it."""
        told = member.told
        self._meter.files += told.is_file
        self.files += told.is_file
        self._meter.current = _readable(told.path)
        sparse = self._expansion(member)
        yield self._headers(member, sparse)
        if sparse is None:
            yield from self._copied(told.size)
        else:
            yield from self._expanded(sparse)

    def _expansion(self, member: RawMember) -> SparseData | None:
        """Give what expands a sparse member, where the dialect does not know it as such, or must not see its map."""
        group = member.group
        old = group.block[156] == GNU_SPARSE
        known = self._dialect is Dialect.PAX or (self._dialect is Dialect.GO and not old)
        if not member.told.is_file or (known and _path(member) not in self._misfits):
            return None
        sparse = sparse_data(group.block, group.extensions, member.records())
        if sparse is not None and sparse.size - member.told.size > MAX_HOLES:
            raise MalformedTarError("the holes of a sparse member are larger than 1 TiB")
        return sparse

    def _headers(self, member: RawMember, sparse: SparseData | None) -> bytes:
        told, records = member.told, member.records()
        name, link = self._relative(_path(member)), self._relative(normal_name(told.link)) if told.link else b""
        if self._dialect is Dialect.PAX:
            records |= numeric_records(records)
        if self._dialect is Dialect.PAX and sparse is None:
            return renamed(member.group, told._replace(records=records), name, link)
        if self._dialect is Dialect.GO:
            attributes, failed = attribute_records(records)
            records |= attributes
            if failed:
                self.warnings.append(f"{_readable(told.path)} lost what stands in {', '.join(failed)}")
        plain = headers.decode(member.group.block, records)
        plain = replace(plain, name=name, link=link or plain.link)
        return plain_headers(plain if sparse is None else expanded(plain, sparse.size), self._dialect)

    def _relative(self, path: bytes) -> bytes:
        if not path.startswith(self._volume):
            raise MalformedTarError(f"a hard link leads to {path[:80]!r}, out of its volume")
        return b"./" + path[len(self._volume) :]

    def _copied(self, size: int) -> Iterator[Piece]:
        """Give the contents of the member at hand, and their padding."""
        for piece in self._reader.data():
            self._meter.bytes += len(piece)
            yield piece
        yield bytes(headers.padding(size))

    def _expanded(self, sparse: SparseData) -> Iterator[Piece]:
        """Give a sparse member's contents with its holes; what a damaged one lacks becomes zeros."""
        position = 0
        try:
            for condensed in self._reader.data():
                self._meter.bytes += len(condensed)
                for offset, piece in sparse.expand(condensed):
                    yield from self._zeros(offset - position)
                    yield piece
                    position = offset + len(piece)
            sparse.end()
        except MalformedTarError as error:
            self.warnings.append(f"{self._meter.current} has zeros where it is damaged: {error}")
        yield from self._zeros(sparse.size - position)
        yield bytes(headers.padding(sparse.size))

    def _zeros(self, size: int) -> Iterator[Piece]:
        while size:
            self._keep_going()
            piece = memoryview(_ZEROS)[:size]
            size -= len(piece)
            yield piece


def _batched(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Join small pieces: one hand-over to a socket costs as much as several files.

    They are copied as they come: each may be a view of a whole piece of the archive, which must not wait with it.
    """
    waiting = bytearray()
    for piece in pieces:
        if not waiting and len(piece) >= _BATCH:
            yield piece
            continue
        waiting += piece
        if len(waiting) >= _BATCH:
            yield memoryview(waiting)
            waiting = bytearray()
    if waiting:
        yield memoryview(waiting)


def _path(member: RawMember) -> bytes:
    """Give a member's name in the archive, that of a directory with a slash."""
    name = normal_name(member.told.path)
    return name + b"/" if member.group.block[156] == headers.DIRECTORY else name


def _readable(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
