"""Writing to a volume in memory: what was written, and scripts for how it goes."""

import io
import tarfile
import threading
from dataclasses import dataclass, field

from app.archive.dialects import Dialect
from app.archive.plain_volumes import DEPTH
from app.engine.base import Way, WriteEnd
from app.errors import Code, PartError

EMPTY_TAR = bytes(1024)


@dataclass(slots=True)
class MemoryWriting:
    """Script how one writing of a volume goes, and remember what was written.

    `refused` is raised on entering the block, before anything is removed. After `fault_at` bytes `fault` is raised, or,
    where `hold` is set, writing blocks until it is aborted. `end` is what the sink says at its end; without one, a
    writing that met its fault raises that again. `spared` names what could not be replaced. `emptied`, `data` and
    `ended` tell what happened.
    """

    refused: PartError | None = None
    fault: PartError | None = None
    fault_at: int = 0
    hold: bool = False
    end: WriteEnd | PartError | None = None
    spared: tuple[str, ...] = ()
    emptied: bool = False
    ended: bool = False
    data: bytearray = field(default_factory=bytearray)


class MemorySink:
    """Take the bytes of one volume; writing follows the Protocol `VolumeSink`."""

    def __init__(self, writing: MemoryWriting, way: Way, dialect: Dialect, *, plain: bool) -> None:
        self._writing = writing
        self._way = way
        self._dialect = dialect
        self._plain = plain
        self._aborted = threading.Event()
        self._failed: PartError | None = None

    @property
    def way(self) -> Way:
        """Say how the volume would be written."""
        return self._way

    @property
    def dialect(self) -> Dialect:
        """Say which tar headers the other side would understand."""
        return self._dialect

    @property
    def plain(self) -> bool:
        """Say whether the prefix is taken off the names here."""
        return self._plain

    @property
    def loses(self) -> str | None:
        """Say that nothing is lost."""
        return None

    @property
    def spared(self) -> tuple[str, ...]:
        """Give what is scripted."""
        return self._writing.spared

    def write(self, data: bytes | memoryview) -> None:
        """Take the data up to the scripted fault, and raise that."""
        writing = self._writing
        if self._aborted.is_set():
            raise PartError(Code.TAR_FAILED, "Writing was aborted")
        troubled = writing.hold or writing.fault is not None
        room = max(0, writing.fault_at - len(writing.data)) if troubled else len(data)
        writing.data += data[:room]
        if room >= len(data):
            return
        if writing.hold:
            self._aborted.wait()
            raise PartError(Code.TAR_FAILED, "Writing was aborted")
        if writing.fault is not None:
            self._failed = writing.fault
            raise writing.fault

    def abort(self) -> None:
        """End a blocked `write` from any thread."""
        self._aborted.set()

    async def end(self) -> WriteEnd:
        """Give the scripted end."""
        end = self._writing.end or self._failed or WriteEnd(None if self._way is Way.ARCHIVE else 0)
        if isinstance(end, PartError):
            raise end
        if self._plain:
            self._writing.data[:] = _without_prefix(bytes(self._writing.data))
        self._writing.ended = True
        return end


def _without_prefix(tar: bytes) -> bytes:
    """Take as many parts off every name as the prefix of a volume has."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(tar)) as given, tarfile.open(fileobj=packed, mode="w") as cut:
        for member in given:
            member.name = f"./{member.name.split('/', DEPTH)[DEPTH]}"
            if member.islnk():
                member.linkname = f"./{member.linkname.split('/', DEPTH)[DEPTH]}"
            cut.addfile(member, given.extractfile(member) if member.isreg() else None)
    return packed.getvalue()


def laid_over(old: bytes, new: bytes) -> bytes:
    """Give the tar of a volume after the members of `new` were written over those of `old`."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(old)) as below,
        tarfile.open(fileobj=io.BytesIO(new)) as above,
        tarfile.open(fileobj=packed, mode="w") as both,
    ):
        replaced = {member.name for member in above}
        for source in (below, above):
            for member in source.getmembers():
                if source is above or member.name not in replaced:
                    both.addfile(member, source.extractfile(member) if member.isreg() else None)
    return packed.getvalue()
