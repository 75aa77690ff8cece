"""A dry run says what a restore would do, changes nothing, and the real run does just that."""

import stat
import tarfile
from typing import Any

import pytest

from app.engine.base import ContainerState
from app.engine.memory import MemoryContainer, MemoryVolume
from app.errors import Code, PartError
from app.jobs.records import Job, JobState
from tests.faults.house import House, names_in, tar_of, write
from tests.faults.restoring import (
    MAIL,
    NEWER_MAIL,
    SITE,
    assert_same,
    code_of,
    files_of,
    furnish,
    restored,
    result_of,
    saved_and_changed,
    snapshot,
)
from tests.support.trees import Tree


def plan_of(job: Job) -> dict[str, Any]:
    plan: dict[str, Any] = result_of(job)["plan"]
    return plan


def told(plan: dict[str, Any], action: str) -> set[str]:
    """Name the files and links that the plan says an action is for."""
    changes = [item for component in plan["components"] for item in component["changes"]]
    return {item["path"] for item in changes if item["action"] == action and item["kind"] != "folder"}


def done(before: Tree, after: Tree) -> dict[str, set[str]]:
    """Find out what became of each file and link that a restore deals with."""

    def files(tree: Tree) -> dict[str, Any]:
        mine = {path.decode(): facts for path, facts in tree.items() if not stat.S_ISDIR(facts.kind)}
        return {path: facts for path, facts in mine.items() if "logs" not in path.split("/")}

    old, new = files(before), files(after)
    both = old.keys() & new.keys()
    same = {path for path in both if old[path] == new[path]}
    folders = {path.decode() for path, facts in before.items() if stat.S_ISDIR(facts.kind)}
    replaced = (both - same) | (new.keys() & folders)
    return {
        "create": new.keys() - old.keys() - folders,
        "replace": replaced,
        "remove": old.keys() - new.keys(),
        "leave": same,
    }


async def dry(house: House, **request: Any) -> Job:
    return await restored(house, dry_run=True, **request)


async def test_nothing_changes(house: House) -> None:
    _, before = await saved_and_changed(house)
    archives = names_in(house.archives)
    job = await dry(house)
    assert job.state is JobState.SUCCEEDED, job.error
    assert_same(house, before)
    assert names_in(house.archives) == archives
    assert [step["stage"] for step in result_of(job)["steps"]] == ["verify", "plan"]
    assert "next" not in result_of(job)
    assert {call[0] for call in house.memory_engine.calls} <= {"containers", "inspect", "read_volume"}


async def test_the_real_run_does_what_the_plan_says(house: House) -> None:
    _, before = await saved_and_changed(house)
    promised = plan_of(await dry(house))
    job = await restored(house)
    assert job.state is JobState.SUCCEEDED, job.error
    became = done(before.tree, snapshot(house).tree)
    assert became["create"] == {"data/vault/ca.crt", "config/caddy/Caddyfile"}
    assert became["remove"] == {
        "data/wireguard/peers/new.conf",
        "data/dns/stale.zone",
        "data/something/newer",
        "data/something/link/inside",
    }
    for action in ("create", "replace", "remove"):
        assert told(promised, action) == became[action], action
    real = plan_of(job)
    for key in ("archive", "components", "volumes", "missing", "empty_secrets"):
        assert real[key] == promised[key], key


async def test_counts_and_sizes_by_component(house: House) -> None:
    await saved_and_changed(house)
    plan = plan_of(await dry(house))
    by_name = {item["name"]: item for item in plan["components"]}
    vault = by_name["vault"]
    assert vault["create"] == {"files": 1, "folders": 0, "bytes": len(b"certificate")}
    assert (vault["replace"]["files"], vault["replace"]["bytes"]) == (1, len(b"vault"))
    assert vault["remove"] == {"files": 0, "folders": 0, "bytes": 0}
    assert by_name["web"]["remove"] == {"files": 1, "folders": 0, "bytes": len(b"@ IN A 10.0.0.99")}
    assert by_name["web"]["leave"]["files"] == 3
    (lost,) = [item for item in vault["changes"] if item["action"] == "create" and item["kind"] == "file"]
    assert (lost["path"], lost["bytes"]) == ("data/vault/ca.crt", len(b"certificate"))
    assert not vault["truncated"]


async def test_whose_archive_it_is(house: House) -> None:
    await saved_and_changed(house)
    archive = plan_of(await dry(house))["archive"]
    assert (archive["cell_name"], archive["domain"]) == ("home", "cell.example")
    assert archive["files"] > len(MAIL)


