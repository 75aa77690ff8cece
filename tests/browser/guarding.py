"""What goes wrong in a page without anybody seeing it."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response, WebError

# what the console says of an answer or a connection: both are judged by themselves
_OF_THE_NETWORK = "Failed to load resource: "
_LEFT = "net::ERR_ABORTED"
_NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"


@dataclass(frozen=True, slots=True)
class _Answer:
    method: str
    path: str
    status: int


@dataclass  # no slots: the driver keeps notes of its own on the objects whose methods it calls
class Guard:
    """Collect in `faults` what goes wrong in the pages of the service at an address."""

    address: str
    faults: list[str] = field(default_factory=list)
    # the page asks whether there is a session: that is how it knows that it must ask for a token
    _expected: set[_Answer] = field(default_factory=lambda: {_Answer("GET", "/api/session", 401)})
    _may_be_away: bool = False
    _may_be_refused: bool = False

    def expect(self, status: int, path: str, method: str = "GET") -> None:
        """Take this answer, from now on, for what the test wants."""
        self._expected.add(_Answer(method, path, status))

    def expect_refusals(self) -> None:
        """Take it from now on for what the test wants that a session has ended, whatever the page asks for next."""
        self._may_be_refused = True

    def expect_no_answers(self) -> None:
        """Take it from now on for what the test wants that the service cannot be reached."""
        self._may_be_away = True

    def watch(self, context: BrowserContext) -> None:
        """Watch all pages of a context, those too that are opened later."""
        context.on("console", self._said)
        context.on("weberror", self._thrown)
        context.on("request", self._asked)
        context.on("response", self._answered)
        context.on("requestfailed", self._unanswered)

    def forgets_network_changes(self) -> bool:
        """Forget what was cut because a network came or went, as those of containers do; tell whether anything was."""
        kept = [fault for fault in self.faults if not fault.endswith(_NETWORK_CHANGED)]
        forgotten = len(self.faults) - len(kept)
        self.faults[:] = kept
        return forgotten > 0

    def catch_up(self, context: BrowserContext) -> None:
        """Take in what has happened, but has not been told yet."""
        for page in context.pages:
            page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 0))")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_OF_THE_NETWORK):
            self.faults.append(f"console: {message.text}")

    def _thrown(self, thrown: WebError) -> None:
        self.faults.append(f"exception: {thrown.error.stack or thrown.error.message}")

    def _asked(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in {"data", "blob"} and f"{url.scheme}://{url.netloc}" != self.address:
            self.faults.append(f"another host: {request.url}")

    def _answered(self, response: Response) -> None:
        answer = _Answer(response.request.method, urlsplit(response.url).path, response.status)
        is_refusal = answer.status == 401 and self._may_be_refused
        if answer.status >= 400 and not is_refusal and answer not in self._expected:
            self.faults.append(f"answer: {answer.method} {answer.path} {answer.status}")

    def _unanswered(self, request: Request) -> None:
        # a view that is left ends its own requests; what a change of networks cut the page asks for again
        is_look = request.method == "GET" and request.resource_type == "fetch"
        is_retried = is_look and request.failure == _NETWORK_CHANGED
        if request.failure != _LEFT and not is_retried and not self._may_be_away:
            self.faults.append(f"no answer: {request.method} {request.url}: {request.failure}")
