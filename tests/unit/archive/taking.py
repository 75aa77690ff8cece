"""A receiver for tests: keeps what it is given and trusts nothing, above all not the guard."""

import hashlib
import posixpath
from dataclasses import dataclass, field

from app.archive.headers import DIRECTORY, HARD_LINK, SYMLINK, Member

MOST_KEPT = 1 << 22


@dataclass(slots=True)
class Kept:
    """Hold one member; `content` has the holes too, `end` says how its contents ended."""

    member: Member
    content: bytearray = field(default_factory=bytearray)
    end: str = "open"

    def write(self, offset: int, piece: memoryview) -> None:
        assert self.end == "open"
        assert offset >= len(self.content), "pieces come in order"
        if offset + len(piece) <= MOST_KEPT:
            self.content += bytes(offset - len(self.content)) + piece

    def close(self, size: int, digest: str) -> None:
        assert self.end == "open"
        self.end = "whole"
        if size <= MOST_KEPT:
            self.content += bytes(size - len(self.content))
            assert hashlib.sha256(self.content).hexdigest() == digest
            assert len(self.content) == size

    def damaged(self) -> None:
        assert self.end == "open"
        self.end = "damaged"


class Shelf:
    """Take everything; fails where something was given that no restore may take."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Kept] = {}
        self.given: list[Member] = []

    def take(self, member: Member) -> Kept | None:
        self.given.append(member)
        name = member.name
        _check_name(name)
        for folder in _folders(name):
            assert folder not in self.kept or self.kept[folder].member.kind == DIRECTORY
        earlier = self.kept.get(name)
        assert earlier is None or earlier.member.kind == member.kind == DIRECTORY
        self.kept[name] = Kept(member)
        if member.kind == SYMLINK:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(b"r/" + name), member.link))
            assert target == b"r" or target.startswith(b"r/")
        elif member.kind == HARD_LINK:
            _check_name(member.link)
            assert self.kept[member.link].member.kind not in {DIRECTORY, SYMLINK}
        elif member.kind != DIRECTORY:
            assert member.is_file
            assert not member.mode & 0o6000
            return self.kept[name]
        return None


def _check_name(name: bytes) -> None:
    parts = name.split(b"/")
    assert name
    assert not {b"", b".", b".."} & set(parts)
    assert b"\0" not in name
    assert len(name) <= 4096
    assert max(map(len, parts)) <= 255
    assert parts[0] not in {b"services", b".cell-backup"}


def _folders(name: bytes) -> list[bytes]:
    parts = name.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]
