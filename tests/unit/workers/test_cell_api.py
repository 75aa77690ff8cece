"""The cell's own API: told to reload in step 6, and asked to do step 8 where that is the way."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from app.archive.parts import PartOutcome
from tests.faults.house import House
from tests.unit.workers.core_house import asked, house
from workers.regeneration.regenerating import regenerate, regenerate_if_changed, reload_cell

__all__ = ["house"]


@pytest.fixture
async def api(house: House) -> AsyncIterator[list[tuple[str, str | None]]]:
    """Run a cell's API that notes each call, answers 204, and elsewhere 500 or with a redirect."""
    calls: list[tuple[str, str | None]] = []

    async def take(request: web.Request) -> web.StreamResponse:
        calls.append((request.path, request.headers.get("Authorization")))
        if request.path == "/moved":
            raise web.HTTPTemporaryRedirect("/api/config/apply")
        return web.Response(status=500 if request.path == "/broken" else 204)

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    async with TestServer(app) as server:
        house.configure(cell_api_url=str(server.make_url("/")), cell_api_token=SecretStr("t0ken"))
        yield calls


async def test_the_hook_asks_the_cell_s_api_instead(house: House, api: list[tuple[str, str | None]]) -> None:
    done = await regenerate(house.tools, way="hook")

    assert api == [("/api/config/apply", "Bearer t0ken")]
    assert [made.outcome for made in done.parts.values()] == [PartOutcome.SUCCEEDED] * 3
    assert house.memory_engine.calls == []


@pytest.mark.parametrize(("path", "status"), [("/broken", 500), ("/moved", 307)])
async def test_an_api_that_does_not_take_the_call_is_a_warning(
    house: House, api: list[tuple[str, str | None]], path: str, status: int
) -> None:
    house.configure(cell_api_apply_path=path)
    done = await regenerate(house.tools, way="hook")

    assert not done.good
    generated = "This service generated nothing itself."
    assert done.warnings == (f"POST {path}: the cell's API answered {status}. {generated}",)
    assert [called for called, _ in api] == [path], "the token goes nowhere else"


@pytest.mark.parametrize("url", [None, "http://user:s3cret@127.0.0.1:1", "nonsense", "ftp://127.0.0.1/"])
async def test_an_api_that_is_away_is_a_warning_without_secrets(house: House, url: str | None) -> None:
    house.configure(cell_api_url=url, cell_api_token=SecretStr("t0ken"))
    done = await regenerate(house.tools, way="hook")

    assert not done.good
    assert len(done.warnings) == 1
    assert not {"s3cret", "t0ken"} & set(done.warnings[0].replace(":", " ").split())


async def test_reloading_tells_the_api_and_what_is_broken(house: House, api: list[tuple[str, str | None]]) -> None:
    assert await reload_cell(house.tools) == ()
    assert api == [("/api/config/reload", "Bearer t0ken")]

    (house.root / "config/api/cell_config.json").write_text('{"cell_name": "x", "domain": "a b"}')
    house.configure(cell_api_url="http://127.0.0.1:1")
    warnings = await reload_cell(house.tools)
    assert len(warnings) == 2
    assert "domain" in warnings[0]
    assert "did not answer" in warnings[1]


async def test_reloading_asks_nobody_where_no_api_is_set(house: House) -> None:
    assert await reload_cell(house.tools) == ()


async def test_a_start_asks_the_hook_where_that_is_the_way(house: House, api: list[tuple[str, str | None]]) -> None:
    house.configure(regenerate="hook")
    await regenerate_if_changed(house.tools)
    await regenerate_if_changed(house.tools)

    assert [path for path, _ in api] == ["/api/config/apply"]
    assert asked(house) == []
