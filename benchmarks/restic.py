"""A restic repository of our own, with a cache of its own."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import new_folder, run


@dataclass(frozen=True, slots=True)
class Repository:
    """Run restic with a fresh repository."""

    folder: Path

    def __call__(self, *arguments: str) -> None:
        password, cache = self.folder / "password", self.folder / "cache"
        given = {"RESTIC_PASSWORD_FILE": str(password), "RESTIC_CACHE_DIR": str(cache)}
        run(["restic", "--quiet", "--repo", str(self.folder / "repository"), *arguments], {**os.environ, **given})

    def size(self) -> int:
        return sum(path.stat().st_size for path in (self.folder / "repository").rglob("*") if path.is_file())


@contextmanager
def new_repository(folder: Path) -> Iterator[Repository]:
    """Make a repository; it is gone afterwards."""
    with new_folder(folder) as made:
        (made / "password").write_text(secrets.token_urlsafe())
        repository = Repository(made)
        repository("init")
        yield repository
