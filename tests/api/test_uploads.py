"""Uploads: whole or not at all, never over another archive, and only what can be one."""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI

from app.api.resources import Resources
from app.catalog.base import Entry
from app.catalog.local import LocalStore
from app.errors import Code
from app.settings import Settings
from tests.api.conftest import ENCRYPTED, PLAIN, TOKEN, assert_problem, tarball
from tests.api.serving import served
from tests.support.waiting import eventually_async

ANOTHER = "backup-20261120-010203-abcdef"
URL = f"/api/config/backups/{ANOTHER}"


def digest_of(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def left_in(settings: Settings) -> list[str]:
    directory = settings.archives_dir
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


async def test_an_archive_that_is_uploaded_is_there_and_not_verified(
    client: httpx2.AsyncClient, store: LocalStore
) -> None:
    content = tarball([b"config/a", b"data/b"])
    response = await client.put(URL, content=content, headers={"Content-Digest": digest_of(content)})
    assert response.status_code == 201, response.text
    backup = response.json()
    assert backup == (await client.get(URL)).json()
    assert (backup["backup_id"], backup["size"], backup["encrypted"]) == (ANOTHER, len(content), False)
    assert backup["created_at"] == "2026-11-20T01:02:03Z"
    assert (backup["described"], backup["verified"]) == (False, None)
    assert store.path(ANOTHER).read_bytes() == content
    assert (await client.get(f"{URL}/download")).content == content
    assert (await client.get(f"{URL}/contents")).status_code == 200


async def test_an_encrypted_archive_is_known_as_one(
    client: httpx2.AsyncClient, store: LocalStore, encrypted: Entry
) -> None:
    content = store.path(encrypted.backup_id).read_bytes()
    response = await client.put(URL, content=content)
    assert response.status_code == 201, response.text
    assert (response.json()["encrypted"], response.json()["file_name"]) == (True, f"{ANOTHER}.tar.gz.age")


async def test_a_body_without_a_length_may_be_larger_than_any_other(
    client: httpx2.AsyncClient, store: LocalStore
) -> None:
    rest = os.urandom(1 << 20)

    async def body() -> AsyncIterator[bytes]:
        yield b"\x1f"
        yield b"\x8b\x08"
        for _ in range(5):
            yield rest

    response = await client.put(URL, content=body())
    assert response.status_code == 201, response.text
    assert store.path(ANOTHER).read_bytes() == b"\x1f\x8b\x08" + 5 * rest


@pytest.mark.parametrize("backup_id", [PLAIN, ENCRYPTED])
async def test_no_archive_is_written_over(
    client: httpx2.AsyncClient, store: LocalStore, archives: dict[str, bytes], backup_id: str
) -> None:
    response = await client.put(f"/api/config/backups/{backup_id}", content=tarball([b"config/a"]))
    assert_problem(response, 409, Code.BACKUP_EXISTS)
    assert store.path(backup_id).read_bytes() == archives[backup_id]
    assert len(store.entries()) == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"{}\n", b"\x1f", b"x" * 3_000_000])
async def test_anything_but_an_archive_is_refused(
    client: httpx2.AsyncClient, settings: Settings, content: bytes
) -> None:
    assert_problem(await client.put(URL, content=content), 422, Code.ARCHIVE_FOREIGN)
    assert left_in(settings) == []


async def test_what_arrives_otherwise_than_it_was_sent_is_refused(
    client: httpx2.AsyncClient, settings: Settings
) -> None:
    content = tarball([b"config/a"])
    response = await client.put(URL, content=content, headers={"Content-Digest": digest_of(content + b"x")})
    assert_problem(response, 422, Code.ARCHIVE_DAMAGED)
    assert left_in(settings) == []


async def test_digests_of_other_kinds_are_passed_over(client: httpx2.AsyncClient) -> None:
    content = tarball([b"config/a"])
    header = f"sha-512=:AAAA:, {digest_of(content)},md5=:AAAA:"
    assert (await client.put(URL, content=content, headers={"Content-Digest": header})).status_code == 201


@pytest.mark.parametrize("header", ["", "sha-256", "sha-256=:AAAA:", "sha-256=:====:", "sha-256=abc", "=:AAAA:"])
async def test_a_digest_that_cannot_be_read_is_refused(
    client: httpx2.AsyncClient, settings: Settings, header: str
) -> None:
    response = await client.put(URL, content=tarball([b"a"]), headers={"Content-Digest": header})
    assert_problem(response, 422, Code.INVALID_REQUEST)
    assert left_in(settings) == []


async def test_a_part_of_a_file_is_refused(client: httpx2.AsyncClient, settings: Settings) -> None:
    headers = {"Content-Range": "bytes 10-20/30"}
    response = await client.put(URL, content=tarball([b"a"]), headers=headers)
    assert_problem(response, 422, Code.INVALID_REQUEST)
    assert left_in(settings) == []


@pytest.mark.parametrize("backup_id", ["..%2Fup", ".hidden", "a%20b", "x" * 129, "a/b"])
async def test_what_cannot_be_an_id_is_refused(client: httpx2.AsyncClient, settings: Settings, backup_id: str) -> None:
    response = await client.put(f"/api/config/backups/{backup_id}", content=tarball([b"a"]))
    assert_problem(response, 422, Code.INVALID_BACKUP_ID)
    assert left_in(settings) == []


async def test_what_there_is_no_room_for_is_refused_before_it_comes(
    app: FastAPI, resources: Resources, settings: Settings
) -> None:
    async with served(app, resources) as address:
        head = f"PUT {URL} HTTP/1.1\r\nHost: cell\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {10**18}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(address).port)
        writer.write(head.encode())
        assert b" 507 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert left_in(settings) == []


async def test_a_client_that_goes_away_leaves_nothing(app: FastAPI, resources: Resources, settings: Settings) -> None:
    hidden = settings.archives_dir / f".{ANOTHER}.upload.tar.gz.partial"

    async def arrived() -> bool:
        return hidden.exists() and hidden.stat().st_size >= 1 << 20

    async def gone() -> bool:
        return left_in(settings) == []

    async with served(app, resources) as address:
        head = f"PUT {URL} HTTP/1.1\r\nHost: cell\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9000000\r\n\r\n"
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(address).port)
        writer.write(head.encode() + b"\x1f\x8b\x08" + bytes(2 << 20))
        await writer.drain()
        await eventually_async(arrived, what="a MiB is on the disk")
        writer.close()
        await writer.wait_closed()
        await eventually_async(gone, what="nothing is left")
    assert resources.audit.read(limit=1)[0].code == Code.CANCELLED
