"""Where the engine listens, by Docker's own variables."""

import contextlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from app.errors import Code, InputError, PartError

_HINT = "Set DOCKER_HOST to unix:///path/to/docker.sock or tcp://host:port, or leave it unset."
_PORTS = {False: 2375, True: 2376}
# the kernel cuts it to its own limit; a poll says that a unix socket can be written to once three quarters are read
_SEND_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Know where the engine listens: on the first of some unix sockets that is there, or on a TCP address."""

    sockets: tuple[Path, ...] = ()
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None

    @classmethod
    def resolve(cls, environ: Mapping[str, str]) -> "Endpoint":
        """Read DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH; raise InputError INVALID_SETTING."""
        address = environ.get("DOCKER_HOST", "")
        home = Path(environ.get("HOME") or Path.home())
        if not address:
            default = (Path("/run/docker.sock"), Path("/var/run/docker.sock"), home / ".docker/run/docker.sock")
            return cls(sockets=default)
        scheme, _, rest = address.partition("://")
        if scheme == "unix" and rest.startswith("/"):
            return cls(sockets=(Path(rest),))
        if scheme != "tcp":
            raise InputError(Code.INVALID_SETTING, f"DOCKER_HOST is {address!r}: not an address to use", hint=_HINT)
        tls = None
        if environ.get("DOCKER_TLS_VERIFY"):
            tls = _tls_context(Path(environ.get("DOCKER_CERT_PATH") or home / ".docker"))
        host, port = _split(address)
        return cls(host=host, port=port or _PORTS[tls is not None], tls=tls)

    @property
    def url(self) -> str:
        """Give the address as aiodocker wants it; raise PartError ENGINE_UNREACHABLE where no socket is there."""
        if self.sockets:
            return f"unix://{self._socket_path()}"
        return f"{'https' if self.tls else 'http'}://{self._authority()}"

    def connect(self, *, timeout_seconds: float) -> socket.socket:
        """Open a blocking connection; raise PartError ENGINE_UNREACHABLE."""
        try:
            return self._unix(timeout_seconds) if self.sockets else self._tcp(timeout_seconds)
        except OSError as error:
            raise PartError(
                Code.ENGINE_UNREACHABLE, f"The Docker engine at {self.url} does not answer: {error}"
            ) from error

    def _socket_path(self) -> Path:
        for path in self.sockets:
            with contextlib.suppress(OSError):
                if path.is_socket():
                    return path
        looked = ", ".join(map(str, self.sockets))
        raise PartError(Code.ENGINE_UNREACHABLE, f"No Docker engine listens at {looked}")

    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _unix(self, timeout_seconds: float) -> socket.socket:
        path = self._socket_path()
        with contextlib.ExitStack() as undo:
            connection = undo.enter_context(socket.socket(socket.AF_UNIX))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            connection.settimeout(timeout_seconds)
            connection.connect(str(path))
            undo.pop_all()
            return connection

    def _tcp(self, timeout_seconds: float) -> socket.socket:
        with contextlib.ExitStack() as undo:
            plain = undo.enter_context(socket.create_connection((self.host, self.port), timeout_seconds))
            connection = plain if self.tls is None else self.tls.wrap_socket(plain, server_hostname=self.host)
            undo.pop_all()
            return connection


def _split(address: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.path.strip("/"):
        raise InputError(Code.INVALID_SETTING, f"DOCKER_HOST is {address!r}: no host and port", hint=_HINT)
    return host, port


def _tls_context(certificates: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    except OSError as error:
        raise InputError(
            Code.INVALID_SETTING,
            f"DOCKER_TLS_VERIFY is set, but the certificates in {certificates} cannot be used: {error}",
            hint="Point DOCKER_CERT_PATH at the folder of ca.pem, cert.pem and key.pem.",
        ) from error
    return context