async def test_which_cell_it_comes_into(house: House) -> None:
    furnish(house)
    await house.back_up()
    config = house.root / "config/api/cell_config.json"
    write(config, b'{"cell_name": "cabin", "domain": "cabin.example"}')
    assert plan_of(await dry(house))["cell"] == {"cell_name": "cabin", "domain": "cabin.example"}
    config.unlink()
    plan = plan_of(await dry(house))
    assert plan["cell"] == {"cell_name": None, "domain": None}
    assert plan["archive"]["cell_name"] == "home"


async def test_a_cell_that_is_as_the_archive_needs_nothing(house: House) -> None:
    furnish(house)
    await house.back_up()
    plan = plan_of(await dry(house))
    for item in plan["components"]:
        assert [item[action]["files"] for action in ("create", "replace", "remove")] == [0, 0, 0], item
    assert plan["missing"] == plan["warnings"] == plan["empty_secrets"] == []
    assert plan["space"]["cell_needed"] == 0


# --- volumes


async def test_volumes_and_the_containers_they_go_to(house: House) -> None:
    await saved_and_changed(house)
    mail, site = plan_of(await dry(house))["volumes"]
    assert mail == {
        "name": "mail/mailboxes",
        "container": "cell-mail",
        "state": "running",
        "path": "/var/mail",
        "mode": "equal",
        "quiesce": "none",
        "files": len(MAIL),
        "bytes": sum(map(len, MAIL.values())),
        "bytes_now": len(tar_of(NEWER_MAIL)),
        "bytes_free": 1 << 40,
    }
    assert (site["name"], site["container"], site["files"]) == ("site/pages", "cell-site", len(SITE))


async def test_overlay_and_quiesce_are_said(house: House) -> None:
    furnish(house)
    await house.back_up()
    house.add_mail(tar_of(MAIL), quiesce="stop")
    mail, _ = plan_of(await dry(house, mode="overlay"))["volumes"]
    assert (mail["mode"], mail["quiesce"]) == ("overlay", "stop")


async def test_a_container_that_does_not_run_cannot_say_how_full_it_is(house: House) -> None:
    await saved_and_changed(house)
    house.machines["cell-mail"].state = ContainerState.STOPPED
    mail, _ = plan_of(await dry(house))["volumes"]
    assert (mail["state"], mail["bytes_now"], mail["bytes_free"]) == ("stopped", None, None)


async def test_a_missing_container(house: House) -> None:
    await saved_and_changed(house)
    del house.machines["cell-mail"]
    plan = plan_of(await dry(house))
    assert [item["name"] for item in plan["volumes"]] == ["site/pages"]
    (missing,) = plan["missing"]
    assert (missing["kind"], missing["name"], missing["code"]) == ("volume", "mail/mailboxes", "container_missing")
    assert "cell-mail" in missing["message"]
    assert "cell-site" in missing["message"]
    assert missing["hint"]


async def test_engine_that_is_away(house: House) -> None:
    await saved_and_changed(house)
    house.memory_engine.faults["containers"] = PartError(Code.ENGINE_UNREACHABLE, "No engine listens.")
    plan = plan_of(await dry(house))
    assert plan["volumes"] == []
    assert [(item["name"], item["code"]) for item in plan["missing"]] == [
        ("mail/mailboxes", "engine_unreachable"),
        ("site/pages", "engine_unreachable"),
    ]


async def test_another_build_of_the_image(house: House) -> None:
    await saved_and_changed(house)
    house.machines["cell-mail"].digest = "sha256:1"
    (said,) = plan_of(await dry(house))["warnings"]
    assert "mail/mailboxes" in said
    assert "another build" in said


async def test_a_service_that_is_not_installed(house: House) -> None:
    await saved_and_changed(house)
    (house.root / "data/services/site/manifest.json").unlink()
    plan = plan_of(await dry(house, components=["vault"]))
    assert [(item["name"], item["code"]) for item in plan["missing"]] == [("site/pages", Code.UNKNOWN_SERVICE)]
    (said,) = plan_of(await dry(house, components=["vault"], services=["site"]))["warnings"]  # as it was named
    assert "site is not installed" in said
    assert plan_of(await dry(house))["warnings"] == []  # its manifest comes back with the rest


# --- what would be missing


