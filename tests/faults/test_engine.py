"""Faults of the engine and of the processes in its containers, over a real connection."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typing_extensions import override

from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.catalog.base import Entry
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.errors import Code
from app.jobs.records import Job, JobState
from tests.faults.house import JOB_ID, House, add_service, assert_failed, part, tar_of
from tests.faults.proof import prove
from tests.support.fake_engine import FakeEngine, Fault

MAIL = tar_of({f"ada/{number}": Random(number).randbytes(20_000) for number in range(20)})
FILES = tar_of({"photo": b"p" * 3000})


@pytest.fixture
async def fake(house: House, tmp_path: Path) -> AsyncIterator[FakeEngine]:
    """Give an engine that has the mail, and make the house use it."""
    add_service(house.root, "mail", {"name": "mailboxes", "path": "/var/mail"})
    async with FakeEngine(tmp_path / "engine.sock") as fake:
        fake.add_container("cell-mail", {"/var/mail": MAIL})
        async with using(house, fake):
            yield fake


@asynccontextmanager
async def using(house: House, fake: FakeEngine, *, stall_timeout: float = 30) -> AsyncIterator[None]:
    house.configure(stall_timeout=stall_timeout)
    endpoint = Endpoint.resolve({"DOCKER_HOST": fake.docker_host})
    house.engine = engine = DockerEngine(endpoint, stall_seconds=house.settings.stall_timeout)
    try:
        yield
    finally:
        await engine.close()


def assert_mail_failed(house: House, job: Job, code: Code) -> PartResult:
    assert job.state is JobState.PARTIAL
    found = part(job, "mail/mailboxes")
    assert found.outcome is PartOutcome.FAILED
    assert found.error is not None
    assert found.error.code == code
    assert found.error.hint
    proven = prove(house)
    assert proven.part("mail/mailboxes") == found
    assert proven.contents["data/vault/ca.key"] == b"vault"
    return found


async def test_sound_engine(house: House, fake: FakeEngine) -> None:
    del fake
    job = await house.back_up()
    assert job.state is JobState.SUCCEEDED
    assert part(job, "mail/mailboxes").files == 20
    assert part(job, "mail/mailboxes").way == "exec"
    prove(house)


async def test_stall_names_the_container(house: House, fake: FakeEngine) -> None:
    fake.fault = Fault(stall_at=150_000)
    async with using(house, fake, stall_timeout=3):
        found = assert_mail_failed(house, await house.back_up(), Code.STREAM_STALLED)
    assert found.error is not None
    assert "cell-mail" in found.error.message
    assert len(found.damaged) == 1
    assert found.files >= 7
    assert fake.signals  # the tar that stalls is ended


async def test_stall_before_the_first_byte(house: House, fake: FakeEngine) -> None:
    fake.fault = Fault(stall_at=0)
    async with using(house, fake, stall_timeout=0.5):
        assert_mail_failed(house, await house.back_up(), Code.STREAM_STALLED)


@pytest.mark.parametrize("exit_code", [2, 137])
async def test_tar_that_fails(house: House, fake: FakeEngine, exit_code: int) -> None:
    fake.fault = Fault(exit_code=exit_code, stderr=b"tar: ./ada/3: Cannot open: Permission denied\n")
    found = assert_mail_failed(house, await house.back_up(), Code.TAR_FAILED)
    assert found.exit_code == exit_code
    assert found.error is not None
    assert "Permission denied" in found.error.message


async def test_tar_that_only_complains_is_a_warning(house: House, fake: FakeEngine) -> None:
    fake.fault = Fault(exit_code=1, stderr=b"tar: ./ada/3: file changed as we read it\n")
    job = await house.back_up()
    assert job.state is JobState.SUCCEEDED
    assert any("ada/3" in warning for warning in part(job, "mail/mailboxes").warnings)
    prove(house)


async def test_exit_code_that_never_comes(house: House, fake: FakeEngine) -> None:
    fake.fault = Fault(exit_code=None)
    assert_mail_failed(house, await house.back_up(), Code.STREAM_CUT)


async def test_wrong_stream_id(house: House, fake: FakeEngine) -> None:
    fake.fault = Fault(stream_id=7)
    assert_mail_failed(house, await house.back_up(), Code.STREAM_MALFORMED)


async def test_exec_that_is_refused(house: House, fake: FakeEngine) -> None:
    fake.fault = Fault(start=(500, "no space left on device"))
    found = assert_mail_failed(house, await house.back_up(), Code.ENGINE_ERROR)
    assert found.error is not None
    assert "no space left on device" in found.error.message


async def test_container_that_is_missing(house: House, fake: FakeEngine) -> None:
    fake.containers.clear()
    assert_mail_failed(house, await house.back_up(), Code.CONTAINER_MISSING)


async def test_path_that_is_missing(house: House, fake: FakeEngine) -> None:
    fake.containers["cell-mail"].volumes.clear()
    assert_mail_failed(house, await house.back_up(), Code.VOLUME_MISSING)


async def test_archive_endpoint_that_is_cut(house: House, fake: FakeEngine) -> None:
    fake.containers["cell-mail"].tar = "none"
    fake.fault = Fault(cut_at=150_000)
    found = assert_mail_failed(house, await house.back_up(), Code.STREAM_CUT)
    assert found.way == "archive"
    assert len(found.damaged) == 1


async def test_stopped_container_whose_archive_stalls(house: House, fake: FakeEngine) -> None:
    fake.containers["cell-mail"].state = "exited"
    fake.fault = Fault(stall_at=150_000)
    async with using(house, fake, stall_timeout=0.5):
        assert_mail_failed(house, await house.back_up(), Code.STREAM_STALLED)


class DyingEngine(FakeEngine):
    """Die, socket and all, in the middle of the mail."""

    @override
    async def _tar(self, one: Any, path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/var/mail":
            self.fault = Fault(cut_at=150_000)
        await super()._tar(one, path, writer)
        if path == "/var/mail":
            await self.stop()


async def test_engine_that_dies_fails_this_volume_and_all_that_follow(house: House, tmp_path: Path) -> None:
    add_service(house.root, "files", {"path": "/srv/files"})
    add_service(house.root, "mail", {"name": "mailboxes", "path": "/var/mail", "post": ["resume"]})
    add_service(house.root, "web", {"path": "/srv/web", "quiesce": "pause"})
    async with DyingEngine(tmp_path / "engine.sock") as fake, using(house, fake):
        fake.add_container("cell-files", {"/srv/files": FILES})
        fake.add_container("cell-mail", {"/var/mail": MAIL})
        fake.add_container("cell-web", {"/srv/web": FILES})
        job = await house.back_up()
    assert_mail_failed(house, job, Code.STREAM_CUT)
    assert part(job, "files/files").outcome is PartOutcome.SUCCEEDED
    web = part(job, "web/web").error
    assert web is not None
    assert web.code == Code.ENGINE_UNREACHABLE
    assert prove(house).contents["services/files/files/photo"] == b"p" * 3000
    assert list(house.journal.glob("*")) == []


async def test_engine_that_was_never_there_saves_the_files_and_skips_the_volumes(house: House, tmp_path: Path) -> None:
    add_service(house.root, "mail", {"name": "mailboxes", "path": "/var/mail"})
    house.engine = DockerEngine(Endpoint.resolve({"DOCKER_HOST": f"unix://{tmp_path}/nobody"}), stall_seconds=1)
    job = await house.back_up()
    assert job.state is JobState.PARTIAL
    skipped = part(job, "mail/mailboxes")
    assert skipped.outcome is PartOutcome.SKIPPED
    assert skipped.error is not None
    assert skipped.error.code == Code.ENGINE_UNREACHABLE
    proven = prove(house)
    assert proven.part("mail/mailboxes") == skipped
    assert proven.contents["data/vault/ca.key"] == b"vault"


async def test_engine_that_is_away_does_not_hide_the_volumes_that_only_labels_describe(
    house: House, tmp_path: Path
) -> None:
    described_by_labels = Part(PartKind.VOLUME, "mail", service="mail", container="cell-mail", path="/var/mail")
    saved = PartResult(described_by_labels, PartOutcome.SUCCEEDED)
    earlier = Entry("earlier", "", False, 0, datetime(2026, 1, 1, tzinfo=UTC), parts=(saved,))
    with house.tools.store.create("earlier", encrypted=False) as archive:
        archive.publish(earlier)
    house.engine = DockerEngine(Endpoint.resolve({"DOCKER_HOST": f"unix://{tmp_path}/nobody"}), stall_seconds=1)
    job = await house.back_up()
    assert job.state is JobState.PARTIAL
    assert part(job, "mail/mail").outcome is PartOutcome.SKIPPED
    assert any("labels" in warning for warning in job.warnings)


async def test_cell_whose_data_is_not_mounted_says_so(house: House) -> None:
    shutil.rmtree(house.root / "data")
    job = await house.back_up()
    assert any("data/" in warning for warning in job.warnings)


async def test_engine_that_is_away_does_not_matter_where_no_service_is_installed(house: House, tmp_path: Path) -> None:
    house.engine = DockerEngine(Endpoint.resolve({"DOCKER_HOST": f"unix://{tmp_path}/nobody"}), stall_seconds=1)
    job = await house.back_up()
    assert job.state is JobState.SUCCEEDED
    prove(house)


async def test_cancelled_while_the_stream_stalls_ends_the_tar_in_the_container(house: House, fake: FakeEngine) -> None:
    fake.fault = Fault(stall_at=150_000)
    async with using(house, fake, stall_timeout=60):
        await house.queue()
        running = asyncio.create_task(house.work())
        await house.seen_in("volumes")
        await house.jobs.store.request_cancel(JOB_ID)
        job = await running
    await assert_failed(house, job, Code.CANCELLED, JobState.CANCELLED)
    assert fake.signals
