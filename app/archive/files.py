"""Files on disk as tar members: owner, mode, time in nanoseconds, links and xattrs are kept, contents are hashed."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.archive import headers
from app.archive.acls import acl_records
from app.archive.guard import has_too_many_attributes
from app.archive.headers import Member, Records
from app.archive.names import is_too_long_for_a_cell
from app.archive.relay import Meter
from app.archive.sums import SumsSpool, line
from app.errors import Code, PartError

Out = Callable[[bytes], None]
_PIECE = 1 << 20
# the last one: readlink of what is no link any more
_VANISHED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL}
_SET_ID = stat.S_ISUID | stat.S_ISGID
_CAPABILITY = b"SCHILY.xattr.security.capability"
_PRIVILEGED = "is setuid, setgid or has capabilities: out of a plain archive it restores only where it is so already"
_NO_XATTRS = {errno.ENOTSUP, errno.ENODATA, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Entry:
    """Name one file: its path relative to the root (surrogateescaped) and what `lstat` said of it."""

    path: str
    stat: os.stat_result


class FileMembers:
    """Write files below one root into a tar stream; remembers inodes, so that a second name becomes a hard link."""

    def __init__(self, root: Path, out: Out, sums: SumsSpool, meter: Meter) -> None:
        self.damaged: list[str] = []
        self._root = root
        self._out = out
        self._sums = sums
        self._meter = meter
        self._first_names: dict[tuple[int, int], bytes] = {}

    def add(self, entry: Entry) -> str | None:
        """Write one entry; give a warning where it changed or vanished meanwhile.

        Raises PartError FILE_UNREADABLE; then nothing of the entry was written, or it is the last in `damaged`.
        """
        path = os.fsencode(entry.path)
        self._meter.current = entry.path.encode("utf-8", "backslashreplace").decode()
        if is_too_long_for_a_cell(path):
            raise self._refused("its path is longer, or lies in more folders, than a restore takes")
        try:
            if stat.S_ISREG(entry.stat.st_mode):
                return self._add_file(path, entry)
            self._add_other(path, entry)
        except OSError as error:
            if error.errno in _VANISHED:
                return f"{self._meter.current} vanished before it could be read"
            raise self._unreadable(error) from error
        return None

    def _unreadable(self, error: OSError) -> PartError:
        return PartError(Code.FILE_UNREADABLE, f"{self._meter.current} cannot be read: {error.strerror}.")

    def _refused(self, why: str) -> PartError:
        hint = "Move or rename it, or remove what it does not need."
        return PartError(Code.FILE_UNREADABLE, f"{self._meter.current} is not saved: {why}.", hint=hint)

    def _with_attributes(self, member: Member, records: Records) -> Member:
        member.records.update(records)
        if has_too_many_attributes(member.records):
            raise self._refused("it has more extended attributes than a restore takes")
        return member

    def _add_other(self, path: bytes, entry: Entry) -> None:
        on_disk = self._root / entry.path
        if stat.S_ISDIR(entry.stat.st_mode):
            member = self._member(path + b"/", headers.DIRECTORY, entry.stat)
        else:
            target = os.readlink(os.fsencode(on_disk))  # noqa: PTH115 - a Path would tidy the target up
            member = self._member(path, headers.SYMLINK, entry.stat, link=target)
        self._out(headers.encode(self._with_attributes(member, _xattrs(on_disk, follow=False))))

    def _add_file(self, path: bytes, entry: Entry) -> str | None:
        inode = (entry.stat.st_dev, entry.stat.st_ino)
        if entry.stat.st_nlink > 1 and (first := self._first_names.get(inode)) is not None:
            self._out(headers.encode(self._member(path, headers.HARD_LINK, entry.stat, link=first)))
            return None
        descriptor = os.open(self._root / entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return self._copy(descriptor, path)
        finally:
            os.close(descriptor)

    def _copy(self, descriptor: int, path: bytes) -> str | None:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.ENOENT, "it is no file any more")
        # careful writers replace a file by a new one: then the new one is what is saved
        inode = (before.st_dev, before.st_ino)
        member = self._member(path, headers.REGULAR, before, size=before.st_size)
        self._with_attributes(member, _xattrs(descriptor))
        first = os.read(descriptor, min(_PIECE, before.st_size + 1)) if before.st_size else b""
        self._out(headers.encode(member))
        self._contents(descriptor, path, before.st_size, first)
        if before.st_nlink > 1:
            self._first_names[inode] = path
        after = os.fstat(descriptor)
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            return f"{self._meter.current} changed while it was read"
        if member.mode & _SET_ID or _CAPABILITY in member.records:
            return f"{self._meter.current} {_PRIVILEGED}"
        return None

    def _contents(self, descriptor: int, path: bytes, size: int, piece: bytes) -> None:
        """Write exactly `size` bytes: a file that shrinks is filled up with zeros, one that grows is cut.

        What a disk refuses to give becomes zeros too; then the file is damaged and has no checksum line.
        """
        digest = hashlib.sha256()
        left, fault = size, None
        while left:
            piece = piece[:left] or bytes(min(left, _PIECE))
            digest.update(piece)
            self._out(piece)
            self._meter.bytes += len(piece)
            left -= len(piece)
            try:
                piece = os.read(descriptor, min(left, _PIECE)) if left and fault is None else b""
            except OSError as error:
                fault, piece = error, b""
        self._out(bytes(headers.padding(size)))
        if fault is not None:
            self.damaged.append(path.decode("utf-8", "backslashreplace"))
            raise self._unreadable(fault) from fault
        self._sums.add(line(digest.hexdigest(), path))
        self._meter.files += 1

    def _member(self, path: bytes, kind: int, facts: os.stat_result, *, size: int = 0, link: bytes = b"") -> Member:
        return Member(
            name=path,
            kind=kind,
            size=size,
            mode=stat.S_IMODE(facts.st_mode),
            uid=facts.st_uid,
            gid=facts.st_gid,
            mtime=facts.st_mtime_ns,
            link=link,
        )


def _xattrs(file: Path | int, *, follow: bool = True) -> Records:
    """Give a file's extended attributes as PAX records (SCHILY.xattr, as GNU tar and star write them)."""
    try:
        names = os.listxattr(file, follow_symlinks=follow)
        values = {name: os.getxattr(file, name, follow_symlinks=follow) for name in names}
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return {}
        raise
    # a record's key ends at its first '=', so GNU tar writes one in a name as %3D
    records = {
        b"SCHILY.xattr." + os.fsencode(name).replace(b"%", b"%25").replace(b"=", b"%3D"): value
        for name, value in values.items()
    }
    return records | acl_records(values)
