"""What a backup will hold, and how large it will be."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.catalog.memory import MemoryStore
from app.engine.memory import MemoryContainer, MemoryVolume
from app.errors import Code, JobError, PartError
from tests.faults.house import House, add_service, tar_of
from tests.unit.catalog.support import entry_of, put
from workers.planning import BackupPlan, plan_backup
from workers.running import JobRun

MAIL = tar_of({"1": b"m" * 4000})
WEB = tar_of({"1": b"w" * 900})
NOW = datetime(2026, 11, 23, tzinfo=UTC)


async def plan(house: House, **request: object) -> tuple[BackupPlan, JobRun]:
    run = JobRun(house.tools, await house.queue(**request))
    return await plan_backup(run), run


@pytest.fixture
def two_services(house: House) -> House:
    house.store = MemoryStore()
    house.add_mail(MAIL)
    add_service(house.root, "web", {"name": "site", "path": "/srv"})
    house.machines["cell-web"] = MemoryContainer({"/srv": MemoryVolume(WEB)}, image="web:3", digest="sha256:9")
    return house


def labels(plan: BackupPlan) -> list[str]:
    return [part.label for part in plan.parts]


async def test_components_in_restore_order_then_volumes(two_services: House) -> None:
    made, run = await plan(two_services)
    expected = ["vault", "identity", "web", "access", "credentials", "rest", "mail/mailboxes", "web/site"]
    assert labels(made) == expected
    assert made.left_out == ()
    assert made.identity.cell_name == "home"
    (web,) = [part for part, _ in made.volumes if part.service == "web"]
    assert web == Part(PartKind.VOLUME, "site", "web", "cell-web", "/srv", "web:3", "sha256:9")
    assert run.progress.estimated


async def test_the_choice_of_the_request(two_services: House) -> None:
    made, _ = await plan(two_services, components=["access", "vault"], services=["web"])
    assert labels(made) == ["vault", "access", "web/site"]


async def test_no_services_makes_an_exact_total(two_services: House) -> None:
    made, run = await plan(two_services, components=["vault"], services=[])
    assert labels(made) == ["vault"]
    assert (run.progress.total, run.progress.estimated) == (len(b"vault") + len(b"certificate"), False)


async def test_the_estimate_is_that_of_the_newest_archive_that_has_the_volume(two_services: House) -> None:
    store = two_services.store
    assert store is not None
    for hours, size, outcome in ((1, 111, "succeeded"), (2, 222, "succeeded"), (3, 333, "failed")):
        part = Part(PartKind.VOLUME, "mailboxes", "mail", "cell-mail", "/var/mail")
        result = PartResult(part, PartOutcome(outcome), bytes=size)
        put(store, replace(entry_of(f"b{hours}"), created_at=NOW + timedelta(hours=hours), parts=(result,)))
    _, run = await plan(two_services, components=[])
    assert run.progress.total == 222 + len(WEB)  # the site is in no archive: its container is asked


async def test_what_cannot_be_measured_counts_nothing(two_services: House) -> None:
    two_services.machines.clear()
    made, run = await plan(two_services, components=[])
    assert labels(made) == ["mail/mailboxes", "web/site"]  # they fail when they are read, which says why
    assert run.progress.total == 0


async def test_engine_that_is_away_leaves_the_volumes_out_and_says_why(two_services: House) -> None:
    two_services.memory_engine.faults["containers"] = PartError(Code.ENGINE_UNREACHABLE, "No engine listens.")
    made, _ = await plan(two_services)
    assert made.volumes == ()
    assert [(r.part.label, r.outcome, r.error.code if r.error else None) for r in made.left_out] == [
        ("mail/mailboxes", PartOutcome.SKIPPED, Code.ENGINE_UNREACHABLE),
        ("web/site", PartOutcome.SKIPPED, Code.ENGINE_UNREACHABLE),
    ]
    assert labels(made)[-2:] == ["mail/mailboxes", "web/site"]


async def test_labels_on_containers_are_services_too(two_services: House) -> None:
    machine = MemoryContainer({"/data": MemoryVolume(WEB)}, labels={"cell-backup.volumes": "/data"})
    two_services.machines["cell-notes"] = machine
    made, _ = await plan(two_services, components=[])
    assert labels(made) == ["mail/mailboxes", "notes/data", "web/site"]


async def test_a_broken_manifest_is_left_out_and_says_why(two_services: House) -> None:
    (two_services.root / "data/services/web/manifest.json").write_text("{")
    made, _ = await plan(two_services, components=[])
    assert [part.label for part, _ in made.volumes] == ["mail/mailboxes"]
    (left,) = made.left_out
    assert left.part.service == "web"
    assert left.outcome is PartOutcome.FAILED


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"components": ["vanished"]}, Code.UNKNOWN_COMPONENT),
        ({"services": ["vanished"]}, Code.UNKNOWN_SERVICE),
        ({"components": [], "services": []}, Code.INVALID_REQUEST),
    ],
)
async def test_a_choice_that_does_not_fit_any_more(
    two_services: House, request_: dict[str, list[str]], code: Code
) -> None:
    with pytest.raises(JobError) as caught:
        await plan(two_services, **request_)
    assert caught.value.code is code
    assert caught.value.hint


async def test_a_cell_root_that_is_none_any_more(two_services: House) -> None:
    shutil.rmtree(two_services.root / "config")
    with pytest.raises(JobError) as caught:
        await plan(two_services)
    assert caught.value.code is Code.CELL_ROOT_NOT_A_CELL
