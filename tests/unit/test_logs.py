import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from app.access.token_file import new_token
from app.logs import Hiding, JsonLines, TextLines, bound, configure_logging
from app.settings import Settings

SECRETS = {
    "api_token": "the-token-of-the-api",
    "webhook_secret": "whsec_c2VjcmV0IG9mIHRoZSB3ZWJob29r",
    "cell_api_token": "the-token-of-the-cell",
    "webhook_url": "https://hooks.example/services/T0/B0/a-secret-path",
    "redis_url": "rediss://user:pass%2Fword-of-redis@redis.example:6380/0",
}


def settings(**changes: object) -> Settings:
    return Settings().model_copy(update={name: SecretStr(text) for name, text in SECRETS.items()} | changes)


class Written:
    """Be a logger whose lines can be read."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(formatter)
        self.log = logging.getLogger("app.tests").getChild(f"{id(self)}")
        self.log.setLevel(logging.DEBUG)
        self.log.propagate = False
        self.log.addHandler(handler)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def text() -> Written:
    return Written(TextLines(Hiding(())))


@pytest.fixture
def objects() -> Written:
    return Written(JsonLines(Hiding(())))


def broken(words: str) -> None:
    raise ValueError(words)


def test_a_line_says_what_it_is_about(text: Written, objects: Written) -> None:
    for written in (text, objects):
        with bound(job_id="j1"):
            with bound(request_id="r1"):
                written.log.info("one %s", "thing")
            written.log.info("two")
        written.log.info("three")
    assert [line.partition(f"{text.log.name}: ")[2] for line in text.lines] == [
        "one thing job_id=j1 request_id=r1",
        "two job_id=j1",
        "three",
    ]
    assert [(line.get("job_id"), line.get("request_id")) for line in objects.objects] == [
        ("j1", "r1"),
        ("j1", None),
        (None, None),
    ]
    first = objects.objects[0]
    assert (first["level"], first["logger"], first["message"]) == ("info", objects.log.name, "one thing")
    assert first["at"].endswith("Z")


async def test_jobs_that_run_at_once_don_t_mix_their_lines_and_threads_keep_them(objects: Written) -> None:
    async def work(name: str) -> None:
        with bound(job_id=name):
            await asyncio.sleep(0)
            await asyncio.to_thread(objects.log.info, name)

    await asyncio.gather(*(work(f"j{number}") for number in range(5)))
    assert all(line["job_id"] == line["message"] for line in objects.objects)
    assert len(objects.objects) == 5


def test_a_traceback_is_one_field_of_a_json_line(objects: Written) -> None:
    try:
        broken("the words of the error")
    except ValueError:
        objects.log.exception("it broke")
    [line] = objects.objects
    assert line["message"] == "it broke"
    assert line["traceback"].startswith("Traceback")
    assert line["traceback"].endswith("ValueError: the words of the error")


@pytest.mark.parametrize(
    "hostile",
    ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\x00b", "a\x7fb", "a\x85b", "a\u2028b", "a\u2029b", "a\u202eb", "a\udcffb"],
)
def test_nobody_s_words_begin_a_line_or_move_the_cursor(text: Written, objects: Written, hostile: str) -> None:
    for written in (text, objects):
        with bound(job_id=hostile):
            written.log.info("%s", hostile)
            try:
                broken(hostile)
            except ValueError:
                written.log.exception("it broke")
    assert len(objects.lines) == 2
    lines = text.stream.getvalue().split("\n")
    assert [line for line in lines if line and not line.startswith("    ")] == [lines[0], lines[1]]
    for line in (*lines, *objects.lines):
        assert all(letter.isprintable() for letter in line), repr(line)


@pytest.mark.parametrize("kind", [TextLines, JsonLines])
def test_no_secret_is_in_a_line_its_traceback_or_what_it_is_about(kind: type[TextLines] | type[JsonLines]) -> None:
    token = new_token()
    known = [*SECRETS.values(), "pass%2Fword-of-redis", token, 'quoted"and\\escaped']
    written = Written(kind(Hiding([*SECRETS.values(), "pass%2Fword-of-redis", 'quoted"and\\escaped'])))
    for secret in known:
        with bound(job_id=secret):
            written.log.info("it is %s, and: %s", secret, {"token": secret})
            try:
                broken(f"nobody must see {secret} here")
            except ValueError:
                written.log.exception("it broke")
    shown = written.stream.getvalue()
    assert "nobody must see [hidden] here" in shown
    for secret in known:
        assert secret not in shown
        assert json.dumps(secret)[1:-1] not in shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [hidden]"),
        ("{'authorization': 'bearer abc'}", "{'authorization': 'bearer [hidden]'}"),
        ("Basic dXNlcjpwYXNz, more", "Basic [hidden], more"),
        ("redis://:other@host:6379/0 is away", "redis://[hidden]@host:6379/0 is away"),
        ("https://user:pass@host/path", "https://[hidden]@host/path"),
        ("https://host/path@2", "https://host/path@2"),
        ("the bearer", "the bearer"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(line: str, shown: str) -> None:
    assert Hiding(())(line) == shown


def test_a_secret_within_another_one_leaves_nothing_of_it() -> None:
    assert Hiding(["abcd", "abcdefgh"])("abcdefgh abcd") == "[hidden] [hidden]"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """Give the root logger, and put it back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield root
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("name", ["uvicorn.error", "arq.worker", "app.access", "cell_backup"])
def test_lines_of_libraries_go_the_same_way_and_know_the_settings_secrets(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], log_format: str, name: str
) -> None:
    configure_logging(settings(log_format=log_format))
    logging.getLogger(name).warning("all: %s", " ".join(SECRETS.values()))
    logging.getLogger(name).warning("alone: %s, %s", "pass%2Fword-of-redis", "pass/word-of-redis")
    assert len(root.handlers) == 1
    shown = capsys.readouterr().err
    lines = shown.splitlines()
    assert len(lines) == 2
    for secret in (*SECRETS.values(), "word-of-redis"):
        assert secret not in shown
    assert all(line.startswith("{") is (log_format == "json") for line in lines)


