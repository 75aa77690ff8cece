"""A part that fails makes the outcome partial; it is named, and everything else is in the archive."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from app.archive.parts import PartOutcome
from app.engine.base import ReadEnd, VolumeStream
from app.engine.memory import MemoryContainer, MemoryEngine, MemoryVolume
from app.errors import Code, PartError
from app.jobs.records import JobState
from tests.faults.house import House, add_service, outcomes, part, tar_of
from tests.faults.proof import prove
from tests.unit.cell.support import closed

MAIL = tar_of({"ada/1": b"a" * 700, "ada/2": b"b" * 5000, "ada/3": b"c" * 100})
FILES = tar_of({"photo": b"p" * 3000})
IN_SECOND = MAIL.index(b"b" * 100) + 1000  # inside a file
COMPONENTS = {"vault", "identity", "web", "access", "credentials", "rest"}


async def test_everything_sound_succeeds(house: House) -> None:
    house.add_mail(MAIL)
    job = await house.back_up()
    assert job.state is JobState.SUCCEEDED
    proven = prove(house)
    assert outcomes(proven.manifest.parts) == dict.fromkeys([*COMPONENTS, "mail/mailboxes"], "succeeded")
    assert proven.contents["services/mail/mailboxes/ada/2"] == b"b" * 5000
    assert proven.contents["data/vault/ca.key"] == b"vault"


async def assert_mail_failed(house: House, code: Code, *, exit_code: int | None = None) -> None:
    """Back up a cell whose mail fails and whose files don't, and check both."""
    add_service(house.root, "files", {"path": "/srv/files"})
    house.machines["cell-files"] = MemoryContainer({"/srv/files": MemoryVolume(FILES)})
    job = await house.back_up()
    assert job.state is JobState.PARTIAL
    assert job.error is None
    failed = part(job, "mail/mailboxes")
    assert failed.outcome is PartOutcome.FAILED
    assert failed.error is not None
    assert failed.error.code == code
    assert failed.error.message
    assert failed.error.hint
    assert failed.exit_code == exit_code
    proven = prove(house)
    assert proven.manifest.outcome == "partial"
    assert proven.part("mail/mailboxes") == failed
    assert {label for label, outcome in outcomes(proven.manifest.parts).items() if outcome != "succeeded"} == {
        "mail/mailboxes"
    }
    assert proven.contents["services/files/files/photo"] == b"p" * 3000
    assert proven.contents["data/vault/ca.key"] == b"vault"


async def test_missing_container(house: House) -> None:
    house.add_mail(MAIL)
    del house.machines["cell-mail"]
    await assert_mail_failed(house, Code.CONTAINER_MISSING)


async def test_path_that_is_not_in_the_container(house: House) -> None:
    house.add_mail(MAIL)
    house.machines["cell-mail"].volumes.clear()
    await assert_mail_failed(house, Code.VOLUME_MISSING)


@pytest.mark.parametrize("exit_code", [2, 137])
async def test_tar_that_fails_after_a_whole_stream(house: House, exit_code: int) -> None:
    error = PartError(Code.TAR_FAILED, f"tar exited with {exit_code}.", exit_code=exit_code)
    house.add_mail(MAIL).end = error
    await assert_mail_failed(house, Code.TAR_FAILED, exit_code=exit_code)


@pytest.mark.parametrize("code", [Code.STREAM_CUT, Code.STREAM_STALLED, Code.STREAM_MALFORMED, Code.ENGINE_UNREACHABLE])
async def test_stream_that_breaks_inside_a_file(house: House, code: Code) -> None:
    volume = house.add_mail(MAIL)
    volume.fault, volume.fault_at = PartError(code, "It broke."), IN_SECOND
    await assert_mail_failed(house, code)
    proven = prove(house)
    assert proven.part("mail/mailboxes").damaged == ("services/mail/mailboxes/ada/2",)
    assert proven.contents["services/mail/mailboxes/ada/2"] == (b"b" * 1000).ljust(5000, b"\0")
    assert proven.contents["services/mail/mailboxes/ada/1"] == b"a" * 700
    assert "services/mail/mailboxes/ada/3" not in proven.contents


async def test_stream_that_ends_well_in_the_middle(house: House) -> None:
    house.add_mail(MAIL[:IN_SECOND])
    await assert_mail_failed(house, Code.STREAM_CUT, exit_code=0)


