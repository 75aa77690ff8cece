"""Step 8 as a whole: what each part came to, what is said of it, and when it is done again."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.archive.parts import PartOutcome
from app.engine.base import CommandResult
from app.errors import Code, PartError
from tests.faults.house import House
from tests.unit.workers.core_house import CORE, asked, house, ran
from workers.regeneration.regenerating import regenerate, regenerate_if_changed

__all__ = ["house"]

SUCCEEDED, FAILED, SKIPPED = PartOutcome.SUCCEEDED, PartOutcome.FAILED, PartOutcome.SKIPPED


async def test_everything_is_made_anew_and_made_known(house: House) -> None:
    done = await regenerate(house.tools, way="builtin")

    assert done.good
    assert done.warnings == ()
    assert [made.outcome for made in done.parts.values()] == [SUCCEEDED] * 3
    text = (house.root / "config/caddy/Caddyfile").read_text()
    assert ran(house, "caddy", "validate") == ran(house, "caddy", "reload") == [text]
    assert house.memory_engine.signals == [("cell-dns", "USR1")]
    assert len(ran(house, "iptables-restore", "--noflush", "--wait=5", "--test")) == 1
    assert len(ran(house, "ip", "-batch", "-")) == 1
    assert "-s 172.20.0.5/32 -j MARK --set-xmark 0x1000" in ran(house, "iptables-restore", "--noflush")[1]


async def test_the_second_time_nothing_is_written(house: House) -> None:
    await regenerate(house.tools, way="builtin")
    before = {path: path.stat() for path in house.root.rglob("*")}
    done = await regenerate(house.tools, way="builtin")

    assert done.caddyfile.message == "unchanged and loaded."
    assert {path: path.stat().st_mtime_ns for path in before} == {p: s.st_mtime_ns for p, s in before.items()}


async def test_off_does_nothing(house: House) -> None:
    before = (house.root / "config/caddy/Caddyfile").read_bytes()
    done = await regenerate(house.tools, way="off")

    assert [made.outcome for made in done.parts.values()] == [SKIPPED] * 3
    assert done.good
    assert house.memory_engine.calls == []
    assert (house.root / "config/caddy/Caddyfile").read_bytes() == before
    assert not house.settings.state_dir.exists()


async def test_a_caddy_container_without_the_command_leaves_the_check_to_the_parser(house: House) -> None:
    house.machines["cell-caddy"].commands["caddy"] = CommandResult(127, "not found")
    done = await regenerate(house.tools, way="builtin")

    assert done.caddyfile.outcome is SUCCEEDED
    assert done.caddyfile.message == "written, not yet loaded: cell-caddy has no command 'caddy'."


async def test_a_file_that_does_not_hold_replaces_nothing_where_caddy_cannot_be_asked(
    house: House, tmp_path: Path
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/Caddyfile.j2").write_text("{{ domain }} {\n")
    (tmp_path / "t/Corefile.j2").write_text(". {\n\treload\n}\n")
    house.configure(template_dir=tmp_path / "t")
    house.machines.clear()
    files = [house.root / "config/caddy/Caddyfile", house.root / "config/dns/Corefile"]
    before = [path.read_bytes() for path in files]
    done = await regenerate(house.tools, way="builtin")

    assert [made.outcome for made in done.parts.values()] == [FAILED, FAILED, SKIPPED]
    assert done.caddyfile.message.endswith("not closed. The Caddyfile stays as it was.")
    assert "'reload'" in done.corefile.message
    assert set(done.warnings) == {done.caddyfile.message, done.corefile.message}
    assert [path.read_bytes() for path in files] == before


async def test_a_template_that_does_not_work_spoils_its_own_file_only(house: House, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/Caddyfile.j2").write_text("\n{{ nothing }}\n")
    house.configure(template_dir=tmp_path / "t")
    done = await regenerate(house.tools, way="builtin")

    assert [made.outcome for made in done.parts.values()] == [FAILED, SUCCEEDED, SUCCEEDED]
    assert f"{tmp_path}/t/Caddyfile.j2, line 2: " in done.caddyfile.message


def _only(word: str, answer: CommandResult | PartError) -> Callable[[Sequence[str], bytes | None], CommandResult]:
    def run(command: Sequence[str], _: bytes | None) -> CommandResult:
        if word not in command:
            return CommandResult(0, "")
        if isinstance(answer, PartError):
            raise answer
        return answer

    return run


@pytest.mark.parametrize(
    "answer",
    [
        CommandResult(1, '{"level":"info"}\nError: sending configuration: connection refused\n'),
        PartError(Code.HOOK_TIMEOUT, "connection refused"),
    ],
)
async def test_a_caddy_that_does_not_load_a_good_file_is_a_failure(
    house: House, answer: CommandResult | PartError
) -> None:
    house.machines["cell-caddy"].commands["caddy"] = _only("reload", answer)
    done = await regenerate(house.tools, way="builtin")

    assert done.caddyfile.outcome is FAILED
    assert "written, but Caddy did not load it" in done.caddyfile.message
    assert "connection refused" in done.caddyfile.message


async def test_a_coredns_that_cannot_be_told_is_a_failure(house: House) -> None:
    house.memory_engine.faults["signal"] = PartError(Code.ENGINE_ERROR, "gone")
    done = await regenerate(house.tools, way="builtin")

    assert (done.corefile.outcome, done.corefile.message) == (FAILED, "written, but cell-dns was not told: gone")


async def test_a_file_that_caddy_refuses_replaces_nothing(house: House) -> None:
    house.machines["cell-caddy"].commands["caddy"] = _only("validate", CommandResult(1, "Error: adapting: line 3\n"))
    before = (house.root / "config/caddy/Caddyfile").read_bytes()
    done = await regenerate(house.tools, way="builtin")

    assert done.caddyfile.outcome is FAILED
    assert "Error: adapting: line 3 (exit code 1)" in done.caddyfile.message
    assert (house.root / "config/caddy/Caddyfile").read_bytes() == before
    assert ran(house, "caddy", "reload") == []


async def test_without_an_engine_the_files_are_made_all_the_same(house: House) -> None:
    house.memory_engine.faults["inspect"] = PartError(Code.ENGINE_UNREACHABLE, "no engine")
    done = await regenerate(house.tools, way="builtin")

    assert [made.outcome for made in done.parts.values()] == [SUCCEEDED, SUCCEEDED, SKIPPED]
    assert all("no engine" in made.message for made in done.parts.values())


@pytest.mark.parametrize("seen", ["/vault/certs\n", "/elsewhere\n", ""])
async def test_the_vault_s_certificate_is_used_where_caddy_sees_it(house: House, seen: str) -> None:
    house.machines["cell-caddy"].commands["sh"] = CommandResult(0 if seen else 1, seen)
    await regenerate(house.tools, way="builtin")

    text = (house.root / "config/caddy/Caddyfile").read_text()
    assert ("tls /vault/certs/home.cell.crt" in text) == (seen == "/vault/certs\n")
    assert ("tls internal" in text) == (seen != "/vault/certs\n")


async def test_a_caddy_that_is_away_keeps_the_certificate_it_had(house: House) -> None:
    del house.machines["cell-caddy"]
    line = "tls /v/home.cell.crt /v/home.cell.key"
    (house.root / "config/caddy/Caddyfile").write_text(f"api.home.cell {{\n\t{line}\n}}\n")
    await regenerate(house.tools, way="builtin")

    assert line in (house.root / "config/caddy/Caddyfile").read_text()


async def test_a_public_cell_asks_for_its_certificates_outside(house: House) -> None:
    file = house.root / "config/api/cell_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"domain_mode": "pic_ngo", "domain_name": "a.pic.test"}))
    await regenerate(house.tools, way="builtin")

    text = (house.root / "config/caddy/Caddyfile").read_text()
    assert "mail.a.pic.test {" in text
    assert "tls" not in text


async def test_a_start_regenerates_what_is_not_applied_yet_and_only_routes_what_is(house: House) -> None:
    await regenerate_if_changed(house.tools)
    assert asked(house) == list(CORE)

    await regenerate_if_changed(house.tools)
    assert asked(house) == ["cell-wireguard"]

    (house.root / "data/cell_links.json").unlink()
    await regenerate_if_changed(house.tools)
    assert asked(house) == list(CORE)


async def test_what_failed_is_tried_again_at_the_next_start(house: House) -> None:
    house.machines["cell-caddy"].commands["caddy"] = CommandResult(1, "Error: no")
    await regenerate_if_changed(house.tools)
    await regenerate_if_changed(house.tools)
    assert len(ran(house, "caddy", "validate")) == 2

    house.machines["cell-caddy"].commands.clear()
    await regenerate_if_changed(house.tools)
    await regenerate_if_changed(house.tools)
    assert len(ran(house, "caddy", "validate")) == 3


async def test_a_restore_s_own_regeneration_counts_as_applied(house: House) -> None:
    await regenerate(house.tools, way="builtin")
    asked(house)
    await regenerate_if_changed(house.tools)

    assert asked(house) == ["cell-wireguard"]
    assert (house.settings.state_dir / "applied.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("why", ["off", "no configuration"])
async def test_a_start_does_nothing_where_nothing_is_wanted(
    house: House, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    if why == "off":
        house.configure(regenerate="off")
    else:
        (house.root / "config/api/cell_config.json").unlink()
    await regenerate_if_changed(house.tools)

    assert asked(house) == []
    assert not house.settings.state_dir.exists()
    assert "regenerating" not in caplog.text


async def test_a_start_goes_on_whatever_happens(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def crash(*_: Any) -> CommandResult:
        raise RuntimeError("a defect")

    house.machines["cell-caddy"].commands["caddy"] = crash
    await regenerate_if_changed(house.tools)

    assert "regeneration at the start failed" in caplog.text


async def test_a_note_that_cannot_be_written_or_read_only_costs_the_work_again(house: House) -> None:
    house.settings.state_dir.mkdir()
    (house.settings.state_dir / "applied.json").mkdir()
    await regenerate_if_changed(house.tools)
    await regenerate_if_changed(house.tools)

    assert len(ran(house, "caddy", "validate")) == 2
