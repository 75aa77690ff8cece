"""Which addresses are really connected to, and whom TLS trusts."""

import asyncio
import socket
import ssl
import threading
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from tests.support.tls_front import make_authority
from tests.support.waiting import eventually
from tests.support.webhook_receiver import (
    receiver,
)
from tests.unit.webhooks.calling import assert_nothing_shown, call


class Names(AbstractResolver):
    """Resolve every name to one address after the other, as somebody does who changes it between two look-ups."""

    def __init__(self, *addresses: str, at_once: bool = False) -> None:
        self.addresses = list(addresses)
        self.at_once = at_once
        self.asked = 0

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked += 1
        if not self.addresses:
            raise OSError(socket.EAI_NONAME, "Name or service not known")
        given = self.addresses if self.at_once else [self.addresses[min(self.asked, len(self.addresses)) - 1]]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in given
        ]

    @override
    async def close(self) -> None:
        """Have nothing to close."""


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"])
async def test_a_name_that_leads_to_this_machine_is_not_called(address: str) -> None:
    async with receiver() as taking:
        attempt = await call(f"https://hooks.example:{taking.port}/", networks=(), resolver=Names(address))
    assert (attempt.status, taking.received, taking.came.is_set()) == (None, [], False)
    assert attempt.error is not None
    assert attempt.error.startswith("Not sent: ")
    assert "is not a public address" in attempt.error


async def test_no_connection_is_made_to_what_a_name_leads_to_the_second_time() -> None:
    """Whatever was looked up before: the address that is connected to is the one that was checked."""
    names = Names("203.0.113.1", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for _ in range(2):
            attempt = await call(f"https://hooks.example:{listening.getsockname()[1]}/", networks=(), resolver=names)
            assert attempt.error is not None
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert names.asked == 2


async def test_an_address_in_the_url_is_checked_like_one_that_was_looked_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for host in (
            "127.0.0.1",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "localhost",
            "127.1",
            "2130706433",
            "0x7f.1",
        ):
            for scheme in ("http", "https"):
                attempt = await call(f"{scheme}://{host}:{port}/", networks=("10.0.0.0/8",))
                assert attempt.error is not None
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


async def test_of_several_addresses_an_allowed_one_is_called() -> None:
    async with receiver() as taking:
        names = Names("10.1.1.1", "127.0.0.1", at_once=True)
        attempt = await call(f"http://hooks.example:{taking.port}/", networks=("127.0.0.1/32",), resolver=names)
    assert attempt.delivered
    assert len(taking.received) == 1


async def test_a_name_that_does_not_exist() -> None:
    attempt = await call("https://hooks.example/path-is-secret", resolver=Names())
    assert attempt.error == "The name of the host could not be resolved."


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """Give the file of an authority, and a server's context whose certificate is for 127.0.0.1."""
    ca_file, server_file = make_authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    return ca_file, context


async def test_a_certificate_of_the_hosts_authorities_is_taken(
    authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca_file, context = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    async with receiver(tls=context) as taking:
        attempt = await call(taking.url)
    assert (attempt.status, attempt.error) == (204, None)
    assert taking.received[0].verified() == {"job_id": "1"}


async def test_a_certificate_that_does_not_hold_is_refused(
    authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca_file, context = authority
    async with receiver(tls=context) as taking:
        unknown = await call(taking.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
        names = Names("127.0.0.1")
        another = await call(f"https://hooks.example:{taking.port}/path-is-secret", resolver=names)
    assert taking.received == []
    for attempt, words in ((unknown, "self-signed certificate"), (another, "Hostname mismatch")):
        assert attempt.error is not None
        assert attempt.error.startswith("The receiver's certificate is not valid: ")
        assert words in attempt.error or "unable to get local issuer" in attempt.error
        assert_nothing_shown(attempt)


async def test_plain_http_behind_https_is_told() -> None:
    def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        attempt = await call(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/path-is-secret")
    assert attempt.error == "The receiver does not speak TLS as it should."


async def test_names_are_looked_up_by_the_system_in_a_thread_of_their_own() -> None:
    async with receiver() as taking:
        attempt = await call(f"http://localhost:{taking.port}/")
    assert (attempt.status, attempt.error) == (204, None)
    eventually(lambda: not any("webhook-names" in one.name for one in threading.enumerate()), what="no thread is left")
