"""Root file systems for containers, packed of this machine's own programs with the libraries that they want."""

import io
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.docker_engine import libraries_of

TOOLS = ("tar", "sh", "ls", "rm", "kill", "du", "df", "find", "cat", "sleep", "stat", "sync")
Filter = Callable[[tarfile.TarInfo], tarfile.TarInfo | None]


class RootFileSystem:
    """Collect what a container shall have, each name once; a link becomes what it leads to."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._names: set[str] = set()

    def tools(self) -> None:
        """Add GNU tar, a shell, and what else a container usually has."""
        for name in TOOLS:
            self.program(Path(shutil.which(name) or name), f"/bin/{name}")

    def program(self, program: Path, name: str) -> None:
        """Add a program under a name, with its libraries."""
        self.tree(program.resolve(), name)
        self.libraries(program)

    def libraries(self, program: Path) -> None:
        """Add the libraries of a program or of another library."""
        for library in libraries_of(program):
            self.tree(Path(library).resolve(), library)

    def tree(self, path: Path, name: str, only: Filter | None = None) -> None:
        """Add a file or a whole folder."""

        def once(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
            if member.name in self._names or (only is not None and only(member) is None):
                return None
            self._names.add(member.name)
            return member

        self._tar.add(path, name, filter=once)

    def text(self, name: str, content: str) -> None:
        """Add a file with this content."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content.encode()), 0o644
        self._tar.addfile(member, io.BytesIO(content.encode()))

    def folder(self, name: str, *, user: int = 0) -> None:
        """Add an empty folder that belongs to a user."""
        member = tarfile.TarInfo(name)
        member.type, member.mode, member.uid, member.gid = tarfile.DIRTYPE, 0o755, user, user
        self._tar.addfile(member)


@contextmanager
def root_file_system(packed: io.BytesIO) -> Iterator[RootFileSystem]:
    """Pack what is added while the block runs."""
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        yield RootFileSystem(tar)
