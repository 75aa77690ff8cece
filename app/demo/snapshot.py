"""What a cell's files and a service's volume look like, in every respect that a restore has to bring back."""

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.cell.manifests import Volume
from app.demo.containers import Docker

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """Describe one file, folder or link; `same_as` names the first of several names that a file has."""

    kind: int
    mode: int
    uid: int
    gid: int
    mtime: int
    digest: str = ""
    target: str = ""
    same_as: str = ""


Snapshot = Mapping[str, Facts]


def snapshot_of_files(root: Path) -> Snapshot:
    """Look at everything below a folder, not at the folder itself."""
    found: dict[str, Facts] = {}
    first: dict[tuple[int, int], str] = {}
    for name, path in _below(root):
        status = path.lstat()
        regular = stat.S_ISREG(status.st_mode)
        found[name] = Facts(
            kind=stat.S_IFMT(status.st_mode),
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            mtime=status.st_mtime_ns,
            digest=_digest(path.read_bytes()) if regular else "",
            target=str(path.readlink()) if path.is_symlink() else "",
            same_as=first.setdefault((status.st_dev, status.st_ino), name) if regular else "",
        )
    return found


def _below(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(folder, name)
            yield str(path.relative_to(root)), path


def snapshot_of_volume(docker: Docker, volume: Volume) -> Snapshot:
    """Look at everything in a volume, as the tar in its container shows it.

    That is busybox's: it shows times to the second, and sets no times of folders, so these are not looked at.
    """
    packed = docker.output("exec", volume.container, "tar", "-c", "-f", "-", "-C", volume.path, ".")
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            found[member.name] = Facts(
                kind=int.from_bytes(member.type, "big"),
                mode=member.mode,
                uid=member.uid,
                gid=member.gid,
                mtime=0 if member.isdir() else int(member.mtime),
                digest=_digest(content.read()) if content else "",
                target=member.linkname,
            )
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """Name what is not as it was, the first few; empty where all is."""
    changed = [f"{name} is missing" for name in sorted(before.keys() - after.keys())]
    changed += [f"{name} is new" for name in sorted(after.keys() - before.keys())]
    for name in sorted(before.keys() & after.keys()):
        facts = [field for field in Facts.__slots__ if getattr(before[name], field) != getattr(after[name], field)]
        changed += [f"{name} has another {' and '.join(facts)}"] if facts else []
    more = len(changed) - _SHOWN
    return [*changed[:_SHOWN], f"and {more} more"] if more > 0 else changed
