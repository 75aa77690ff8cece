"""What hits the archive itself makes the job fail and leaves nothing behind."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.archive.envelope import new_envelope
from app.engine.base import ContainerState
from app.errors import Code
from app.jobs.records import Job, JobState
from tests.faults.disks import PAGE, FailingStore, file_size_limit, leave_free, small_disk
from tests.faults.house import JOB_ID, House, assert_failed, assert_nothing_left, tar_of, write
from tests.faults.proof import prove

needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
NOISE = os.urandom(1 << 20)
MAIL = tar_of({f"ada/{number}": NOISE for number in range(12)})
STAGES = {"components", "volumes", "close", "publish"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 64 << 20) as disk:
        yield disk


def fill(house: House) -> None:
    """Put what does not compress into a component and into a volume that is paused while it is read."""
    for number in range(12):  # more than the writer's queues and buffers hold
        write(house.root / f"data/vault/{number}", NOISE)
    house.add_mail(MAIL, quiesce="pause")
    for number in range(60):  # warnings, so that the sidecar has some pages too
        os.mkfifo(house.root / f"data/something/{number:0100}")


async def once_more(house: House, **request: object) -> Job:
    """Run the same job again, as if it had never been."""
    house.jobs.store._jobs.clear()
    return await house.back_up(**request)


async def pages_needed(house: House) -> int:
    """Measure what an archive and its sidecar take on a disk; the temporary sidecar is that sidecar."""
    await house.back_up()
    needed = 0
    for path in house.archives.iterdir():
        needed += -(-path.stat().st_size // PAGE)
        path.unlink()
    return needed


async def assert_disk_full(house: House, job: Job) -> None:
    await assert_failed(house, job, Code.DISK_FULL)
    assert house.machines["cell-mail"].state is ContainerState.RUNNING


@needs_mount
async def test_disk_that_is_full_at_any_page(house: House, disk: Path) -> None:
    house.configure(backup_dir=disk / "backups")
    fill(house)
    needed = await pages_needed(house)
    failed_in: set[str | None] = set()
    for pages in [*range(1, needed - 8, 500), *range(needed - 8, needed)]:
        leave_free(disk, pages)
        job = await once_more(house)
        await assert_disk_full(house, job)
        failed_in.add(job.stage)
    assert failed_in == STAGES
    leave_free(disk, needed)
    job = await once_more(house)
    assert job.state is JobState.SUCCEEDED
    prove(house)


@needs_mount
async def test_disk_that_has_no_space_at_all(house: House, disk: Path) -> None:
    house.configure(backup_dir=disk / "backups")
    fill(house)
    leave_free(disk, 0)
    job = await house.back_up()
    await assert_failed(house, job, Code.DISK_FULL)


@needs_mount
async def test_disk_that_is_full_at_any_page_of_an_encrypted_archive(house: House, disk: Path) -> None:
    house.configure(backup_dir=disk / "backups")
    fill(house)
    envelope, data_key = new_envelope("correct horse", scrypt_n=2**10)
    for pages in [*range(0, 8000, 700), 12000]:
        leave_free(disk, pages)
        await house.jobs.secrets.seal(JOB_ID, data_key)
        job = await once_more(house, envelope=envelope.to_line())
        if pages < 8000:
            await assert_disk_full(house, job)
    assert job.state is JobState.SUCCEEDED


@needs_mount
async def test_disk_that_is_full_for_the_checksums(house: House, disk: Path) -> None:
    """Ten thousand empty files compress well, their names' checksums don't: the spool meets the end of the disk."""
    house.configure(backup_dir=disk / "backups")
    house.add_mail(tar_of({f"{number:0120}": b"%d" % number for number in range(10_000)}))
    leave_free(disk, 60)
    job = await house.back_up()
    await assert_failed(house, job, Code.DISK_FULL)
    assert job.stage == "volumes"
    assert job.progress.files_done < 10_000


async def test_file_size_limit_at_any_place(house: House) -> None:
    """What an ordinary user can have of a full disk: the system refuses every byte beyond a limit."""
    fill(house)
    failed_in: set[str | None] = set()
    needed = await pages_needed(house)
    for limit in [*range(0, needed - 8, 500), needed - 5]:
        with file_size_limit(limit * PAGE):
            job = await once_more(house)
        await assert_disk_full(house, job)
        failed_in.add(job.stage)
    assert failed_in == {"components", "volumes", "close"}
    with file_size_limit(needed * PAGE):
        job = await once_more(house)
    assert job.state is JobState.SUCCEEDED
    prove(house)


async def test_sidecar_beyond_the_file_size_limit(house: House) -> None:
    for number in range(60):
        os.mkfifo(house.root / f"data/something/{number:0100}")
    job = await house.back_up()
    sizes = {path.suffix: path.stat().st_size for path in house.archives.iterdir()}
    assert sizes[".json"] > sizes[".gz"]
    for path in house.archives.iterdir():
        path.unlink()
    with file_size_limit((sizes[".json"] + sizes[".gz"]) // 2):
        job = await once_more(house)
    await assert_failed(house, job, Code.DISK_FULL)
    assert job.stage == "publish"


@pytest.mark.parametrize("after", [0, 5_000_000, 12_000_000, 25_165_000])
async def test_write_error(house: House, after: int) -> None:
    fill(house)
    house.store = FailingStore(house.archives, after=after)
    job = await house.back_up()
    await assert_failed(house, job, Code.WRITE_FAILED)
    assert job.error is not None
    assert os.strerror(errno.EIO) in job.error.message
    assert house.machines["cell-mail"].state is ContainerState.RUNNING


@pytest.mark.parametrize(
    ("error", "code"), [(errno.EIO, Code.WRITE_FAILED), (errno.ENOSPC, Code.DISK_FULL), (errno.EDQUOT, Code.DISK_FULL)]
)
async def test_fsync_error(house: House, error: int, code: Code) -> None:
    fill(house)
    house.store = FailingStore(house.archives, after=None, error=error)
    job = await house.back_up()
    await assert_failed(house, job, code)
    assert job.stage == "publish"


async def test_archive_of_that_name_that_exists_stays(house: House) -> None:
    await house.back_up()
    before = prove(house)
    job = await once_more(house)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == Code.WRITE_FAILED
    assert prove(house) == before


async def test_backup_directory_that_is_a_file(house: House) -> None:
    house.archives.write_bytes(b"in the way")
    job = await house.back_up()
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == Code.WRITE_FAILED
    assert house.archives.read_bytes() == b"in the way"


async def test_nothing_is_left_where_the_disk_was_sound(house: House) -> None:
    house.store = FailingStore(house.archives, after=None)
    await house.back_up()
    assert_nothing_left(house)
