import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.recovery.cells import back_up, look, make_cell
from tests.recovery.machine import new_machine
from tests.recovery.page import steps_of_way
from tests.support.debian import debian_tar, fetch_wheels, kept_folder, needed, why_no_debian
from tests.support.docker_engine import docker

_SUITE = "trixie"


@dataclass(frozen=True, slots=True)
class Lost:
    """Hold what is left of a cell: its archive; and what it was like."""

    archive: bytes
    cell: set[str]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheels")


@pytest.fixture(scope="session")
def prepared(
    docker_host: str, wheels: Path, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Give the image of a bare machine on which the first step of the page was done, and nothing else."""
    del docker_host
    needed(why_no_debian())
    tar = debian_tar(kept_folder(pytestconfig, tmp_path_factory, "cell-backup-new-machine"), _SUITE)
    name = f"cell-backup-test-machine:{secrets.token_hex(4)}"
    docker("import", str(tar), name)
    try:
        with new_machine(name, wheels) as machine:
            no_packages = machine.type("apt-get update --error-on=any").code != 0
            needed("Debian's packages cannot be had from a container" if no_packages else None)
            done = machine.type(steps_of_way("all")[0].commands)
            assert done.code == 0, done.screen
            version = machine.sh("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'").strip()
            docker("commit", machine.name, name)
        fetch_wheels(wheels, version)
        yield name
    finally:
        docker("rmi", "--force", name)


@pytest.fixture(scope="session")
def lost(prepared: str, wheels: Path) -> Lost:
    """Give the archive of a cell whose machine is gone."""
    with new_machine(prepared, wheels) as machine:
        machine.start_engine()
        make_cell(machine)
        return Lost(back_up(machine), look(machine))
