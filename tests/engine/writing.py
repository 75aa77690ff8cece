"""Writing a volume the way a worker does, and what belongs to testing that."""

import asyncio
import io
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.archive.dialects import Dialect
from app.engine.base import Engine, VolumeSink, Way, WriteEnd
from app.errors import PartError

PIECE = 1 << 20
NOT_FLUSHED = "whether the disk has what was written is not known: nothing in a running container can tell"


@dataclass(frozen=True, slots=True)
class Written:
    way: Way
    dialect: Dialect
    loses: str | None
    end: WriteEnd


def pour(sink: VolumeSink, data: bytes, piece: int = PIECE) -> None:
    view = memoryview(data)
    for at in range(0, len(view), piece):
        sink.write(view[at : at + piece])


async def write_all(
    engine: Engine, container: str, data: bytes, path: str = "/vol", *, empty: bool = True, piece: int = PIECE
) -> Written:
    """Write everything; where writing fails, ask how it ended, and raise what `end` says."""
    async with engine.write_volume(container, path, empty=empty) as sink:
        try:
            await asyncio.to_thread(pour, sink, data, piece)
        except PartError:
            await sink.end()
            raise
        return Written(sink.way, sink.dialect, sink.loses, await sink.end())


def packed(members: dict[str, bytes | None]) -> bytes:
    """Pack a volume of these files; None stands for a directory."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in {".": None, **members}.items():
            member = tarfile.TarInfo(name if name == "." else f"./{name}")
            member.mode = 0o755
            if content is None:
                member.type = tarfile.DIRTYPE
            member.size = len(content or b"")
            tar.addfile(member, io.BytesIO(content or b""))
    return file.getvalue()


def tar_of(root: Path, flags: Sequence[str]) -> bytes:
    command = ["tar", "--create", *flags, "--numeric-owner", "--file=-", f"--directory={root}", "--", "."]
    return subprocess.run(command, capture_output=True, check=True).stdout


PAX_FLAGS = (
    "--format=posix",
    "--pax-option=delete=atime,delete=ctime",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--sparse",
)
GNU_FLAGS = ("--format=gnu",)


def files_below(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
