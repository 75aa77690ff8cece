"""Where Redis is: the one reading of CELL_BACKUP_REDIS_URL."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, unquote_to_bytes, urlsplit

from app.errors import Code, InputError

SCHEMES = {"redis", "rediss", "unix"}
CERT_REQS = {"none", "optional", "required"}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Say where Redis is and how to be let in; a `socket` replaces host and port."""

    host: str = "localhost"
    port: int = 6379
    socket: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    cert_reqs: str = "required"
    ca_certs: str | None = None

    @property
    def check_hostname(self) -> bool:
        """Tell whether the server's certificate must name this host."""
        return self.tls and self.cert_reqs != "none"


def parse_redis_url(url: str) -> RedisAddress:
    """Read a redis://, rediss:// or unix:// address.

    Raise InputError(INVALID_SETTING), which never repeats a part of the address: a password that is not
    percent-encoded ends up in any part of it.
    """
    parts = _split(url)
    options = _options(parts)
    username, password = (None if raw is None else unquote(raw) for raw in (parts.username, parts.password))
    if parts.scheme == "unix":
        socket = os.fsdecode(unquote_to_bytes(parts.path))
        if not socket:
            _refuse("names no socket")
        return RedisAddress(
            socket=socket, database=_database(options.get("db", "")), username=username or None, password=password
        )
    return RedisAddress(
        host=parts.hostname or "localhost",
        port=_port(parts),
        database=_database(options.get("db") or parts.path.removeprefix("/")),
        username=username or None,
        password=password,
        tls=parts.scheme == "rediss",
        cert_reqs=_cert_reqs(options.get("ssl_cert_reqs", "required")),
        ca_certs=_ca_certs(options.get("ssl_ca_certs")),
    )


def _refuse(reason: str) -> NoReturn:
    raise InputError(
        Code.INVALID_SETTING,
        f"CELL_BACKUP_REDIS_URL {reason}. It looks like redis://[user:password@]host[:port][/database], rediss://… or "
        "unix:///path/to/socket[?db=number]; special characters in user and password are written as %XX.",
    ) from None  # what urllib says repeats parts of the address


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        _refuse("is not an address")
    if parts.scheme not in SCHEMES:
        _refuse("begins with none of redis://, rediss://, unix://")
    if parts.fragment or (parts.scheme == "unix" and parts.hostname):
        _refuse("is not an address")
    return parts


def _options(parts: SplitResult) -> dict[str, str]:
    try:
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        _refuse("has options after '?' that are not name=value")
    known = {"db", "ssl_cert_reqs", "ssl_ca_certs"} if parts.scheme == "rediss" else {"db"}
    if not options.keys() <= known:
        _refuse(f"has an unknown option after '?' (known: {', '.join(sorted(known))})")
    return options


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        _refuse("has a port that is not a number up to 65535")
    return 6379 if port is None else port


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        _refuse("has a database that is not a number")
    return int(text)


def _cert_reqs(text: str) -> str:
    if text not in CERT_REQS:
        _refuse("has an ssl_cert_reqs that is none of none, optional, required")
    return text


def _ca_certs(path: str | None) -> str | None:
    if path is not None and not Path(path).is_file():
        _refuse("has an ssl_ca_certs that is no file")
    return path