def test_a_level_can_be_asked_for(root: logging.Logger) -> None:
    configure_logging(settings(log_level="debug"))
    assert root.level == logging.DEBUG
    configure_logging(settings(log_level="debug"), level="WARNING")
    assert root.level == logging.WARNING


DYING = """
from app.logs import configure_logging
from app.settings import load_settings
configure_logging(load_settings())
raise ValueError("Bearer abc broke it")
"""


def test_the_error_that_ends_a_process_is_a_line_like_every_other_one() -> None:
    environment = {"CELL_BACKUP_LOG_FORMAT": "json", "HOME": "/"}
    died = subprocess.run([sys.executable, "-c", DYING], env=environment, capture_output=True, text=True, check=False)
    assert died.returncode == 1
    line = json.loads(died.stderr)
    assert line["level"] == "critical"
    assert line["traceback"].endswith("ValueError: Bearer [hidden] broke it")


UNSEEN = """
import threading
from app.logs import configure_logging
from app.settings import load_settings
configure_logging(load_settings())
class Thing:
    def __del__(self):
        raise ValueError("Bearer of-a-thing broke it")
def work():
    raise ValueError("Bearer of-a-thread broke it")
thread = threading.Thread(target=work)
thread.start()
thread.join()
del thread
Thing()
"""


def test_errors_that_nobody_can_catch_are_lines_like_every_other_one() -> None:
    environment = {"CELL_BACKUP_LOG_FORMAT": "json", "HOME": "/"}
    ended = subprocess.run([sys.executable, "-c", UNSEEN], env=environment, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["error", "error"]
    assert all(line["traceback"].endswith("ValueError: Bearer [hidden] broke it") for line in lines)
