"""Where the volumes of an archive may go: to this cell's own containers, and to places that are known here."""

from pathlib import Path
from typing import Any

import pytest

from app.archive.parts import PartOutcome
from app.engine.memory import MemoryContainer, MemoryVolume
from app.errors import Code
from app.jobs.records import Job, JobState
from tests.faults.house import House, add_service, part, tar_of, write
from tests.faults.restoring import MAIL, NEWER_MAIL, SITE, files_of, furnish, restored, result_of, volume

HOME = "com.docker.compose.project.working_dir"
TOOLS = {"sh": b"a shell"}


async def changed_since(house: House, **request: Any) -> None:
    """Back up a furnished cell, and let its mail change."""
    furnish(house)
    assert (await house.back_up(**request)).state is JobState.SUCCEEDED
    volume(house, "mail").tar = tar_of(NEWER_MAIL)


# --- containers of other cells


@pytest.mark.parametrize("services", [None, ["mail", "site"]])
async def test_a_container_of_another_cell_is_not_written(
    house: House, tmp_path: Path, services: list[str] | None
) -> None:
    live = tmp_path / "live"
    live.mkdir()
    await changed_since(house)
    volume(house, "site").tar = tar_of({})
    house.machines["cell-mail"].labels = {HOME: str(live)}
    (house.root / "data/vault/ca.key").write_bytes(b"changed")
    job = await restored(house, services=services)
    assert job.state is JobState.PARTIAL, job.error
    mail = part(job, "mail/mailboxes")
    assert mail.outcome is PartOutcome.FAILED
    assert mail.error is not None
    assert mail.error.code == Code.PLAN_CONFLICT
    assert f"cell-mail belongs to the cell in {live}" in mail.error.message
    assert f"restore with {live} as cell root" in mail.error.hint
    assert files_of(volume(house, "mail").tar) == NEWER_MAIL
    assert volume(house, "mail").writings == []
    assert files_of(volume(house, "site").tar) == SITE
    assert (house.root / "data/vault/ca.key").read_bytes() == b"vault"


async def test_a_plan_names_what_belongs_to_another_cell(house: House, tmp_path: Path) -> None:
    await changed_since(house)
    house.machines["cell-mail"].labels = {HOME: str(tmp_path / "state")}
    (tmp_path / "state").mkdir(exist_ok=True)
    job = await restored(house, dry_run=True)
    (missing,) = result_of(job)["plan"]["missing"]
    assert (missing["name"], missing["code"]) == ("mail/mailboxes", Code.PLAN_CONFLICT)


@pytest.mark.parametrize("home", ["", ".", "config", "..", "../not there"])
async def test_a_container_that_may_be_the_cell_s_own_is_written(house: House, home: str) -> None:
    await changed_since(house)
    house.machines["cell-mail"].labels = {HOME: str(house.root / home)} if home else {}
    job = await restored(house)
    assert job.state is JobState.SUCCEEDED, job.error
    assert files_of(volume(house, "mail").tar) == MAIL


# --- places that only the archive knows


async def told_by_the_archive(house: House, container: str, **request: Any) -> Job:
    """Restore an archive that has one more volume of the service mail: `/usr/bin` of a container."""
    furnish(house)
    house.machines[container].volumes["/usr/bin"] = MemoryVolume(tar_of(TOOLS))
    house.machines[container].labels = {"cell-backup.volumes": "/usr/bin", "cell-backup.service": "mail"}
    assert (await house.back_up()).state is JobState.SUCCEEDED
    house.machines[container].labels = {}
    house.machines[container].volumes["/usr/bin"].tar = tar_of({"sh": b"another"})
    return await restored(house, **request)


def tools_in(house: House, container: str) -> dict[str, bytes]:
    return files_of(house.machines[container].volumes["/usr/bin"].tar)


@pytest.mark.parametrize("components", [None, []], ids=["manifests come back", "files stay"])
async def test_an_installed_service_has_no_volume_in_another_s_container(
    house: House, components: list[str] | None
) -> None:
    job = await told_by_the_archive(house, "cell-site", components=components)
    assert job.state is JobState.PARTIAL, job.error
    strange = part(job, "mail/bin")
    assert strange.outcome is PartOutcome.FAILED
    assert strange.error is not None
    assert strange.error.code == Code.UNKNOWN_SERVICE
    assert "mail/bin is /usr/bin in cell-site" in strange.error.message
    assert tools_in(house, "cell-site") == {"sh": b"another"}
    assert part(job, "mail/mailboxes").outcome is PartOutcome.SUCCEEDED


async def test_a_service_that_is_named_goes_where_the_archive_says_and_that_is_said(house: House) -> None:
    job = await told_by_the_archive(house, "cell-site", services=["mail"])
    assert job.state is JobState.SUCCEEDED, job.error
    assert tools_in(house, "cell-site") == TOOLS
    (said,) = job.warnings
    assert said.startswith("mail/bin goes to /usr/bin in cell-site, as only the archive says")


async def test_a_volume_that_its_manifest_has_no_more_goes_to_the_service_s_own_container(house: House) -> None:
    job = await told_by_the_archive(house, "cell-mail", components=[])
    assert job.state is JobState.SUCCEEDED, job.error
    assert job.warnings == ()
    assert tools_in(house, "cell-mail") == TOOLS


async def test_a_manifest_that_comes_back_has_its_containers(house: House) -> None:
    furnish(house)
    add_service(house.root, "lists", {"name": "pages", "path": "/srv", "container": "cell-site"})
    (house.root / "data/services/site/manifest.json").unlink()
    assert (await house.back_up()).state is JobState.SUCCEEDED
    (house.root / "data/services/lists/manifest.json").unlink()
    volume(house, "site").tar = tar_of({})
    job = await restored(house)
    assert job.state is JobState.SUCCEEDED, job.error
    assert files_of(volume(house, "site").tar) == SITE


async def test_a_manifest_in_another_folder_is_none(house: House) -> None:
    furnish(house)
    house.machines["cell-lists"] = MemoryContainer({"/srv": MemoryVolume(tar_of(SITE))})
    house.machines["cell-lists"].labels = {"cell-backup.volumes": "/srv"}
    write(house.root / "data/kept/data/services/lists/manifest.json", b"{}")
    assert (await house.back_up()).state is JobState.SUCCEEDED
    house.machines["cell-lists"].labels = {}
    lists = part(await restored(house), "lists/srv")
    assert lists.error is not None
    assert (lists.outcome, lists.error.code) == (PartOutcome.FAILED, Code.UNKNOWN_SERVICE)


@pytest.mark.parametrize(("container", "outcome"), [("cell-postbox", "succeeded"), ("cell-site", "failed")])
async def test_a_known_volume_goes_to_its_old_container_unless_that_is_another_service_s(
    house: House, container: str, outcome: str
) -> None:
    furnish(house)
    house.machines[container] = house.machines.pop("cell-mail")
    add_service(house.root, "mail", {"name": "mailboxes", "path": "/var/mail", "container": container})
    assert (await house.back_up(services=["mail"])).state is JobState.SUCCEEDED
    add_service(house.root, "mail", {"name": "mailboxes", "path": "/data", "container": "cell-mail"})
    house.machines[container].volumes["/var/mail"].tar = tar_of(NEWER_MAIL)
    job = await restored(house, components=["vault"])
    assert part(job, "mail/mailboxes").outcome == outcome
    kept = files_of(house.machines[container].volumes["/var/mail"].tar)
    assert kept == (MAIL if outcome == "succeeded" else NEWER_MAIL)
