"""Images for tests of the deployment, made on the spot: a base by debootstrap, as none can be pulled."""

import os
import secrets
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.docker_engine import docker
from tests.support.service import PROJECT

_SUITE = "bookworm"
# what the Dockerfile wants of a base, and what the stack's Redis is run from
_PACKAGES = "python3,python3-venv,ca-certificates,redis-server"
_REDIS_USER = 999  # as in the official images
_IN_CONTEXT = ("app", "workers", "deploy", "pyproject.toml", "docker-compose.yml", ".dockerignore")
_LABEL = "cell-backup-test-base"
_LIMIT = 900
# redis needs it below Python 3.11.3 only, which the base may have and this machine not
_MORE = ("async-timeout",)


def why_not() -> str | None:
    """Say what is missing here for a base image."""
    if os.geteuid() != 0:
        return "debootstrap wants root"
    if shutil.which("debootstrap", path=_path()) is None:
        return "there is no debootstrap"
    return None


def call(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a command that may take minutes and give its output; fail with its last words."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_LIMIT
    )
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, f"{command[0]} {command[1:]} ended with {done.returncode}\n{said[-6000:]}"
    return done.stdout.decode(errors="replace")


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
    docker("import", f"--change=LABEL {_LABEL}={mark}", str(_root_file_system(cache)), base.name)
    try:
        yield base
    finally:
        docker("image", "prune", "--force", f"--filter=label={_LABEL}={mark}")
        docker("rmi", "--force", base.name)


def _root_file_system(cache: Path) -> Path:
    """Give a tar of a Debian, made once and then kept for the next run."""
    kept = cache / f"{_SUITE}-{_PACKAGES.replace(',', '-')}.tar"
    if kept.exists():
        return kept
    root, draft = cache / secrets.token_hex(4), kept.with_suffix(f".{secrets.token_hex(4)}")
    path = {**os.environ, "PATH": _path()}
    try:
        call("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, root, env=path)
        (root / "data").mkdir()
        os.chown(root / "data", _REDIS_USER, _REDIS_USER)
        left_out = ("--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*")
        call("tar", "--create", "--file", draft, "--directory", root, *left_out, ".")
        return draft.rename(kept)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        draft.unlink(missing_ok=True)


def _path() -> str:
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


def build_context(folder: Path, base: Base) -> None:
    """Copy what an image is built of, and beside it all wheels: so it builds without internet."""
    for name in _IN_CONTEXT:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    only_for = ("--only-binary=:all:", f"--python-version={base.python}")
    options = (*only_for, f"--constraint={folder}/deploy/constraints.txt", f"--dest={folder}/wheels")
    call(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", *options, *_requirements())


def _requirements() -> Sequence[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    return (*project["build-system"]["requires"], *project["project"]["dependencies"], *_MORE)
