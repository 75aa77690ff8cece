"""The seam between reading an archive and keeping what is in it."""

from typing import Protocol

from app.archive.headers import Member


class Taking(Protocol):
    """Take the contents of one file, expanded; nothing of it may be used before the whole archive is proven."""

    def write(self, offset: int, piece: memoryview) -> None:
        """Take a piece that belongs at `offset`; what lies between pieces is a hole."""

    def close(self, size: int, digest: str) -> None:
        """Hear that the file is whole: its size with holes, its SHA-256 in hexadecimal."""

    def damaged(self) -> None:
        """Hear instead that the member does not have the data its map says; the manifest may know of it."""


class Receiver(Protocol):
    """Keep members while an archive is verified, in one pass."""

    def take(self, member: Member) -> Taking | None:
        """Look at a member; give what takes its contents, None where they are not wanted (or it has none).

        Raises ArchiveError, JobError; then reading ends.
        """
