"""GNU tar, busybox tar and coreutils at work: the other side of every test of the archive format."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

BUSYBOX = shutil.which("busybox")

SERVICE_FLAGS = (
    "--format=posix",
    "--pax-option=delete=atime,delete=ctime",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--sparse",
    "--numeric-owner",
)
PLAIN_EXTRACT_FLAGS = ("--numeric-owner", "--preserve-permissions")
EXTRACT_FLAGS = ("--xattrs", "--xattrs-include=*", "--acls", *PLAIN_EXTRACT_FLAGS)


def tar_of(root: Path, *flags: str) -> bytes:
    """Make a tar of a root's contents by GNU tar, with `./` names as the service asks for them."""
    return _run(["tar", "--create", *flags, "--file=-", f"--directory={root}", "--", "."])


def busybox_tar_of(root: Path) -> bytes:
    """Make the same by busybox."""
    assert BUSYBOX is not None
    return _run([BUSYBOX, "tar", "-c", "-f", "-", "-C", str(root), "."])


def extract(archive: bytes, to: Path, flags: Sequence[str] = EXTRACT_FLAGS) -> Path:
    """Extract a tar by GNU tar; as root everything is kept, owners and devices included."""
    to.mkdir(parents=True, exist_ok=True)
    _run(["tar", "--extract", *flags, "--file=-", f"--directory={to}"], archive)
    return to


def listing(archive: bytes, *flags: str) -> list[bytes]:
    """List a tar by GNU tar, one line a member, times to the nanosecond."""
    command = ["tar", "--list", "--verbose", "--full-time", "--numeric-owner", "--quoting-style=escape", *flags]
    return _run([*command, "--file=-"], archive).splitlines()


def check_sums(lines: bytes, at: Path) -> list[bytes]:
    """Check SHA256SUMS by coreutils in a directory; gives one line a file."""
    return _run(["sha256sum", "--check", "--strict"], lines, at).split(b"\n")[:-1] if lines else []


def _run(command: Sequence[str], given: bytes = b"", at: Path | None = None) -> bytes:
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(command, input=given, cwd=at, env=environment, capture_output=True, check=False)
    complaints = b"\n".join(line[:300] for line in done.stderr.splitlines()[:10])
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {complaints!r}"
    return done.stdout
