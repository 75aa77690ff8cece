"""Parts that the manifest calls failed are refused, the others restored; unless what is there of them is accepted."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.archive.parts import PartOutcome
from app.errors import Code, PartError
from app.jobs.records import Job, JobState
from tests.faults.house import House, outcomes, part, tar_of, write
from tests.faults.restoring import (
    MAIL,
    NEWER_MAIL,
    Snapshot,
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
from tests.support.trees import differences
from tests.unit.archive.support import block, pax
from tests.unit.cell.support import closed


@contextmanager
def torn(house: House) -> Iterator[None]:
    """Let the mail break inside its second message, and a file of the vault be unreadable."""
    mail = volume(house, "mail")
    mail.fault, mail.fault_at = PartError(Code.STREAM_CUT, "It broke."), mail.tar.index(b"b" * 100) + 1000
    with closed(house.root / "data/vault/ca.crt"):
        yield
    mail.fault = None


async def damaged_backup(house: House) -> Snapshot:
    """Furnish the cell, back it up with two parts that fail, and let it change; give what it is like then."""
    furnish(house)
    with torn(house):
        job = await house.back_up()
    assert job.state is JobState.PARTIAL
    assert {label for label, outcome in outcomes(job.components).items() if outcome == "failed"} == {
        "vault",
        "mail/mailboxes",
    }
    change(house)
    return snapshot(house)


def refused(job: Job) -> dict[str, str | None]:
    return {r.part.label: r.error.code for r in job.components if r.error is not None}


async def test_damaged_parts_are_refused_and_the_others_restored(house: House) -> None:
    changed = await damaged_backup(house)
    job = await restored(house)
    assert job.state is JobState.PARTIAL
    assert refused(job) == dict.fromkeys(("vault", "mail/mailboxes"), Code.PART_DAMAGED)
    vault = part(job, "vault")
    assert vault.error is not None
    assert "data/vault/ca.crt" in vault.error.message
    assert vault.outcome is PartOutcome.FAILED
    now = snapshot(house)
    own = {path: facts for path, facts in changed.tree.items() if path.startswith(b"data/vault")}
    assert differences(own, {path: facts for path, facts in now.tree.items() if path.startswith(b"data/vault")}) == []
    assert now.volumes["cell-mail", "/var/mail"] == changed.volumes["cell-mail", "/var/mail"]
    assert files_of(volume(house, "site").tar) == {"index.html": b"<h1>old</h1>"}
    assert (house.root / ".env").read_bytes() == b"TOKEN=secret\nEMPTY=\n"


async def test_a_dry_run_names_them(house: House) -> None:
    await damaged_backup(house)
    job = await restored(house, dry_run=True)
    missing = result_of(job)["plan"]["missing"]
    assert {item["name"]: item["code"] for item in missing} == dict.fromkeys(
        ("vault", "mail/mailboxes"), "part_damaged"
    )
    assert [item["name"] for item in result_of(job)["plan"]["volumes"]] == ["site/pages"]


async def test_damage_that_is_accepted_is_laid_over_and_said(house: House) -> None:
    await damaged_backup(house)
    write(house.root / "data/vault/later", b"came later")
    job = await restored(house, damaged="accept")
    assert job.state is JobState.SUCCEEDED, job.error
    assert (house.root / "data/vault/ca.key").read_bytes() == b"vault"
    assert (house.root / "data/vault/later").exists()  # what the archive lacks may still be there
    now = files_of(volume(house, "mail").tar)
    assert now["ada/1"] == MAIL["ada/1"]
    assert now["ada/3"] == NEWER_MAIL["ada/3"]
    assert not volume(house, "mail").emptied
    vault, mail = [line for line in job.warnings if "was not saved whole" in line]
    assert vault.startswith("'vault'")
    assert "services/mail/mailboxes/ada/2" in mail
    volumes = {item["name"]: item["mode"] for item in result_of(job)["plan"]["volumes"]}
    assert volumes == {"mail/mailboxes": "overlay", "site/pages": "equal"}


async def test_a_sparse_file_whose_map_is_broken_goes_to_no_tar_as_such(house: House) -> None:
    furnish(house)
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"2000"}
    head = pax({**records, b"GNU.sparse.name": b"./holes"}) + block(b"./x", size=b"%011o" % 1024)
    mail = volume(house, "mail")
    mail.tar = head + b"1\n0\n1600\n".ljust(1024, b"\0") + mail.tar
    assert (await house.back_up()).state is JobState.PARTIAL
    mail.tar = tar_of(NEWER_MAIL)

    job = await restored(house, damaged="accept")

    assert job.state is JobState.SUCCEEDED, job.error
    now = files_of(mail.tar)
    assert now["holes"] == bytes(2000)
    assert now["ada/1"] == MAIL["ada/1"]
    assert b"GNU.sparse" not in mail.tar
    assert "services/mail/mailboxes/holes has zeros where it is damaged" in " ".join(
        part(job, "mail/mailboxes").warnings
    )


async def test_what_was_skipped_has_nothing_to_accept(house: House) -> None:
    furnish(house)
    house.memory_engine.faults["containers"] = PartError(Code.ENGINE_UNREACHABLE, "No engine listens.")
    assert (await house.back_up()).state is JobState.PARTIAL
    house.memory_engine.faults.clear()
    change(house)
    job = await restored(house, damaged="accept")
    assert job.state is JobState.PARTIAL
    assert refused(job) == dict.fromkeys(("mail/mailboxes", "site/pages"), Code.PART_DAMAGED)
    assert files_of(volume(house, "mail").tar) == NEWER_MAIL


async def test_damaged_parts_alone_are_nothing_to_restore(house: House) -> None:
    changed = await damaged_backup(house)
    job = await restored(house, components=["vault"], services=["mail"])
    assert (job.state, code_of(job)) == (JobState.FAILED, Code.NOTHING_TO_RESTORE)
    assert "'vault' was not saved whole" in str(job.error)
    assert_same(house, changed)


async def test_damaged_parts_that_nobody_asked_for_do_not_make_it_partial(house: House) -> None:
    await damaged_backup(house)
    job = await restored(house, components=["web"], services=["site"])
    assert job.state is JobState.SUCCEEDED, job.error


async def test_a_volume_of_a_service_that_is_gone_is_reported_and_the_rest_goes_on(house: House) -> None:
    furnish(house)
    await house.back_up()
    change(house)
    house.machines["cell-mail"].volumes.clear()
    job = await restored(house)
    assert job.state is JobState.PARTIAL, job.error
    assert refused(job) == {"mail/mailboxes": Code.VOLUME_MISSING}
    assert files_of(volume(house, "site").tar) == {"index.html": b"<h1>old</h1>"}


async def test_a_container_that_stays_paused_does_not_make_a_whole_volume_half(house: House) -> None:
    furnish(house)
    house.add_mail(tar_of(MAIL), quiesce="pause")
    await house.back_up(components=["rest"], services=["mail"])
    volume(house, "mail").tar = tar_of(NEWER_MAIL)
    house.memory_engine.faults["unpause"] = PartError(Code.ENGINE_ERROR, "It does not.")
    job = await restored(house, safety="none")
    assert job.state is JobState.PARTIAL, job.error
    mail = part(job, "mail/mailboxes")
    assert mail.outcome is PartOutcome.SUCCEEDED
    assert mail.error is not None
    assert mail.error.code == Code.QUIESCE_FAILED
    assert files_of(volume(house, "mail").tar) == MAIL
    assert [path.stem for path in house.journal.glob("*.json")] == ["cell-mail"]
