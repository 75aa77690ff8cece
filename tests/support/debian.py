"""A Debian of a test's own, made on the spot by debootstrap where none can be pulled, and the wheels for it."""

import os
import secrets
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.service import PROJECT

_LIMIT = 900
# redis needs it below Python 3.11.3 only, which a Debian may have and this machine not
_MORE = ("async-timeout",)


def needed(reason: str | None) -> None:
    """Skip where something is missing, or fail where everything has to be there."""
    if reason and os.environ.get("CELL_BACKUP_REQUIRE_ENGINE") == "1":
        pytest.fail(f"CELL_BACKUP_REQUIRE_ENGINE=1, but {reason}")
    if reason:
        pytest.skip(reason)


def why_no_debian() -> str | None:
    """Say what is missing here for making one."""
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


def kept_folder(config: pytest.Config, factory: pytest.TempPathFactory, name: str) -> Path:
    """Give a folder that the next run finds again, where pytest keeps anything."""
    keeps = config.pluginmanager.has_plugin("cacheprovider")
    return config.cache.mkdir(name) if keeps else factory.mktemp(name)


def debian_tar(
    folder: Path, suite: str, packages: Sequence[str] = (), furnish: Callable[[Path], None] = lambda _: None
) -> Path:
    """Give a tar of a minimal Debian with these packages, made once and then kept in the folder."""
    kept = folder / f"{'-'.join([suite, *packages])}.tar"
    if kept.exists():
        return kept
    root, draft = folder / secrets.token_hex(4), kept.with_suffix(f".{secrets.token_hex(4)}")
    include = [f"--include={','.join(packages)}"] if packages else []
    try:
        call("debootstrap", "--variant=minbase", *include, suite, root, env={**os.environ, "PATH": _path()})
        furnish(root)
        left_out = ("--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*")
        call("tar", "--create", "--file", draft, "--directory", root, *left_out, ".")
        return draft.rename(kept)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        draft.unlink(missing_ok=True)


def _path() -> str:
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


def fetch_wheels(folder: Path, python: str) -> None:
    """Put all that this project needs into a folder, for a Python of that version: so it installs without internet."""
    only_for = ("--only-binary=:all:", f"--python-version={python}")
    options = (*only_for, f"--constraint={PROJECT}/deploy/constraints.txt", f"--dest={folder}")
    call(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", *options, *_requirements())


def _requirements() -> Sequence[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    return (*project["build-system"]["requires"], *project["project"]["dependencies"], *_MORE)
