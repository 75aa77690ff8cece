"""One attempt to deliver, against receivers that do whatever they like."""

import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.webhooks import sending
from tests.support.redis_server import free_port
from tests.support.webhook_receiver import (
    SECRET,
    Behaviour,
    answer,
    answer_for_ever,
    begin_and_hang,
    hang,
    raw,
    receiver,
)
from tests.unit.webhooks.calling import BODY, SHORT, SHORT_CONNECT, assert_nothing_shown, call


async def test_a_message_arrives_signed_and_whole() -> None:
    async with receiver(answer(202, b"thank you")) as taking:
        attempt = await call(taking.url)
    assert (attempt.status, attempt.error, attempt.answer, attempt.delivered) == (202, None, "thank you", True)
    [received] = taking.received
    assert received.line == "POST /hooks/path-is-secret?key=query-is-secret HTTP/1.1"
    assert received.verified() == {"job_id": "1"}
    assert received.body == BODY
    assert received.headers["webhook-id"] == "msg_1"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"].startswith("cell-backup/")


@pytest.mark.parametrize("status", [300, 304, 400, 401, 404, 410, 413, 429, 500, 503])
async def test_only_a_2xx_is_a_delivery(status: int) -> None:
    async with receiver(answer(status)) as taking:
        attempt = await call(taking.url)
    assert (attempt.status, attempt.delivered, attempt.unwanted) == (status, False, status == 410)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with receiver() as elsewhere, receiver(answer(status, Location=elsewhere.url)) as taking:
        attempt = await call(taking.url)
    assert (attempt.status, attempt.delivered) == (status, False)
    assert elsewhere.received == []


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (raw(b""), "The connection was closed before an answer came."),
        (raw(b"HTTP/1.1 2"), "The connection was closed before an answer came."),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "The answer is not HTTP."),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"), "The answer is not HTTP."),
        (hang, "No answer within 15 seconds."),
    ],
)
async def test_no_answer_is_told_in_words(behaviour: Behaviour, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if behaviour is hang:
        monkeypatch.setattr(sending, "_LIMITS", SHORT)
    async with receiver(behaviour) as taking:
        attempt = await call(taking.url)
    assert (attempt.status, attempt.error, attempt.delivered) == (None, error, False)
    assert_nothing_shown(attempt)


async def test_nobody_listens() -> None:
    attempt = await call(f"http://127.0.0.1:{free_port()}/path-is-secret")
    assert attempt.error is not None
    assert attempt.error.startswith("No connection: ")
    assert_nothing_shown(attempt)


async def test_a_host_that_takes_no_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_LIMITS", SHORT_CONNECT)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        attempt = await call(f"http://127.0.0.1:{full.getsockname()[1]}/")
        for one in waiting:
            one.close()
    assert attempt.error == "No connection within 5 seconds."


async def test_a_body_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(answer_for_ever) as taking:
        attempt = await call(taking.url)
    assert (attempt.status, attempt.answer) == (200, "x" * 1024)
    monkeypatch.setattr(sending, "_LIMITS", SHORT)
    async with receiver(begin_and_hang) as taking:
        attempt = await call(taking.url)
    assert (attempt.status, attempt.answer, attempt.error, attempt.delivered) == (200, "begun", None, True)


async def test_a_compressed_answer_is_not_unpacked() -> None:
    async with receiver(answer(200, b"\x1f\x8b\x08 not really", Content_Encoding="gzip")) as taking:
        attempt = await call(taking.url)
    assert attempt.answer == "\\x1f\\x8b\\x08 not really"
    assert "gzip" not in taking.received[0].headers["accept-encoding"]


async def test_an_answer_is_shown_on_one_line_with_its_control_characters_visible() -> None:
    async with receiver(answer(200, "ö\n\x1b[31mred\x00\u202e \xff".encode() + b"\xff")) as taking:
        attempt = await call(taking.url)
    assert attempt.answer == "ö\\n\\x1b[31mred\\x00\\u202e ÿ\\xff"


async def test_an_answer_that_repeats_address_and_secret_is_shown_without_them() -> None:
    echo = f"Cannot POST /hooks/path-is-secret?key=query-is-secret ({SECRET})"
    async with receiver(answer(404, echo.encode())) as taking:
        attempt = await call(taking.url)
    assert attempt.answer.startswith("Cannot POST ***")
    assert_nothing_shown(attempt)


async def test_a_secret_that_is_cut_in_two_is_hidden_too() -> None:
    echo = "x" * 1009 + "/hooks/path-is-secret"
    async with receiver(answer(404, echo.encode())) as taking:
        attempt = await call(taking.url)
    assert attempt.answer == "x" * 1009 + "***"


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
async def test_a_proxy_of_the_environment_is_not_used(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver() as proxy, receiver() as taking:
        monkeypatch.setenv(variable, proxy.origin)
        assert (await call(taking.url)).delivered
    assert proxy.received == []


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "120", 120),
        (503, "0", 0),
        (503, "9" * 30, 999999999),
        (429, "Wed, 01 Jan 2020 00:00:00 GMT", 0),
        (429, "soon", None),
        (429, "Wed, 01 Jan 2020 00:00:00 +99999999999999999999", None),
        (429, "-5", None),
        (429, "²", None),
        (500, "120", None),
    ],
)
async def test_a_receiver_says_when_to_come_again(status: int, header: str, seconds: float | None) -> None:
    async with receiver(answer(status, Retry_After=header.encode().decode("latin-1"))) as taking:
        assert (await call(taking.url)).retry_after == seconds


async def test_a_receiver_says_on_which_date_to_come_again() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    async with receiver(answer(429, Retry_After=date)) as taking:
        wish = (await call(taking.url)).retry_after
    assert wish is not None
    assert 7000 < wish <= 7200
