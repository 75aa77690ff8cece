"""What the Caddyfile is made of: the cell's own sites, and one a service with a subdomain."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import RootModel

from app.cell.documents import printable, read_document, reason
from app.cell.generated.configuration import Checked, Configuration, DomainMode, checked
from app.cell.generated.values import Backend, Label
from app.cell.services import FOLDER
from app.errors import Code, PartError

FILE = "config/caddy/Caddyfile"
CERTIFICATES = "data/vault/certs"
CORE_SITES = {"api": (("api",), "cell-api:3000"), "webui": (("webui", "admin"), "cell-webui:8081")}
RESERVED = frozenset({"api", "webui", "admin"})
# nobody knows where a cell shows the vault to Caddy: the Caddyfile that is there may say, else it is looked for here
CERTIFICATE_FOLDERS = ("/vault/certs", "/data/vault/certs", "/etc/caddy/certs", "/certs")


@dataclass(frozen=True, slots=True)
class Site:
    """Hold one block of the Caddyfile: whose it is, its host names, and the `container:port` behind them."""

    name: str
    addresses: tuple[str, ...]
    backend: str


@dataclass(frozen=True, slots=True)
class Web:
    """Hold what the Caddyfile says; `has_certificate` tells that the vault has one for the sites of a cell at home."""

    domain: str
    mode: DomainMode
    sites: tuple[Site, ...]
    has_certificate: bool
    warnings: tuple[str, ...]


class _CapabilitiesModel(Checked):
    has_subdomain: bool | None = None


class _ManifestModel(Checked):
    capabilities: _CapabilitiesModel = _CapabilitiesModel()
    subdomain: Label | None = None
    backend: Backend | None = None
    extra_subdomains: list[Label] | None = None
    extra_backends: dict[Label, Backend] | list[Backend] | None = None

    def routes(self) -> dict[str, str]:
        """Give the backend of each subdomain; ValueError where one has none."""
        extra = self.extra_subdomains or []
        if isinstance(self.extra_backends, dict):
            backends: Mapping[str, str] = self.extra_backends
        else:
            backends = dict(zip(extra, self.extra_backends or (), strict=False))
        names = [name for name in (self.subdomain, *extra, *backends) if name is not None]
        routes = {name: backends.get(name) or self.backend for name in names}
        if any(backend is None for backend in routes.values()):
            raise ValueError("a subdomain has no backend")
        return {name: backend for name, backend in routes.items() if backend is not None}


def read_web(root: Path, configuration: Configuration) -> Web:
    """Gather what the Caddyfile says; a service that cannot have its route is a warning."""
    warnings: list[str] = list(configuration.warnings)
    domain = configuration.domain
    sites = [
        Site(name, tuple(f"{host}.{domain}" for host in hosts), backend)
        for name, (hosts, backend) in CORE_SITES.items()
    ]
    taken: dict[str, str] = {}
    for service, manifest in manifests(root, warnings):
        sites += _sites(domain, service, manifest, taken, warnings)
    has_certificate = configuration.mode is DomainMode.LAN and _has_certificate(root, domain)
    return Web(domain, configuration.mode, tuple(sites), has_certificate, tuple(warnings))


def manifests(root: Path, warnings: list[str]) -> Iterator[tuple[str, Any]]:
    """Give each installed service's id and manifest, by id; one that cannot be read is a warning."""
    try:
        names = sorted(item.parent.name for item in (root / FOLDER).glob("*/manifest.json"))
    except OSError as error:
        raise PartError(Code.FILE_UNREADABLE, f"{FOLDER} cannot be read: {reason(error)}.") from error
    for name in names:
        where = printable(f"{FOLDER}/{name}/manifest.json")
        try:
            yield name, read_document(root / FOLDER / name / "manifest.json", RootModel[Any], _refusal(where)).root
        except PartError as error:
            warnings.append(error.message)


def _refusal(where: str) -> Any:
    return lambda why: PartError(Code.INVALID_MANIFEST, f"{where} cannot be used: {why}.")


def _sites(domain: str, service: str, manifest: Any, taken: dict[str, str], warnings: list[str]) -> list[Site]:
    where = f"The route of service '{service}'"
    model = checked(_ManifestModel, manifest, where, warnings)
    if model is None or model.capabilities.has_subdomain is False:
        return []
    try:
        routes = model.routes()
    except ValueError as error:
        warnings.append(f"{printable(where)} is left out: {error}.")
        return []
    for name in [name for name in routes if name in RESERVED or name in taken]:
        whose = "reserved for the cell itself" if name in RESERVED else f"the service '{taken[name]}' has it"
        warnings.append(f"{printable(where)} is left out: the subdomain '{name}' is taken ({whose}).")
        return []
    taken |= dict.fromkeys(routes, printable(service))
    by_backend: dict[str, list[str]] = {}
    for name, backend in routes.items():
        by_backend.setdefault(backend, []).append(f"{name}.{domain}")
    return [Site(printable(service), tuple(hosts), backend) for backend, hosts in by_backend.items()]


def _has_certificate(root: Path, domain: str) -> bool:
    return all((root / CERTIFICATES / f"{domain}.{kind}").is_file() for kind in ("crt", "key"))


def told_folder(root: Path, domain: str) -> str | None:
    """Find out from the Caddyfile that is there in which folder of its container Caddy sees the certificate."""
    try:
        text = (root / FILE).read_text(errors="replace")
    except OSError:
        return None
    name = re.escape(domain)
    found = re.search(rf"^\s*tls\s+((?:/[A-Za-z0-9._-]+)+)/{name}\.crt\s+\1/{name}\.key\s*$", text, re.MULTILINE)
    return found[1] if found else None
