"""One tree with everything, built once: nobody changes it."""

import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tars import SERVICE_FLAGS, tar_of
from tests.support.trees import PLAIN, Tree, Wanted, build, describe, write_sparse

DEVICES = {stat.S_IFCHR, stat.S_IFBLK}


@dataclass(frozen=True, slots=True)
class Built:
    """Hold a tree on disk, what it is like, and how the service's tar writes it."""

    root: Path
    tree: Tree
    tar: bytes

    @property
    def devices(self) -> list[str]:
        """Name what the relay leaves out."""
        return [name.decode() for name, facts in self.tree.items() if facts.kind in DEVICES]

    @property
    def kept(self) -> Tree:
        """Give what the relay keeps."""
        return {name: facts for name, facts in self.tree.items() if facts.kind not in DEVICES}


def _built(wanted: Wanted) -> Iterator[Built]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        build(root, wanted)
        yield Built(root, describe(root), tar_of(root, *SERVICE_FLAGS))


@pytest.fixture(scope="session")
def everything() -> Iterator[Built]:
    """Give a tree with all that a file system can hold."""
    yield from _built(Wanted())


@pytest.fixture(scope="session")
def plain() -> Iterator[Built]:
    """Give a tree that the oldest formats can hold too."""
    yield from _built(PLAIN)


@pytest.fixture(scope="session")
def small() -> Iterator[Built]:
    """Give a few members of every sort, so short a stream that it can be cut everywhere."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "folder").mkdir()
        (root / "folder" / "file").write_bytes(b"contents\n" * 70)
        (root / "folder" / ("long-" * 45)).write_bytes(b"x" * 512)
        (root / "empty").write_bytes(b"")
        (root / "hard").hardlink_to(root / "folder" / "file")
        (root / "link").symlink_to("target/" * 30)
        write_sparse(root / "sparse", 1 << 20, [(0, b"s" * 600), (1 << 19, b"t" * 100)])
        yield Built(root, describe(root), tar_of(root, "--blocking-factor=1", "--sort=name", *SERVICE_FLAGS))
