"""What somebody found who wanted to lose a user's data: errors that hide others, and processes that meet."""

import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from typing_extensions import override

from app.archive.parts import Part, PartKind
from app.cell.restoring.workspace import open_workspace
from app.engine.base import ContainerState, VolumeSink
from app.engine.journal import quiesced, recover
from app.engine.memory import MemoryContainer, MemoryEngine, MemoryVolume
from app.engine.memory_writing import MemoryWriting
from app.errors import Code, JobError, PartError
from app.jobs.records import JobState
from tests.faults.house import House, tar_of
from tests.faults.restoring import (
    MAIL,
    assert_same,
    change,
    code_of,
    files_of,
    furnish,
    restored,
    result_of,
    snapshot,
    volume,
)
from workers.maintenance import tidy_up
from workers.sole import working

AWAY = PartError(Code.ENGINE_UNREACHABLE, "No engine listens.")
BROKE = PartError(Code.VOLUME_FULL, "No space left on device.")
LOST = {"containers", "inspect", "start", "unpause", "stop", "write_volume", "read_volume"}


class Emptying(MemoryEngine):
    """Play an engine that fails once while it empties the volume of `cell-mail`; `then` runs before it says so."""

    then: Callable[["Emptying"], None]
    failed = False

    @override
    def write_volume(
        self, container: str, path: str, *, empty: bool, plain: bool = False
    ) -> contextlib._AsyncGeneratorContextManager[VolumeSink]:
        del plain
        return self._write(container, path, empty=empty)

    @contextlib.asynccontextmanager
    async def _write(self, container: str, path: str, *, empty: bool) -> AsyncIterator[VolumeSink]:
        if container == "cell-mail" and not self.failed:
            self.failed = True
            self.machines[container].volumes[path].tar = tar_of({"ada/1": b"edited"})
            self.then(self)
            raise PartError(Code.VOLUME_NOT_EMPTIED, "/var/mail could not be emptied.")
        async with super().write_volume(container, path, empty=empty) as sink:
            yield sink


async def held_and_emptied(house: House, then: Callable[[Emptying], None]) -> None:
    """Back up a cell whose mail is stopped while it is written, and let the engine fail as it empties the volume."""
    furnish(house)
    house.add_mail(tar_of(MAIL), quiesce="stop")
    await house.back_up()
    change(house)
    engine = Emptying(house.machines)
    engine.then = then
    house.engine = engine


async def test_a_volume_that_was_being_emptied_when_the_engine_went_away_is_not_taken_for_untouched(
    house: House,
) -> None:
    def away(engine: Emptying) -> None:
        engine.faults |= dict.fromkeys(LOST, AWAY)

    await held_and_emptied(house, away)
    job = await restored(house)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.ROLLBACK_FAILED)
    assert "could not be emptied" in str(job.error)  # the cause is named too
    assert (house.root / ".cell-backup/restore/journal").exists()
    assert house.machines["cell-mail"].state is ContainerState.STOPPED  # nobody is to see half a volume


async def test_a_container_that_does_not_start_after_the_rollback_does_not_hide_it(house: House) -> None:
    def taken(engine: Emptying) -> None:
        engine.faults["start"] = PartError(Code.ENGINE_ERROR, "The port is taken.")

    await held_and_emptied(house, taken)
    before = snapshot(house)
    job = await restored(house)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.QUIESCE_FAILED)
    assert result_of(job)["rolled_back"] is True
    assert snapshot(house).volumes == before.volumes


async def test_volumes_that_could_not_be_saved_first_are_left_as_they_are(house: House) -> None:
    furnish(house)
    await house.back_up()
    for name in ("mail", "site"):
        held = volume(house, name)
        held.tar = tar_of({"precious": b"never saved"})
        held.fault, held.fault_at = PartError(Code.STREAM_CUT, "It broke."), 0
    job = await restored(house, components=[], safety="full")
    assert job.state is JobState.PARTIAL
    assert files_of(volume(house, "mail").tar) == {"precious": b"never saved"}
    assert files_of(volume(house, "site").tar) == {"precious": b"never saved"}


async def test_a_container_whose_volume_is_owed_stays_held(house: House) -> None:
    furnish(house)
    part = Part(PartKind.VOLUME, "mailboxes", "mail", "cell-mail", "/var/mail")
    with open_workspace(house.root, job_id="a" * 32, backup_id="b") as workspace:
        workspace.note_safety("gone", None)  # so that the rollback cannot be done
        workspace.note_volume(part)
    async with quiesced(house.memory_engine, house.journal, "cell-mail", "pause") as hold:
        hold.stay = True
    said = await tidy_up(house.tools)
    assert said is not None
    assert "not put back yet" in said
    assert house.machines["cell-mail"].state is ContainerState.PAUSED
    assert await recover(house.journal, house.memory_engine) == ["cell-mail was left paused, and runs again"]