async def test_stream_without_its_end_of_archive(house: House) -> None:
    house.add_mail(MAIL[: MAIL.rindex(b"c") // 512 * 512 + 512])
    await assert_mail_failed(house, Code.STREAM_CUT, exit_code=0)


async def test_stream_that_is_no_tar(house: House) -> None:
    house.add_mail(b"OCI runtime exec failed: no such file or directory\n" * 40)
    await assert_mail_failed(house, Code.STREAM_MALFORMED)


async def test_stream_that_goes_on_behind_its_end(house: House) -> None:
    house.add_mail(MAIL + MAIL)
    await assert_mail_failed(house, Code.STREAM_MALFORMED)


async def test_the_first_of_two_volumes_of_a_service_fails(house: House) -> None:
    add_service(house.root, "mail", {"name": "queue", "path": "/queue"}, {"name": "mailboxes", "path": "/mail"})
    broken = MemoryVolume(MAIL, fault=PartError(Code.STREAM_CUT, "It broke."), fault_at=IN_SECOND)
    house.machines["cell-mail"] = MemoryContainer({"/queue": broken, "/mail": MemoryVolume(MAIL)})
    job = await house.back_up()
    assert job.state is JobState.PARTIAL
    assert part(job, "mail/queue").outcome is PartOutcome.FAILED
    assert part(job, "mail/mailboxes").outcome is PartOutcome.SUCCEEDED
    proven = prove(house)
    assert proven.contents["services/mail/mailboxes/ada/3"] == b"c" * 100
    assert proven.part("mail/queue").damaged == ("services/mail/queue/ada/2",)


async def test_unreadable_file(house: House) -> None:
    with closed(house.root / "data/vault/ca.crt"):
        job = await house.back_up()
    assert job.state is JobState.PARTIAL
    vault = part(job, "vault")
    assert vault.outcome is PartOutcome.FAILED
    assert vault.error is not None
    assert vault.error.code == Code.FILE_UNREADABLE
    assert "data/vault/ca.crt" in vault.error.message
    proven = prove(house)
    assert proven.contents["data/vault/ca.key"] == b"vault"
    assert "data/vault/ca.crt" not in proven.contents
    assert proven.contents["config/caddy/Caddyfile"] == b"web"


async def test_unreadable_directory(house: House) -> None:
    with closed(house.root / "data/vault"):
        job = await house.back_up()
    assert job.state is JobState.PARTIAL
    assert part(job, "vault").outcome is PartOutcome.FAILED
    assert prove(house).contents["config/caddy/Caddyfile"] == b"web"


async def test_manifest_that_is_damaged(house: House) -> None:
    house.add_mail(MAIL)
    (house.root / "data/services/mail/manifest.json").write_bytes(b'{"id": "mail", "capab')
    job = await house.back_up()
    assert job.state is JobState.PARTIAL
    broken = part(job, "mail/unknown")
    assert broken.outcome is PartOutcome.FAILED
    assert broken.error is not None
    assert broken.error.code == Code.INVALID_MANIFEST
    assert prove(house).contents["data/vault/ca.key"] == b"vault"


class OneAfterTheOther(MemoryEngine):
    """Give another stream at each read of the mail, the last one again and again."""

    def __init__(self, streams: list[MemoryVolume]) -> None:
        super().__init__()
        self.streams = streams

    @override
    @asynccontextmanager
    async def read_volume(
        self, container: str, path: str, *, exclude: Sequence[str] = ()
    ) -> AsyncIterator[VolumeStream]:
        if container == "cell-mail":
            self.machines[container].volumes[path] = self.streams.pop(0) if self.streams[1:] else self.streams[0]
        async with super().read_volume(container, path, exclude=exclude) as stream:
            yield stream


GAVE_UP = ReadEnd(1, ("a file shrank while it was read, which ended tar",), resumable=True)


async def test_a_file_that_shrinks_is_filled_with_zeros_and_the_rest_read_again(house: House) -> None:
    house.memory_engine = OneAfterTheOther([MemoryVolume(MAIL[:IN_SECOND], end=GAVE_UP), MemoryVolume(MAIL)])
    house.add_mail(MAIL)
    job = await house.back_up()
    assert job.state is JobState.SUCCEEDED
    mail = prove(house).part("mail/mailboxes")
    assert mail.outcome is PartOutcome.SUCCEEDED
    assert mail.damaged == ()
    assert any("ada/2" in warning for warning in mail.warnings)
    contents = prove(house).contents
    assert contents["services/mail/mailboxes/ada/2"] == (b"b" * 1000).ljust(5000, b"\0")
    assert contents["services/mail/mailboxes/ada/3"] == b"c" * 100


async def test_a_volume_that_shrinks_for_ever_fails(house: House) -> None:
    house.memory_engine = OneAfterTheOther([MemoryVolume(MAIL[:IN_SECOND], end=GAVE_UP)])
    house.add_mail(MAIL)
    await assert_mail_failed(house, Code.TAR_FAILED, exit_code=1)