async def test_secrets_that_would_come_back_empty(house: House) -> None:
    furnish(house)
    write(house.root / "docker-compose.yml", b"a: ${TOKEN} ${EMPTY} ${UNSET} ${WITH:-default}\n")
    await house.back_up()
    write(house.root / "docker-compose.yml", b"a: ${LATER}\n")
    write(house.root / ".env", b"UNSET=here\n")
    plan = plan_of(await dry(house))
    assert plan["empty_secrets"] == ["EMPTY", "UNSET"]
    assert [line.partition(" will be empty")[0] for line in plan["warnings"]] == ["EMPTY", "UNSET"]
    assert plan_of(await dry(house, components=["vault"]))["empty_secrets"] == ["LATER"]


async def test_an_env_file_that_the_restore_removes_gives_no_values(house: House) -> None:
    furnish(house)
    (house.root / ".env").unlink()
    await house.back_up()
    write(house.root / ".env", b"TOKEN=came later\n")
    assert plan_of(await dry(house))["empty_secrets"] == ["TOKEN"]
    assert plan_of(await dry(house, mode="overlay"))["empty_secrets"] == []


async def test_credentials_without_the_vault_are_warned_of(house: House) -> None:
    await saved_and_changed(house)
    (said,) = plan_of(await dry(house, components=["credentials"], services=[]))["warnings"]
    assert "'credentials' is restored without 'vault'" in said
    assert plan_of(await dry(house, components=["credentials", "vault"], services=[]))["warnings"] == []


async def test_what_belongs_to_no_component_is_named_once(house: House) -> None:
    furnish(house)
    await house.back_up()
    target = house.archives / "by-hand.tar.gz"
    write(house.root / "notes.txt", b"not the cell's")
    with tarfile.open(target, "w:gz") as tar:
        tar.add(house.root / "config", "config")
        tar.add(house.root / "notes.txt", "Caddyfile")
    job = await restored(house, "by-hand", dry_run=True)
    assert job.state is JobState.SUCCEEDED, job.error
    assert len([line for line in job.warnings if "Caddyfile" in line]) == 1


# --- space


async def test_the_space_that_is_needed(house: House) -> None:
    await saved_and_changed(house)
    space = plan_of(await dry(house))["space"]
    assert space["cell_needed"] > 0
    assert space["volumes_needed"] == sum(map(len, (*MAIL.values(), *SITE.values())))
    assert space["cell_free"] > 0
    assert space["backups_free"] > 0
    full, files, none = [
        plan_of(await dry(house, safety=safety))["space"]["safety_at_most"] for safety in ("full", "files", "none")
    ]
    assert full > files > none == 0


async def test_a_volume_without_room_fails_before_anything_changes(house: House) -> None:
    _, before = await saved_and_changed(house)
    house.machines["cell-mail"].free = 100
    (said,) = plan_of(await dry(house))["warnings"]  # it shows the plan, with what is short
    assert said.startswith("mail/mailboxes needs")
    job = await restored(house)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.SPACE_MISSING)
    assert "mail/mailboxes" in str(job.error)
    assert_same(house, before)


async def test_what_an_emptied_volume_holds_now_is_room(house: House) -> None:
    furnish(house)
    await house.back_up()
    house.machines["cell-mail"].free = 100
    assert plan_of(await dry(house))["warnings"] == []
    assert "mail/mailboxes needs" in plan_of(await dry(house, mode="overlay"))["warnings"][0]


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_restore_writes_through_no_link(house: House, *, dry_run: bool) -> None:
    furnish(house)
    await house.back_up()
    caddy = house.root / "config/caddy"
    (caddy / "Caddyfile").unlink()
    caddy.rmdir()
    elsewhere = house.settings.state_dir.parent / "elsewhere"
    write(elsewhere / "Caddyfile", b"not ours")
    caddy.symlink_to(elsewhere)
    before = snapshot(house)
    job = await restored(house, dry_run=dry_run)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.PLAN_CONFLICT)
    assert "config/caddy" in str(job.error)
    assert_same(house, before)
    assert (elsewhere / "Caddyfile").read_bytes() == b"not ours"


async def test_labelled_containers_are_services_too(house: House) -> None:
    furnish(house)
    held = MemoryVolume(tar_of({"note": b"1"}))
    house.machines["cell-notes"] = MemoryContainer({"/data": held}, labels={"cell-backup.volumes": "/data"})
    await house.back_up()
    plan = plan_of(await dry(house))
    assert [item["name"] for item in plan["volumes"]] == ["mail/mailboxes", "notes/data", "site/pages"]
    assert plan["warnings"] == []
    held.tar = tar_of({"note": b"changed"})
    assert (await restored(house)).state is JobState.SUCCEEDED
    assert files_of(held.tar) == {"note": b"1"}
