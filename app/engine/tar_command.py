"""Which tar a container has, and the command line for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.archive.dialects import Dialect
from app.archive.patterns import swallows_root
from app.archive.plain_volumes import DEPTH

# LC_ALL: so that tar's words can be judged. TAR_OPTIONS: the image's own wishes would change the stream.
ENVIRONMENT = {"LC_ALL": "C", "TAR_OPTIONS": ""}
# Numeric, because an image need not have /etc/passwd; root, because volumes belong to many users.
USER = "0"
FINE_FACTS = "extended attributes, ACLs and fractions of a second"


class TarKind(StrEnum):
    """Name the tars whose options and words are known; `other` is any tar that takes -c, -f and -C."""

    GNU = "gnu"
    BUSYBOX = "busybox"
    OTHER = "other"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Tar:
    """Describe the tar of one container."""

    kind: TarKind
    excludes: bool = False
    numeric: bool = False

    @classmethod
    def from_help(cls, text: str) -> "Tar":
        """Tell from what `tar --help` prints; busybox builds differ in the options they know."""
        if not text.strip():
            return cls(TarKind.NONE)
        if "busybox" in text.lower():
            return cls(TarKind.BUSYBOX, excludes="--exclude" in text, numeric="--numeric-owner" in text)
        if "GNU" in text:
            return cls(TarKind.GNU, excludes=True, numeric=True)
        return cls(TarKind.OTHER)

    @property
    def loses(self) -> str | None:
        """Say what this tar does not carry, though a file may have it; None for GNU tar, which carries all."""
        if self.kind is TarKind.GNU:
            return None
        return f"{FINE_FACTS} are not kept: the container's tar has no place for them, GNU tar would"

    @property
    def loses_writing(self) -> str | None:
        """Say what this tar does not write, though the stream may have it; None for GNU tar, which writes all."""
        if self.kind is TarKind.GNU:
            return None
        owners = "" if self.numeric else "; owners go by their names where the stream has names"
        lost = f"{FINE_FACTS}, holes, times of directories, owners and times of symbolic links"
        return f"{lost} are not written: the tar in use cannot{owners}"

    @property
    def dialect(self) -> Dialect:
        """Say which headers this tar understands where it extracts."""
        return Dialect.PAX if self.kind is TarKind.GNU else Dialect.GNU

    def extraction(self, path: str, *, plain: bool = False) -> list[str]:
        """Give the command that extracts standard input into the directory; `plain` is for GNU tar only.

        By default both GNU tar and busybox unlink what is in the way of a file, and keep directories that exist.
        """
        if self.kind is TarKind.GNU:
            return [*_GNU_EXTRACT, *(_GNU_PLAIN if plain else _GNU_ATTRIBUTES), "-C", path]
        return ["tar", "-x", "-f", "-", *(["--numeric-owner"] if self.numeric else []), "-C", path]

    def command(self, path: str, exclude: Sequence[str]) -> list[str]:
        """Give the command that writes the directory as a tar with names `./…` to standard output.

        A pattern that matches `.` is not handed to tar, which would then write nothing at all: the reader applies it.
        """
        exclude = [pattern for pattern in exclude if not swallows_root(pattern)]
        if self.kind is TarKind.GNU:
            return [*_GNU, *(f"--exclude={pattern}" for pattern in exclude), "-C", path, "--", "."]
        excludes = [word for pattern in exclude for word in ("--exclude", pattern)] if self.excludes else []
        return ["tar", "-c", "-f", "-", *excludes, "-C", path, "."]


_GNU = (
    "tar",
    "--create",
    "--file=-",
    "--blocking-factor=64",  # writes as large as the engine's frames: a third more small files a second
    "--format=posix",
    "--pax-option=delete=atime,delete=ctime",
    # The SELinux label belongs to the container the volume is mounted in, not to the data.
    "--xattrs-include=*",
    "--xattrs-exclude=security.selinux",
    "--acls",
    "--sparse",
    "--numeric-owner",
    "--no-wildcards-match-slash",
)
_GNU_EXTRACT = (
    "tar",
    "--extract",
    "--file=-",
    "--blocking-factor=256",  # reads 128 KiB at a time: wakes the engine, which hands them on, less often
    "--numeric-owner",
    "--same-owner",
    "--same-permissions",
    "--delay-directory-restore",  # a directory's members may come in more than one place
    "--warning=no-timestamp",
)
_GNU_ATTRIBUTES = ("--xattrs-include=*", "--xattrs-exclude=security.selinux", "--acls")
# without --acls, which costs a system call a file
_GNU_PLAIN = (f"--strip-components={DEPTH}",)
