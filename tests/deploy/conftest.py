import os
import shutil
from collections.abc import Iterator

import pytest

from app.cell.sample import make_sample_cell
from tests.deploy.images import Base, base_image
from tests.deploy.stack import COMPOSE, Stack, built_stack, running_stack
from tests.support.debian import kept_folder, needed, why_no_debian

_USER = 1000


@pytest.fixture(scope="session")
def compose() -> str:
    """Give compose's name; skip where there is none."""
    needed(None if shutil.which(COMPOSE) else f"there is no {COMPOSE}")
    return COMPOSE


@pytest.fixture(scope="session")
def base(
    docker_host: str, compose: str, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Base]:
    """Give the image that everything here is built on."""
    del docker_host, compose
    needed(why_no_debian())
    with base_image(kept_folder(pytestconfig, tmp_path_factory, "cell-backup-base")) as base:
        yield base


@pytest.fixture(scope="session")
def built(base: Base, docker_host: str) -> Iterator[Stack]:
    """Give a stack that is built and not up."""
    with built_stack(base, docker_host) as stack:
        yield stack


@pytest.fixture(scope="session")
def stack(built: Stack) -> Iterator[Stack]:
    """Give the stack, up and healthy, beside a cell that is another user's alone."""
    make_sample_cell(built.cell)
    for service in ("mail", "calendar"):  # a real one of that name may run on this engine
        shutil.rmtree(built.cell / "data/services" / service)
    _give_away(built)
    with running_stack(built):
        yield built


def _give_away(stack: Stack) -> None:
    """Make the cell one that root without rights over others' files can neither read nor bring back."""
    shared = stack.cell / "config/shared"
    shared.mkdir()
    (shared / "of-a-service").write_text("kept")
    for path in (stack.cell, *stack.cell.rglob("*")):
        os.chown(path, _USER, _USER, follow_symlinks=False)
    os.chown(shared / "of-a-service", _USER + 1, _USER + 2)
    shared.chmod(0o2770)
    (stack.cell / "data").chmod(0o700)
    stack.cell.chmod(0o700)
