"""Where volumes may stand in an archive: one behind the other, each in one piece, in the order of the header."""

from app.archive.manifest import Header
from app.archive.shown import printable
from app.errors import ArchiveError, Code

_MAX_PARTS = 1000
_MAX_NAME = 255


class VolumeOrder:
    """Hold the volumes that a header names, and which of them is passing.

    Raises ArchiveError ARCHIVE_HOSTILE for a header that names a volume elsewhere, or the same one twice.
    """

    def __init__(self, header: Header) -> None:
        if len(header.parts) > _MAX_PARTS:
            raise ArchiveError(Code.ARCHIVE_HOSTILE, f"The archive's header names more than {_MAX_PARTS} parts.")
        self._places: dict[bytes, int] = {}
        self._above: set[bytes] = {b"services"}
        self._current = b""
        self._last = -1
        for part in header.parts:
            if part.service is None:
                continue
            shown = printable(part.prefix[:200])
            if not all(_is_name(name) for name in (part.service, part.name)):
                raise ArchiveError(Code.ARCHIVE_HOSTILE, f"{shown} is no name for a volume.")
            volume = part.prefix.rstrip("/").encode()
            if volume in self._places:
                raise ArchiveError(Code.ARCHIVE_HOSTILE, f"{shown} is the name of two volumes.")
            self._places[volume] = len(self._places)
            self._above.add(volume.rpartition(b"/")[0])

    def is_known(self, name: bytes) -> bool:
        """Tell whether a name below services/, cut behind its third part, is a volume or a folder above one."""
        return name in self._places or name in self._above

    def enter(self, name: bytes) -> str:
        """Hear that a member is in this volume, or in none; give what is wrong with that, empty where nothing is."""
        volume = name if name in self._places else b""
        if volume == self._current:
            return ""
        self._current = volume
        if not volume:
            return ""
        place, last = self._places[volume], self._last
        self._last = max(place, last)
        if place <= last:
            return "comes after its volume had ended, or in another order than header.json names the volumes"
        return ""


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and name.isprintable() and name not in {".", ".."} and "/" not in name
