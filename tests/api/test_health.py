import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app import __version__
from app.api import health
from app.errors import Code, UnavailableError
from app.jobs.rooms import MemoryJobs
from tests.api.conftest import FewWordsEngine


async def test_health_says_that_the_service_answers(stranger: httpx2.AsyncClient) -> None:
    response = await stranger.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "version": __version__})


async def checks(client: httpx2.AsyncClient, status: int) -> dict[str, Any]:
    response = await client.get("/ready")
    assert response.status_code == status, response.text
    document = response.json()
    assert document["ready"] is (status == 200)
    return {check["name"]: check for check in document["checks"]}


async def test_a_service_that_has_all_it_needs_is_ready(client: httpx2.AsyncClient) -> None:
    found = await checks(client, 200)
    assert set(found) == {"redis", "worker", "cell_root", "backup_dir", "engine"}
    assert all(check["ok"] for check in found.values())


async def test_without_an_engine_it_is_ready_and_warns(client: httpx2.AsyncClient, engine: FewWordsEngine) -> None:
    engine.away = True
    found = (await checks(client, 200))["engine"]
    assert (found["ok"], found["required"]) == (False, False)


async def test_without_a_worker_it_is_not_ready(client: httpx2.AsyncClient, jobs: MemoryJobs) -> None:
    jobs.queue.alive = False
    found = await checks(client, 503)
    assert [name for name in found if not found[name]["ok"]] == ["worker"]


async def test_without_redis_it_is_not_ready(
    client: httpx2.AsyncClient, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        raise UnavailableError(Code.REDIS_UNAVAILABLE, "Redis cannot be reached.")

    monkeypatch.setattr(jobs.secrets, "ping", refuse)
    assert not (await checks(client, 503))["redis"]["ok"]


async def test_a_redis_that_hangs_is_told_before_a_monitor_has_no_more_patience(
    client: httpx2.AsyncClient, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(jobs.secrets, "ping", hang)
    monkeypatch.setattr(health, "_PATIENCE", 5.0)
    async with asyncio.timeout(30):
        found = await checks(client, 503)
    assert [name for name in found if not found[name]["ok"]] == ["redis"]


async def test_without_a_cell_it_is_not_ready(client: httpx2.AsyncClient, cell: Path) -> None:
    (cell / "config").rename(cell / "elsewhere")
    assert "config" in (await checks(client, 503))["cell_root"]["detail"]


async def test_without_a_place_for_archives_it_is_not_ready(client: httpx2.AsyncClient, cell: Path) -> None:
    (cell / "backups").touch()
    assert str(cell / "backups") in (await checks(client, 503))["backup_dir"]["detail"]
