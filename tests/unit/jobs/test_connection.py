import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from app.errors import Code, UnavailableError
from app.jobs.address import parse_redis_url
from app.jobs.connection import RedisLink, arq_client, from_json, open_link, to_json
from tests.support.redis_server import RedisServer, free_port, redis_server
from tests.support.tls_front import make_authority, tls_front

ODD_PASSWORD = "p@ss/w:rd?#% +é"


async def _both_ends(url: str) -> tuple[bytes, bytes]:
    """Write by our own client and read by arq's."""
    pool = arq_client(parse_redis_url(url))
    try:
        async with open_link(url, patience=0) as link:
            await link.run(lambda client: client.set("key", "value"))
            return await link.run(lambda client: client.get("key")), await pool.get("key")
    finally:
        await pool.aclose()


async def test_a_unix_socket_with_a_database(redis_url: str, redis_session: RedisServer) -> None:
    assert await _both_ends(f"{redis_url}?db=3") == (b"value", b"value")
    client = redis_session.client()
    client.select(3)
    assert client.dbsize() == 1
    client.close()


async def test_tcp_with_an_odd_password_and_a_database() -> None:
    with redis_server(port=free_port(), password=ODD_PASSWORD) as server:
        assert await _both_ends(f"{server.url}/5") == (b"value", b"value")


async def test_a_user_of_the_access_list_gets_in() -> None:
    with redis_server(port=free_port(), password="other") as server:
        admin = server.client()
        admin.acl_setuser("cell@user", enabled=True, passwords=["+p@ss"], keys=["*"], commands=["+@all"])
        admin.close()
        assert await _both_ends(f"redis://cell%40user:p%40ss@127.0.0.1:{server.port}") == (b"value", b"value")


@pytest.fixture
async def tls(redis_session: RedisServer, tmp_path: Path) -> AsyncIterator[tuple[int, Path]]:
    ca_file, server_file = make_authority(tmp_path)
    redis_session.flush()
    async with tls_front(redis_session.socket_path, server_file) as port:
        yield port, ca_file


async def test_tls_with_an_authority_of_ones_own(tls: tuple[int, Path]) -> None:
    port, ca_file = tls
    assert await _both_ends(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={ca_file}") == (b"value", b"value")


async def test_tls_without_certificate_checks(tls: tuple[int, Path]) -> None:
    assert await _both_ends(f"rediss://127.0.0.1:{tls[0]}?ssl_cert_reqs=none") == (b"value", b"value")


@pytest.mark.parametrize("url", ["rediss://127.0.0.1:{port}", "rediss://localhost:{port}?ssl_ca_certs={ca_file}"])
async def test_tls_refuses_an_unknown_authority_and_a_foreign_name(
    tls: tuple[int, Path], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url.format(port=tls[0], ca_file=tls[1])
    async with open_link(url, patience=0) as link:
        await _is_away(link.ping())
    monkeypatch.setattr("app.jobs.connection.ARQ_RETRIES", 0)
    client = arq_client(parse_redis_url(url))
    with pytest.raises(RedisConnectionError):
        await client.ping()
    await client.aclose()


async def test_a_wrong_password_is_told_at_once_and_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with redis_server(port=free_port(), password="right") as server:
        async with open_link(f"redis://:hunter2@127.0.0.1:{server.port}", patience=3600) as link:
            error = await _is_away(link.ping())
    assert "does not let this client in" in error.message
    assert "hunter2" not in error.message + caplog.text


async def test_a_server_that_is_away_is_given_up_after_the_patience() -> None:
    async with open_link(f"redis://127.0.0.1:{free_port()}", patience=0.2) as link:
        await _is_away(link.ping())


async def test_a_command_waits_for_a_server_that_comes_back(own_redis: RedisServer) -> None:
    async with open_link(own_redis.url, patience=30) as link:
        await link.run(lambda client: client.set("key", "value"))
        own_redis.kill()
        reading = asyncio.create_task(link.run(lambda client: client.get("key")))
        await asyncio.wait([reading], timeout=0.1)
        assert not reading.done()
        await asyncio.to_thread(own_redis.start)
        assert await reading == b"value"


async def test_what_redis_refuses_is_translated(redis_url: str) -> None:
    async with open_link(redis_url, patience=3600) as link:
        await link.run(lambda client: client.set("key", "text"))
        await _is_away(link.run(lambda client: client.incr("key")))
        await _is_away(link.evaluate("return nonsense(", [], []))


@pytest.mark.parametrize(
    "error",
    [
        ResponseError("MISCONF Errors writing to the AOF file"),
        ResponseError(
            "Error running script (call to f_0a9a51): @user_script:4: @user_script: 4: -OOM command not allowed"
        ),
        OutOfMemoryError(),
        ReadOnlyError(),
    ],
)
async def test_a_server_that_cannot_write_just_now_is_waited_for(redis_url: str, error: Exception) -> None:
    """Its disk or its memory is full, or it follows another server: that passes."""
    refusals = iter(range(2))

    async def sometimes(client: Any) -> Any:
        if next(refusals, None) is not None:
            raise error
        return await client.ping()

    async with open_link(redis_url, patience=30) as link:
        assert await link.run(sometimes)
        refusals = iter(range(1000))
        await _is_away(link.run(sometimes, patience=0))


async def test_a_cancelled_command_leaves_the_link_usable(own_redis: RedisServer) -> None:
    async with open_link(own_redis.url, patience=0) as link:
        waiting = asyncio.create_task(_command(link, "BLPOP", "list", 0))
        await asyncio.wait([waiting], timeout=0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await _command(link, "RPUSH", "list", "one")
        assert await _command(link, "LRANGE", "list", 0, -1) == [b"one"]


async def test_the_password_is_in_no_repr_of_what_is_made() -> None:
    url = "redis://me:hunter2@localhost/1"
    client = arq_client(parse_redis_url(url))
    assert "hunter2" not in repr(client) + repr(client.connection_pool)
    async with open_link(url, patience=0) as link:
        assert "hunter2" not in repr(link) + repr(link._client) + repr(link._client.connection_pool)


def test_what_arq_stores_is_json_even_for_an_exception() -> None:
    assert from_json(to_json({"t": 1, "r": ValueError("no")})) == {"t": 1, "r": "ValueError('no')"}


async def _command(link: RedisLink, *words: Any) -> Any:
    async def send(client: Any) -> Any:
        return await client.execute_command(*words)

    return await link.run(send)


async def _is_away(action: Awaitable[Any]) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        await action
    assert caught.value.code is Code.REDIS_UNAVAILABLE
    return caught.value


async def test_a_cancellation_that_is_swallowed_on_its_way_is_heeded() -> None:
    sent = asyncio.get_running_loop().create_future()
    async with open_link("redis://127.0.0.1:1", patience=0) as link:

        async def as_redis_py_sends(_: object) -> None:
            await asyncio.wait_for(sent, 60)

        asking = asyncio.create_task(link.run(as_redis_py_sends))
        for _ in range(3):
            await asyncio.sleep(0)
        sent.set_result(None)
        asking.cancel()
        await asyncio.wait({asking})
    assert asking.cancelled()


async def test_a_loop_of_commands_ends_when_it_is_cancelled(redis_url: str) -> None:
    async with open_link(redis_url, patience=0) as link:

        async def ask_for_ever() -> None:
            while True:
                await link.ping()

        for turns in range(200):
            asking = asyncio.create_task(ask_for_ever())
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            asking.cancel()
            async with asyncio.timeout(30):
                await asyncio.wait({asking})
            assert asking.cancelled()
