"""Images for tests of the deployment, made on the spot: a base by debootstrap, as none can be pulled."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian import debian_tar, fetch_wheels
from tests.support.docker_engine import docker
from tests.support.service import PROJECT

_SUITE = "bookworm"
# what the Dockerfile wants of a base, and what the stack's Redis is run from
_PACKAGES = ("python3", "python3-venv", "ca-certificates", "redis-server")
_REDIS_USER = 999  # as in the official images
_IN_CONTEXT = ("app", "workers", "deploy", "pyproject.toml", "docker-compose.yml", ".dockerignore")
_LABEL = "cell-backup-test-base"


@dataclass(frozen=True, slots=True)
class Base:
    """Name a base image; what is built on it inherits its mark, by which it is found again."""

    name: str
    mark: str

    @property
    def python(self) -> str:
        """Give the version of its Python, such as 3.11."""
        words = "import sys; print('%d.%d' % sys.version_info[:2])"
        return docker("run", "--rm", "--network=none", self.name, "python3", "-c", words).decode().strip()


@contextmanager
def base_image(cache: Path) -> Iterator[Base]:
    """Make a base image; it is removed at the end, with all layers that were built on it and have no name."""
    mark = secrets.token_hex(4)
    base = Base(f"cell-backup-test-base:{mark}", mark)
    made = debian_tar(cache, _SUITE, _PACKAGES, furnish=_add_data_of_redis)
    docker("import", f"--change=LABEL {_LABEL}={mark}", str(made), base.name)
    try:
        yield base
    finally:
        docker("image", "prune", "--force", f"--filter=label={_LABEL}={mark}")
        docker("rmi", "--force", base.name)


def _add_data_of_redis(root: Path) -> None:
    (root / "data").mkdir()
    os.chown(root / "data", _REDIS_USER, _REDIS_USER)


def build_context(folder: Path, base: Base) -> None:
    """Copy what an image is built of, and beside it all wheels: so it builds without internet."""
    for name in _IN_CONTEXT:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    fetch_wheels(folder / "wheels", base.python)
