"""Tells by its first bytes what a file is that came from elsewhere."""

from app.archive.envelope import MAX_LINE, parse_envelope
from app.errors import ArchiveError, Code

_GZIP = b"\x1f\x8b\x08"


def is_encrypted_archive(head: bytes) -> bool:
    """Tell an encrypted archive from a plain one by its first 64 KiB, or all of it where it is shorter.

    Raises ArchiveError ARCHIVE_FOREIGN for anything else, and what `parse_envelope` raises.
    """
    if head.startswith(_GZIP):
        return False
    line, ended, _ = head[:MAX_LINE].partition(b"\n")
    if not ended or not line.startswith(b"{"):
        raise ArchiveError(Code.ARCHIVE_FOREIGN, "The file begins neither like a gzip file nor like an encrypted one.")
    parse_envelope(line)
    return True
