"""The sample cell with its core containers in memory, in which every command succeeds."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from app.cell.sample import make_sample_cell
from app.engine.base import CommandResult
from app.engine.memory import MemoryContainer
from app.settings import Settings
from tests.faults.house import House

CORE = ("cell-caddy", "cell-dns", "cell-wireguard")
TUNNELS = "1: lo: <UP> mtu 1\n2: wg-exit0@if3: <UP> mtu 1\n3: wg-exit1: <UP> mtu 1\n"


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Give the sample cell with its core containers, in which every command succeeds."""
    root = tmp_path / "cell"
    make_sample_cell(root)
    house = House(root, Settings(cell_root=root, state_dir=tmp_path / "state"))
    house.machines.update({name: MemoryContainer() for name in CORE})
    house.machines["cell-wireguard"].commands["sh"] = shell()
    return house


def shell(**answers: str) -> Callable[[Sequence[str], bytes | None], CommandResult]:
    """Answer what is read by way of a shell: interfaces, addresses, and more by a word of the command."""

    def answer(command: Sequence[str], _: bytes | None) -> CommandResult:
        words = " ".join(command)
        known = {"link show": TUNNELS, "getent": "172.20.0.5 cell-mail\n"} | answers
        return CommandResult(0, next((text for word, text in known.items() if word in words), ""))

    return answer


def ran(house: House, *words: str) -> list[str]:
    """Give the standard input of each command that began with these words."""
    runs = house.memory_engine.ran
    return [(run.stdin or b"").decode() for run in runs if run.command[: len(words)] == words]


def asked(house: House) -> list[str]:
    names = sorted({name for _, name in house.memory_engine.calls})
    house.memory_engine.calls.clear()
    return names