async def test_one_volume_that_cannot_be_put_back_keeps_nothing_else_from_coming_back(house: House) -> None:
    furnish(house)
    await house.back_up()
    change(house)
    before = snapshot(house)
    volume(house, "site").planned = [MemoryWriting(fault=BROKE, fault_at=100)]
    volume(house, "mail").planned = [MemoryWriting(), MemoryWriting(fault=BROKE, fault_at=10)]
    job = await restored(house)
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.ROLLBACK_FAILED)
    assert "mail/mailboxes could not be put back" in str(job.error)
    assert str(result_of(job)["safety_backup_id"]) in str(job.error)
    now = snapshot(house)
    assert now.tree == before.tree
    assert now.volumes["cell-site", "/srv"] == before.volumes["cell-site", "/srv"]
    again = await restored(house)  # nothing blocks the cell
    assert again.state is JobState.SUCCEEDED, again.error


async def test_a_service_that_only_the_archive_knows_is_not_written(house: House) -> None:
    furnish(house)
    await house.back_up()
    change(house)
    (house.root / "data/services/site/manifest.json").unlink()
    before = snapshot(house)
    job = await restored(house, components=["vault"])
    assert job.state is JobState.PARTIAL
    (site,) = [result for result in job.components if result.part.service == "site"]
    assert site.error is not None
    assert site.error.code == Code.UNKNOWN_SERVICE
    assert snapshot(house).volumes["cell-site", "/srv"] == before.volumes["cell-site", "/srv"]
    named = await restored(house, components=[], services=["site"])
    assert named.state is JobState.SUCCEEDED, named.error


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ({"safety": "full"}, False),
        ({"safety": "files"}, True),
        ({"safety": "none"}, True),
        ({"safety": "full", "mode": "overlay"}, True),
    ],
)
async def test_what_a_manifest_excludes_goes_only_where_it_was_saved(
    house: House, wanted: dict[str, str], *, kept: bool
) -> None:
    furnish(house)
    house.add_mail(tar_of(MAIL), exclude=["big/*"])
    await house.back_up()
    volume(house, "mail").tar = tar_of({"big/film": b"in no backup"})
    job = await restored(house, **wanted)
    assert job.state is JobState.SUCCEEDED, job.error
    (said,) = [line for line in job.warnings if "excludes (big/*)" in line]
    assert ("here it stays" in said, "here it is removed" in said) == (kept, not kept)
    assert ("big/film" in files_of(volume(house, "mail").tar)) == kept


async def test_a_dry_run_leaves_no_trace_beside_the_archive(house: House) -> None:
    furnish(house)
    await house.back_up()
    before = {path: path.read_bytes() for path in house.archives.iterdir()}
    assert "plan" in result_of(await restored(house, dry_run=True))
    assert {path: path.read_bytes() for path in house.archives.iterdir()} == before
    assert_same(house, snapshot(house))


async def test_whoever_works_on_the_cell_keeps_others_waiting(tmp_path: Path) -> None:
    async with working(tmp_path / "state"):
        with pytest.raises(JobError) as caught:
            async with working(tmp_path / "state", patient=False):
                pass
        assert caught.value.code is Code.CELL_BUSY
    async with working(tmp_path / "state", patient=False):
        lock = os.open(tmp_path / "state/working.lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(lock)


async def test_a_container_that_is_gone_does_not_block_the_cell(house: House) -> None:
    furnish(house)
    await house.back_up()
    job = await restored(house)
    part = Part(PartKind.VOLUME, "mailboxes", "mail", "cell-mail", "/var/mail")
    with open_workspace(house.root, job_id="a" * 32, backup_id="b") as workspace:
        workspace.note_safety(str(result_of(job)["safety_backup_id"]), None)
        workspace.note_volume(part)
    house.memory_engine.machines["cell-mail"] = MemoryContainer({"/elsewhere": MemoryVolume(tar_of({}))})
    del house.memory_engine.machines["cell-mail"]
    said = await tidy_up(house.tools)
    assert said is not None
    assert "mail/mailboxes could not be put back" in said
    assert not (house.root / ".cell-backup").exists()
