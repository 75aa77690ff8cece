from pathlib import Path

import pytest

from app.errors import InputError, UnavailableError
from app.jobs.rooms import namespace_of, open_jobs
from app.settings import Settings
from tests.unit.jobs.jobs import a_job


def _settings(tmp_path: Path, cell: str = "cell") -> Settings:
    return Settings(cell_root=tmp_path / cell, state_dir=tmp_path / "state", lease_seconds=20)


async def test_api_and_worker_see_the_same(redis_url: str, tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    async with open_jobs(settings, redis_url) as api, open_jobs(settings, redis_url, patient=True) as worker:
        await api.store.create(a_job(), max_queued=1)
        await api.secrets.seal(a_job().job_id, b"secret")
        assert await worker.store.active() == [a_job()]
        assert await worker.secrets.open(a_job().job_id) == b"secret"
        async with worker.leases.hold("cell", "worker", on_lost=lambda: None):
            assert await api.leases.holder("cell") == "worker"


async def test_two_cells_share_a_redis(redis_url: str, tmp_path: Path) -> None:
    async with (
        open_jobs(_settings(tmp_path, "one"), redis_url) as one,
        open_jobs(_settings(tmp_path, "two"), redis_url) as two,
    ):
        await one.store.create(a_job(), max_queued=1)
        async with one.leases.hold("cell", "one", on_lost=lambda: None):
            assert await two.leases.holder("cell") is None
        assert await two.store.active() == []


def test_a_cell_has_one_name_however_its_folder_is_reached(tmp_path: Path) -> None:
    (tmp_path / "pic").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "pic")
    assert namespace_of(tmp_path / "link") == namespace_of(tmp_path / "pic")
    assert namespace_of(tmp_path / "other") != namespace_of(tmp_path / "pic")


async def test_a_redis_that_is_away_shows_at_the_first_use(tmp_path: Path) -> None:
    async with open_jobs(_settings(tmp_path), f"unix://{tmp_path}/nothing") as jobs:
        with pytest.raises(UnavailableError):
            await jobs.secrets.ping()


async def test_a_bad_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        async with open_jobs(_settings(tmp_path), "http://nothing"):
            pytest.fail("it opened")
