"""Receivers of webhooks that are away, hang, refuse, redirect or cut the line: jobs end, and all is told."""

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from tests.faults.processes.receiver import well
from tests.faults.processes.soundness import prove_sound
from tests.faults.processes.world import World
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    """Give what lets requests end that hang."""
    event = threading.Event()
    yield event
    event.set()


def fails(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(500, "the receiver is broken")


def redirects(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(307)
    handler.send_header("Location", "/elsewhere")
    handler.end_headers()


def cuts_the_line(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 20")
    handler.connection.shutdown(socket.SHUT_RDWR)


def _attempts(world: World, job_id: str, least: int) -> bool:
    """Tell whether the default's receiver was tried so often."""
    return sum(message.path == "/default" for message in world.receiver.of(job_id)) >= least


@pytest.mark.parametrize("answer", [fails, redirects, cuts_the_line])
def test_a_receiver_that_does_not_take_it_gets_it_again(world: World, answer: Answer) -> None:
    world.receiver.answer = answer
    job_id = world.ask("verify")
    job = world.ended(job_id)
    assert job["state"] == "succeeded"
    eventually(lambda: _attempts(world, job_id, 2), what="it was tried again")
    world.receiver.answer = well
    prove_sound(world, "verify", job)
    assert {message.path for message in world.receiver.of(job_id)} == {"/default", "/request"}
    eventually(lambda: _delivered(world, job_id), what="both are delivered")
    webhooks = world.service.job(job_id)["webhooks"]
    assert all(webhook["attempts"][0]["error"] or webhook["attempts"][0]["status"] >= 300 for webhook in webhooks)


def _delivered(world: World, job_id: str) -> bool:
    return [webhook["state"] for webhook in world.service.job(job_id)["webhooks"]] == ["delivered", "delivered"]


def test_a_receiver_that_hangs_holds_no_job_up(world: World, let_go: threading.Event) -> None:
    def hangs(_: BaseHTTPRequestHandler) -> None:
        let_go.wait(60)

    world.receiver.answer = hangs
    first = world.ended(world.ask("verify"))
    eventually(lambda: _attempts(world, first["job_id"], 1), what="it was tried")
    second = world.ended(world.ask("verify"))
    assert (first["state"], second["state"]) == ("succeeded", "succeeded")
    world.receiver.answer = well
    prove_sound(world, "verify", first)
    prove_sound(world, "verify", second)


def test_a_receiver_that_was_cut_off_gets_it_afterwards(world: World) -> None:
    world.receiver.stop()
    job = world.ended(world.ask("verify"))
    eventually(lambda: _tried(world, job["job_id"]), what="it was tried")
    world.receiver.start()
    prove_sound(world, "verify", job)


def _tried(world: World, job_id: str) -> bool:
    webhooks = world.service.job(job_id)["webhooks"]
    return len(webhooks) == 2 and all(webhook["attempts"] for webhook in webhooks)


def test_what_was_not_delivered_when_the_worker_died_is_delivered_by_the_next(world: World) -> None:
    world.receiver.answer = fails
    job = world.ended(world.ask("verify"))
    eventually(lambda: _attempts(world, job["job_id"], 1), what="it was tried")
    world.workers.all[-1].kill()
    world.receiver.answer = well
    world.workers.only(world.workers.start())
    prove_sound(world, "verify", job)
