"""A receiver of webhooks that keeps all it gets, and answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook
from typing_extensions import override

from tests.support.redis_server import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_dGhlIHNlY3JldCBvZiBvbmUgcmVxdWVzdCBhbG9uZSE="

CELL_API = "/api/config/"  # it is the cell's own API as well

Answer = Callable[[BaseHTTPRequestHandler], None]


def well(handler: BaseHTTPRequestHandler) -> None:
    """Answer that all is well."""
    handler.send_response(204)
    handler.end_headers()


@dataclass(frozen=True, slots=True)
class Message:
    """Hold one webhook as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def job(self) -> dict[str, Any]:
        """Give the job that it tells of."""
        told: dict[str, Any] = json.loads(self.body)
        return told


class Receiver:
    """Hold what came; `answer` says how the next request is answered."""

    def __init__(self) -> None:
        self.port = free_port()  # it comes back to it
        self.messages: list[Message] = []
        self.answer: Answer = well
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, where it listened before if it did."""
        self._server = _Server(("127.0.0.1", self.port), _handler_of(self))
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        """Listen no more: whoever connects is refused."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = None

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def of(self, job_id: str) -> list[Message]:
        """Give what came for a job, oldest first."""
        return [message for message in list(self.messages) if message.job.get("job_id") == job_id]

    def faults(self, job: dict[str, Any], *, wanted: dict[str, str]) -> list[str]:
        """Say what is wrong with what came for a job; `wanted` has the secret of each path that should have got it."""
        wrong = []
        for path, secret in wanted.items():
            mine = [message for message in self.of(job["job_id"]) if message.path == f"/{path}"]
            if len({message.message_id for message in mine}) != 1:
                wrong.append(f"webhooks of {len({message.message_id for message in mine})} ids came to {path}")
            for message in mine:
                Webhook(secret).verify(message.body, message.headers)  # raises for a wrong signature
                if (message.job["state"], message.job["finished_at"]) != (job["state"], job["finished_at"]):
                    wrong.append(f"the webhook says {message.job['state']}, the record {job['state']}")
        return wrong


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path.startswith(CELL_API):
                well(self)
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.messages.append(Message(self.path, headers, body))
            receiver.answer(self)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen while the block runs."""
    receiver = Receiver()
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
