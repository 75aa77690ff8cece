"""Log lines: one way for all processes, on standard error, each with what it is about, none with a secret."""

import json
import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from typing_extensions import override

from app.access.token_file import SHAPE
from app.settings import Settings

_SHORTEST_SECRET = 4
_HIDDEN = "[hidden]"
_CREDENTIALS = re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\",;]+")
_PASSWORD = re.compile(r"(?<=://)[^\s/@]*@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_bound: ContextVar[dict[str, str] | None] = ContextVar("bound", default=None)


@contextmanager
def bound(**values: str) -> Iterator[None]:
    """Let each log line of the block, and of the tasks and threads it starts, say this: `job_id`, `request_id`."""
    token = _bound.set({**(_bound.get() or {}), **values})
    try:
        yield
    finally:
        _bound.reset(token)


def configure_logging(settings: Settings, *, level: str | None = None) -> None:
    """Send log lines of the settings' level, or of the given one, and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    hide = Hiding(_secrets(settings))
    handler.setFormatter(JsonLines(hide) if settings.log_format == "json" else TextLines(hide))
    logging.basicConfig(level=(level or settings.log_level).upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _on_uncaught
    threading.excepthook = _on_uncaught_in_thread
    sys.unraisablehook = _on_unraisable


def _on_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write the error that ends the process as a line like every other one."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger(__name__).critical("this process ends: %s", kind.__name__, exc_info=(kind, error, trace))


def _on_uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is not None and not isinstance(given.exc_value, SystemExit):
        about = (given.exc_type, given.exc_value, given.exc_traceback)
        logging.getLogger(__name__).error("a thread ends: %s", given.exc_type.__name__, exc_info=about)


def _on_unraisable(given: "sys.UnraisableHookArgs") -> None:
    error = given.exc_value
    logging.getLogger(__name__).error("nobody was there to take an error: %s", given.exc_type.__name__, exc_info=error)


class Hiding:
    """Take out of a text what nobody may read: the given secrets, and what looks like one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # the longest first: one may be a part of another
        known = sorted({secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(secret) for secret in known)) if known else None

    def __call__(self, text: str) -> str:
        """Give the text without its secrets."""
        if self._known is not None:
            text = self._known.sub(_HIDDEN, text)
        text = SHAPE.sub(_HIDDEN, text)
        text = _CREDENTIALS.sub(rf"\1 {_HIDDEN}", text)
        return _PASSWORD.sub(f"{_HIDDEN}@", text)


class TextLines(logging.Formatter):
    """Write lines for people; what was put into one by others cannot begin a line, or move the cursor."""

    def __init__(self, hide: Hiding) -> None:
        super().__init__()
        self._hide = hide

    @override
    def format(self, record: logging.LogRecord) -> str:
        about = "".join(f" {name}={value}" for name, value in (_bound.get() or {}).items())
        head = f"{_time(record)} {record.levelname:<7} {record.name}: {record.getMessage()}{about}"
        lines = [head, *(f"    {line}" for line in _traceback(self, record).split("\n") if line)]
        return "\n".join(_CONTROL.sub(_escaped, self._hide(line)) for line in lines)


class JsonLines(logging.Formatter):
    """Write one JSON object a line; a traceback is a field of it."""

    def __init__(self, hide: Hiding) -> None:
        super().__init__()
        self._hide = hide

    @override
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **(_bound.get() or {}),
        }
        if traceback := _traceback(self, record):
            fields["traceback"] = traceback
        return json.dumps({name: self._hide(value) for name, value in fields.items()})


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[1] is not None:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


def _escaped(found: re.Match[str]) -> str:
    number = ord(found.group())
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _secrets(settings: Settings) -> Iterator[str]:
    """Give the settings' secret values, and what of an address is one."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            secret = value.get_secret_value()
            yield secret.strip()
            if name == "redis_url" and (password := urlsplit(secret).password):
                yield from (password, unquote(password))
