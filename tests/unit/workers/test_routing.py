"""Routing rules: who is asked, with which commands, and what is put back when one of them fails."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.archive.parts import PartOutcome
from app.engine.base import CommandResult, ContainerState
from app.errors import Code, PartError
from tests.faults.house import House
from tests.unit.workers.core_house import house, ran, shell
from workers.regeneration.core_containers import read_lines
from workers.regeneration.regenerating import regenerate

__all__ = ["house"]

SUCCEEDED, FAILED = PartOutcome.SUCCEEDED, PartOutcome.FAILED
CHAIN = ":PIC_CONNECTIVITY - [0:0]\n-A PREROUTING -j PIC_CONNECTIVITY\n"


async def test_a_paused_container_is_not_asked(house: House) -> None:
    house.machines["cell-wireguard"].state = ContainerState.PAUSED

    assert (await regenerate(house.tools, way="builtin")).routing.message == "not applied: cell-wireguard does not run."


async def test_a_copy_of_a_cell_does_not_rule_the_live_one(house: House, tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    label = "com.docker.compose.project.working_dir"
    for machine in house.machines.values():
        machine.labels = {label: str(live)}
    done = await regenerate(house.tools, way="builtin")

    assert house.memory_engine.ran == []
    assert house.memory_engine.signals == []
    assert done.routing.message == f"not applied: cell-wireguard belongs to the cell in {live}."


@pytest.mark.parametrize("home", ["cell", "cell/config", ".", "not there"])
async def test_a_container_that_may_be_the_cell_s_own_is_asked(house: House, tmp_path: Path, home: str) -> None:
    label = "com.docker.compose.project.working_dir"
    house.machines["cell-wireguard"].labels = {label: str(tmp_path / home)}

    assert (await regenerate(house.tools, way="builtin")).routing.outcome is SUCCEEDED


async def test_the_iptables_that_works_is_the_one_that_is_used(house: House) -> None:
    commands = house.machines["cell-wireguard"].commands
    commands["iptables-save"] = CommandResult(127, "not found")
    commands["iptables-nft-save"] = CommandResult(1, "Error: no such kernel feature")
    done = await regenerate(house.tools, way="builtin")

    assert done.routing.outcome is SUCCEEDED
    assert len(ran(house, "iptables-legacy-restore")) == 2

    commands["iptables-legacy-save"] = CommandResult(127, "not found")
    done = await regenerate(house.tools, way="builtin")
    assert done.routing.outcome is FAILED
    assert "no such kernel feature (exit code 1)" in done.routing.message


async def test_an_unknown_address_of_a_service_is_a_warning(house: House) -> None:
    house.machines["cell-wireguard"].commands["sh"] = shell(getent="fd00::5 cell-mail\n")
    done = await regenerate(house.tools, way="builtin")

    assert done.routing.outcome is SUCCEEDED
    assert done.warnings == (
        "The egress of service 'mail' is left out: cell-wireguard does not know the address of cell-mail.",
    )


async def test_input_that_fails_its_test_is_never_applied(house: House) -> None:
    house.machines["cell-wireguard"].commands["iptables-restore"] = CommandResult(2, "line 3 failed")
    done = await regenerate(house.tools, way="builtin")

    assert done.routing.outcome is FAILED
    assert "line 3 failed" in done.routing.message
    assert done.routing.message.endswith("The routing stays as it was.")
    assert len(ran(house, "iptables-restore")) == 1
    assert ran(house, "ip", "-batch") == []


class _Interrupted:
    """Fail or be cancelled at the first real `iptables-restore`; chains are there from then on."""

    def __init__(self, house: House, error: BaseException, *, for_good: bool = False) -> None:
        self._machine = house.machines["cell-wireguard"]
        self._error = error
        self._for_good = for_good
        self._hit = False
        self._machine.commands["iptables-restore"] = self

    def __call__(self, command: Sequence[str], _: bytes | None) -> CommandResult:
        if "--test" in command or (self._hit and not self._for_good):
            return CommandResult(0, "")
        self._hit = True
        self._machine.commands["sh"] = shell(
            **{"-save -t mangle": CHAIN, "rule show": "10000: from all fwmark 0x1000 lookup 1000\n"}
        )
        raise self._error


@pytest.mark.parametrize("error", [PartError(Code.HOOK_TIMEOUT, "too long"), asyncio.CancelledError()])
async def test_whatever_interrupts_it_everything_is_put_back(house: House, error: BaseException) -> None:
    _Interrupted(house, error)
    if isinstance(error, PartError):
        assert (await regenerate(house.tools, way="builtin")).routing.outcome is FAILED
    else:
        with pytest.raises(asyncio.CancelledError):
            await regenerate(house.tools, way="builtin")

    undone = ran(house, "iptables-restore", "--noflush")[-1]
    assert "-D PREROUTING -j PIC_CONNECTIVITY\n-X PIC_CONNECTIVITY\n" in undone
    assert ran(house, "ip", "-batch")[-1] == "rule del priority 10000 fwmark 0x1000 lookup 1000\n"


async def test_what_cannot_be_put_back_is_said_as_it_is(house: House) -> None:
    _Interrupted(house, PartError(Code.HOOK_TIMEOUT, "too long"), for_good=True)
    done = await regenerate(house.tools, way="builtin")

    assert "neither new nor old" in done.routing.message
    assert "stays as it was" not in done.routing.message


async def test_output_of_any_length_is_read_whole(house: House) -> None:
    text = "".join(f"rule {number}\n" for number in range(2000))

    def page(command: Sequence[str], _: bytes | None) -> CommandResult:
        start, size = int(command[5]), int(command[6])
        return CommandResult(0, text[start - 1 : start - 1 + size])

    house.machines["cell-dns"].commands["sh"] = page
    assert (await read_lines(house.memory_engine, "cell-dns", ["x"])).output == text
