"""Where nothing at all could be saved the job fails: an archive of nothing would only look like a backup."""

import shutil

from app.archive.envelope import new_envelope
from app.errors import Code, PartError
from app.jobs.records import Job, JobState
from tests.faults.house import House, add_service, assert_failed, tar_of
from tests.faults.proof import prove
from tests.unit.cell.support import closed

AWAY = PartError(Code.ENGINE_UNREACHABLE, "No Docker engine listens.")
MAIL = tar_of({"ada/1": b"a" * 3000})


async def assert_nothing_saved(house: House, job: Job, reason: str) -> None:
    await assert_failed(house, job, Code.NOTHING_TO_SAVE)
    assert job.error is not None
    assert reason in job.error.message


async def test_a_service_and_every_component_while_the_engine_is_away(house: House) -> None:
    house.add_mail(MAIL)
    house.memory_engine.faults["containers"] = AWAY
    job = await house.back_up(services=["mail"])
    assert job.state is JobState.PARTIAL  # nothing said of components: all of them are saved


async def test_no_component_and_the_engine_is_away(house: House) -> None:
    house.add_mail(MAIL)
    house.memory_engine.faults["containers"] = AWAY
    await assert_nothing_saved(house, await house.back_up(components=[]), "No Docker engine listens.")


async def test_the_only_volume_fails(house: House) -> None:
    volume = house.add_mail(MAIL)
    volume.end = PartError(Code.TAR_FAILED, "tar exited with 2.", exit_code=2)
    volume.tar = b""
    await assert_nothing_saved(house, await house.back_up(components=[]), "mail/mailboxes: tar exited with 2.")


async def test_the_only_file_of_the_only_volume_is_cut(house: House) -> None:
    volume = house.add_mail(MAIL)
    volume.fault, volume.fault_at = PartError(Code.STREAM_CUT, "It was cut."), 2000
    await assert_nothing_saved(house, await house.back_up(components=[]), "It was cut.")


async def test_the_only_component_is_empty(house: House) -> None:
    shutil.rmtree(house.root / "data/vault")
    await assert_nothing_saved(house, await house.back_up(components=["vault"]), "Nothing could be saved.")


async def test_the_only_component_cannot_be_read(house: House) -> None:
    with closed(house.root / "data/vault"):
        await assert_nothing_saved(house, await house.back_up(components=["vault"]), "data/vault")


async def test_a_cell_without_any_file(house: House) -> None:
    shutil.rmtree(house.root)
    (house.root / "config").mkdir(parents=True)
    await assert_nothing_saved(house, await house.back_up(), "Nothing could be saved.")


async def test_an_empty_volume_is_something(house: House) -> None:
    house.add_mail(tar_of({}))
    job = await house.back_up(components=[])
    assert job.state is JobState.SUCCEEDED
    prove(house)


async def test_unknown_component_that_was_known_when_the_job_was_queued(house: House) -> None:
    job = await house.back_up(components=["vanished"])
    await assert_failed(house, job, Code.UNKNOWN_COMPONENT)


async def test_service_that_was_removed_while_the_job_waited(house: House) -> None:
    add_service(house.root, "mail", {"name": "mailboxes", "path": "/var/mail"})
    await house.queue(services=["mail"])
    shutil.rmtree(house.root / "data/services/mail")
    await assert_failed(house, await house.work(), Code.UNKNOWN_SERVICE)


async def test_cell_root_that_vanished(house: House) -> None:
    house.configure(backup_dir=house.root.parent / "elsewhere")
    await house.queue()
    shutil.rmtree(house.root)
    await assert_failed(house, await house.work(), Code.CELL_ROOT_MISSING)


async def test_encrypted_without_its_key(house: House) -> None:
    envelope, _ = new_envelope("correct horse", scrypt_n=2**10)
    await assert_failed(house, await house.back_up(envelope=envelope.to_line()), Code.SECRET_GONE)
