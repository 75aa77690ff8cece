"""What a restore takes of an archive, and where it goes on another machine."""

import shutil
from pathlib import Path

from app.archive.parts import PartOutcome
from app.engine.memory import MemoryContainer, MemoryVolume
from app.errors import Code
from app.jobs.records import JobState
from tests.faults.house import BACKUP_ID, House, add_service, make_cell, names_in, outcomes, part, tar_of, write
from tests.faults.restoring import (
    MAIL,
    NEWER_MAIL,
    assert_restored,
    assert_same,
    change,
    code_of,
    files_of,
    furnish,
    held_by_backups,
    restored,
    result_of,
    saved_and_changed,
    snapshot,
    volume,
)
from tests.support.trees import Tree, differences

# --- archives from elsewhere


async def test_an_archive_of_another_host(house: House, tmp_path: Path) -> None:
    furnish(house)
    saved = snapshot(house)
    await house.back_up()
    root = tmp_path / "elsewhere/opt/pic"
    make_cell(root)
    write(root / "data/only/here", b"here")
    other = House(root, house.settings.model_copy(update={"cell_root": root, "state_dir": tmp_path / "other"}))
    held = MemoryVolume(tar_of(NEWER_MAIL))
    other.machines["cell-mail"] = MemoryContainer({"/var/mail": held})
    job = await restored(other)
    assert job.state is JobState.PARTIAL
    missing = part(job, "site/pages")
    assert missing.outcome is PartOutcome.FAILED
    assert missing.error is not None
    assert missing.error.code == Code.CONTAINER_MISSING
    assert "cell-mail" in missing.error.message
    assert files_of(held.tar) == MAIL
    assert differences(held_by_backups(saved.tree), held_by_backups(snapshot(other).tree)) == []


async def test_a_service_whose_container_has_another_name_here(house: House) -> None:
    await saved_and_changed(house)
    job = await restored(house, services=[])
    assert job.state is JobState.SUCCEEDED
    add_service(house.root, "mail", {"name": "mailboxes", "path": "/data", "container": "cell-postbox"})
    held = MemoryVolume(tar_of({}))
    house.machines["cell-postbox"] = MemoryContainer({"/data": held})
    del house.machines["cell-mail"]
    job = await restored(house, components=[], services=["mail"])
    assert job.state is JobState.SUCCEEDED, job.error
    assert files_of(held.tar) == MAIL
    assert part(job, "mail/mailboxes").part.container == "cell-postbox"


async def test_a_cell_root_without_anything(house: House) -> None:
    saved, _ = await saved_and_changed(house)
    for item in house.root.iterdir():
        shutil.rmtree(item) if item.is_dir() else item.unlink()
    job = await restored(house)
    assert job.state is JobState.SUCCEEDED, job.error
    assert_restored(house, saved)


# --- what is chosen


async def test_an_archive_with_some_components_leaves_the_others(house: House) -> None:
    furnish(house)
    saved = snapshot(house)
    await house.back_up(components=["vault", "web"], services=[])
    change(house)
    changed = snapshot(house)
    job = await restored(house)
    assert job.state is JobState.SUCCEEDED, job.error
    assert outcomes(job.components) == {"vault": "succeeded", "web": "succeeded"}
    assert_taken(house, saved=saved.tree, changed=changed.tree)
    assert snapshot(house).volumes == changed.volumes


def assert_taken(house: House, *, saved: Tree, changed: Tree) -> None:
    """Check that vault and web came back, and everything else is as it was changed."""
    ours = (b"data/vault", b"config/caddy", b"config/dns", b"data/dns", b"data/caddy")
    now = snapshot(house).tree

    def split(tree: Tree) -> tuple[Tree, Tree]:
        mine = {path: facts for path, facts in tree.items() if path.startswith(ours)}
        return mine, {path: facts for path, facts in tree.items() if path not in mine and path != b"."}

    assert differences(split(saved)[0], split(now)[0]) == []
    assert differences(split(changed)[1], split(now)[1]) == []


async def test_a_choice_of_components_and_services(house: House) -> None:
    saved, changed = await saved_and_changed(house)
    job = await restored(house, components=["vault", "web"], services=["site"])
    assert job.state is JobState.SUCCEEDED, job.error
    assert outcomes(job.components) == {"vault": "succeeded", "web": "succeeded", "site/pages": "succeeded"}
    assert_taken(house, saved=saved.tree, changed=changed.tree)
    now = snapshot(house).volumes
    assert now["cell-site", "/srv"] == saved.volumes["cell-site", "/srv"]
    assert now["cell-mail", "/var/mail"] == changed.volumes["cell-mail", "/var/mail"]
    assert [step["stage"] for step in result_of(job)["steps"]][3:5] == ["vault", "web"]


async def test_a_choice_that_the_archive_has_not(house: House) -> None:
    furnish(house)
    await house.back_up(components=["vault"], services=["site"])
    job = await restored(house, components=["vault", "web"], services=["site", "mail"])
    assert job.state is JobState.PARTIAL
    found = {r.part.service or r.part.name: r.error.code if r.error else None for r in job.components}
    assert found == {
        "vault": None,
        "web": Code.NOTHING_TO_RESTORE,
        "site": None,
        "mail": Code.NOTHING_TO_RESTORE,
    }


async def test_a_choice_of_nothing_that_is_there_fails(house: House) -> None:
    furnish(house)
    await house.back_up(components=["vault"], services=[])
    before = snapshot(house)
    job = await restored(house, components=["web"], services=["mail"])
    assert job.state is JobState.FAILED
    assert code_of(job) == Code.NOTHING_TO_RESTORE
    assert_same(house, before)
    assert names_in(house.archives) == [f"{BACKUP_ID}.json", f"{BACKUP_ID}.tar.gz"]


async def test_overlay_keeps_what_came_later_and_takes_the_rest_back(house: House) -> None:
    await saved_and_changed(house)
    shutil.rmtree(house.root / "data/something/link")
    job = await restored(house, mode="overlay", components=["vault", "web", "rest"])
    assert job.state is JobState.SUCCEEDED, job.error
    assert (house.root / "data/dns/stale.zone").exists()
    assert (house.root / "data/something/newer").exists()
    assert (house.root / "data/vault/ca.key").read_bytes() == b"vault"
    assert (house.root / "data/vault/ca.crt").exists()
    assert files_of(volume(house, "mail").tar) == NEWER_MAIL | MAIL
    assert not volume(house, "mail").emptied


async def test_overlay_does_not_clear_a_folder_that_is_in_the_way(house: House) -> None:
    await saved_and_changed(house)
    before = snapshot(house)
    job = await restored(house, mode="overlay")
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.PLAN_CONFLICT)
    assert "data/something/link" in str(job.error)
    assert_same(house, before)


async def test_equal_removes_a_stale_zone_and_leaves_the_logs(house: House) -> None:
    await saved_and_changed(house)
    assert (house.root / "data/dns/stale.zone").exists()
    await restored(house)
    assert not (house.root / "data/dns/stale.zone").exists()
    assert (house.root / "data/logs/access.log").read_bytes() == b"an old line\na new line\n"
