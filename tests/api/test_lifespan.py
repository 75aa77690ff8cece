from pathlib import Path
from typing import cast

import httpx2
import pytest
from pydantic import SecretStr

from app.errors import Code, InputError
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import PASSPHRASE, client_of
from tests.support.redis_server import RedisServer


def with_redis(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"redis_url": SecretStr(url)})


async def test_the_service_opens_what_it_needs_itself(settings: Settings, own_redis: RedisServer) -> None:
    app = create_app(with_redis(settings, own_redis.url))
    async with client_of(app) as client:
        token = (settings.state_dir / "api-token").read_text().strip()
        client.headers["Authorization"] = f"Bearer {token}"
        accepted = await client.post("/api/config/backup", json={"passphrase": PASSPHRASE})
        assert accepted.status_code == 202, accepted.text
        shown = await client.get(accepted.headers["location"])
        assert shown.json()["state"] == "queued"
        ready = await client.get("/ready")
        assert ready.status_code == 503
        checks = {check["name"]: check["ok"] for check in ready.json()["checks"]}
        assert checks | {"engine": None} == {
            "redis": True,
            "worker": False,
            "cell_root": True,
            "backup_dir": True,
            "engine": None,
        }
        assert PASSPHRASE.encode() not in dump(own_redis)
        own_redis.kill()
        away: httpx2.Response = await client.get("/api/jobs")
        assert (away.status_code, away.json()["code"]) == (503, Code.REDIS_UNAVAILABLE)


def dump(server: RedisServer) -> bytes:
    """Give everything the server keeps, by asking it and by reading its append-only file."""
    client = server.client()
    values: list[bytes] = [cast("bytes", client.dump(key)) for key in client.scan_iter()]
    client.close()
    assert values
    return b"".join(values) + b"".join(path.read_bytes() for path in server.directory.rglob("*.aof"))


async def test_without_an_address_of_redis_it_does_not_start(settings: Settings) -> None:
    with pytest.raises(InputError, match="CELL_BACKUP_REDIS_URL") as caught:
        async with client_of(create_app(settings)):
            pass
    assert caught.value.code is Code.INVALID_SETTING


async def test_with_a_broken_layout_it_does_not_start(settings: Settings, tmp_path: Path) -> None:
    layout = tmp_path / "layout.json"
    layout.write_text("{")
    broken = with_redis(settings, "unix:///nowhere").model_copy(update={"layout_file": layout})
    with pytest.raises(InputError, match="layout") as caught:
        async with client_of(create_app(broken)):
            pass
    assert caught.value.code is Code.INVALID_LAYOUT
