"""What a container sends and no restore would take: left out of the archive, so that the rest of it restores."""

from app.archive.guard import NO_LIMITS, Guard
from app.archive.headers import GNU_SPARSE
from app.archive.reader import ReadMember
from app.archive.renaming import Description, HeaderGroup, as_member
from app.errors import ArchiveError

_MAX_TOLD = 1000


class Refusals:
    """Look at a volume's members as a restore will; `warnings` says what is refused, a bounded number of times.

    Other names of what is left out are left out too.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._guard = Guard(NO_LIMITS, archive_size=0)
        self._left_out: set[bytes] = set()

    def has(self, group: HeaderGroup, told: Description, prefix: bytes) -> bool:
        """Tell whether a member must be left out; MalformedTarError where its headers contradict themselves."""
        path, link = prefix + told.path, prefix + told.link if told.link else b""
        if link in self._left_out:
            return self._leave_out(path, f"{path.decode('utf-8', 'backslashreplace')} is another name of such a file.")
        if told.is_file and not told.records and group.block[156] != GNU_SPARSE:
            return self.has_file(path)
        try:
            self._guard.look(ReadMember(as_member(group, told, path, link), group.block, group.extensions))
        except ArchiveError as error:
            return self._leave_out(path, error.message)
        return False

    def has_file(self, path: bytes) -> bool:
        """Tell the same of a file that is typical but for its name."""
        try:
            self._guard.look_at_file(path)
        except ArchiveError as error:
            return self._leave_out(path, error.message)
        return False

    def warn(self, message: str) -> None:
        """Note a warning."""
        if len(self.warnings) < _MAX_TOLD:
            self.warnings.append(message)
        elif len(self.warnings) == _MAX_TOLD:
            self.warnings.append("There are more warnings like these.")

    def _leave_out(self, path: bytes, why: str) -> bool:
        if len(self._left_out) < _MAX_TOLD:
            self._left_out.add(path)
        self.warn(f"Left out: {why}")
        return True
