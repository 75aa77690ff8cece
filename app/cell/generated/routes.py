"""Who leaves the cell through which connection: enabled connections, peers' `exit_via`, services' overrides."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cell.documents import printable
from app.cell.generated.configuration import Checked, Configuration, checked, read_entries
from app.cell.generated.names import LINKS
from app.cell.generated.values import (
    Backend,
    HostAddress,
    Interface,
    Mark,
    Name,
    RedirectPort,
    Table,
    addresses_in,
    network,
)
from app.cell.generated.web import manifests
from app.cell.manifests import ContainerName

PEERS = "data/peers.json"
WIREGUARD = "config/wireguard/wg0.conf"
DEFAULT_VPN = "10.0.0.0/24"
DEFAULT_EXIT = "default"
# traffic of these goes to a proxy's port instead of an interface; so does that of a connection without interface
REDIRECT_TYPES = frozenset({"tor", "proxy", "socks", "socks5", "http_proxy", "sshuttle", "shadowsocks"})


@dataclass(frozen=True, slots=True)
class Connection:
    """Hold one enabled connection: an interface, or a redirect port."""

    id: str
    mark: int
    table: int
    iface: str | None
    redirect_port: int | None


@dataclass(frozen=True, slots=True)
class Exit:
    """Say by which connection somebody leaves: a peer by its address, a service by its container.

    None where that connection cannot be used: then nothing may leave, rather than by a way that was not meant.
    """

    who: str
    source: str
    connection: Connection | None


@dataclass(frozen=True, slots=True)
class Routing:
    """Hold what the routing rules say; `local` are the networks that no connection leads to."""

    connections: tuple[Connection, ...]
    peers: tuple[Exit, ...]
    services: tuple[Exit, ...]
    local: tuple[str, ...]
    warnings: tuple[str, ...]


class _ConnectionModel(Checked):
    id: Name
    type: str | None = None
    enabled: bool = True
    mark: Mark
    table: Table
    iface: Interface | None = None
    redirect_port: RedirectPort | None = None


class _PeerModel(Checked):
    name: str | None = None
    ip: HostAddress
    exit_via: Name | None = None
    route_via: Name | None = None


class _LinkModel(Checked):
    name: Name


class _ServiceModel(Checked):
    container_name: ContainerName | None = None
    backend: Backend | None = None

    @property
    def container(self) -> str | None:
        return self.container_name or (None if self.backend is None else self.backend.partition(":")[0])


def read_routing(root: Path, configuration: Configuration) -> Routing:
    """Gather what the routing rules say; PartError where the peers cannot be read, for then some would leak."""
    warnings: list[str] = []
    connections = _connections(configuration.connections, warnings)
    return Routing(
        connections=tuple(connections.values()),
        peers=_peers(root, connections, warnings),
        services=_services(root, configuration, connections, warnings),
        local=tuple(dict.fromkeys((configuration.ip_range, _vpn_network(root)))),
        warnings=tuple(warnings),
    )


def _connections(entries: tuple[Any, ...], warnings: list[str]) -> dict[str, Connection]:
    found: dict[str, Connection] = {}
    taken: set[tuple[str, object]] = set()
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, dict) and entry.get("enabled") is False:
            continue
        where = f"Connection {number}"
        model = checked(_ConnectionModel, entry, where, warnings)
        if model is None:
            continue
        redirects = model.type in REDIRECT_TYPES or model.iface is None
        if redirects and model.redirect_port is None:
            warnings.append(f"{where} is left out: it has neither an interface nor a redirect port to use.")
            continue
        keys = {("id", model.id), ("mark", model.mark), ("table", model.table)}
        if keys & taken:
            warnings.append(f"{where} is left out: another one has its id, mark or table.")
            continue
        taken |= keys
        iface, port = (None, model.redirect_port) if redirects else (model.iface, None)
        found[model.id] = Connection(model.id, model.mark, model.table, iface, port)
    return found


def _peers(root: Path, connections: dict[str, Connection], warnings: list[str]) -> tuple[Exit, ...]:
    links = {link.name for entry in read_entries(root, LINKS, "links") if (link := _link(entry)) is not None}
    exits: dict[str, Exit] = {}
    for number, entry in enumerate(read_entries(root, PEERS, "peers"), start=1):
        where = f"{PEERS}, peer {number}"
        peer = checked(_PeerModel, entry, where, warnings)
        if peer is None:
            _hold_back(where, entry, exits, warnings)
            continue
        who = f"peer '{printable(peer.name or peer.ip)}'"
        if peer.route_via is not None and peer.route_via not in links:
            warnings.append(f"{who} is routed via '{peer.route_via}', but no linked cell is called that.")
        if peer.exit_via in {None, DEFAULT_EXIT}:
            continue
        exits[peer.ip] = _exit(who, peer.ip, peer.exit_via, connections, warnings)
    return tuple(exits.values())


def _hold_back(where: str, entry: Any, exits: dict[str, Exit], warnings: list[str]) -> None:
    """Let nothing of a peer out that names an exit in a record which cannot be understood otherwise."""
    if not isinstance(entry, dict) or entry.get("exit_via") in (None, "", DEFAULT_EXIT):
        return
    found = addresses_in(entry.get("ip"))
    for address in found:
        exits[address] = Exit(where, address, None)
    if found:
        warnings.append(f"{where}: nothing of {', '.join(found)} leaves the cell until its record is right.")
    else:
        warnings.append(f"{where} names an exit and no IPv4 address that can be read: its traffic is not ruled.")


def _link(entry: Any) -> _LinkModel | None:
    return checked(_LinkModel, entry, LINKS, [])  # what is wrong with a link is said with the Corefile


def _services(
    root: Path, configuration: Configuration, connections: dict[str, Connection], warnings: list[str]
) -> tuple[Exit, ...]:
    overrides = {key: value for key, value in configuration.overrides.items() if value not in {None, DEFAULT_EXIT, ""}}
    installed = dict(manifests(root, [])) if overrides else {}  # their faults are said with the Caddyfile
    exits = []
    for service, connection in sorted(overrides.items()):
        who = f"service '{printable(service)}'"
        if service not in installed:
            warnings.append(f"The egress of {who} is left out: no such service is installed.")
            continue
        model = checked(_ServiceModel, installed[service], f"The egress of {who}", warnings)
        if model is None:
            continue
        if model.container is None:
            warnings.append(f"The egress of {who} is left out: its manifest names no container.")
            continue
        exits.append(_exit(who, model.container, connection, connections, warnings))
    return tuple(exits)


def _exit(who: str, source: str, wanted: Any, connections: dict[str, Connection], warnings: list[str]) -> Exit:
    connection = connections.get(wanted) if isinstance(wanted, str) else None
    if connection is None:
        named = printable(str(wanted))[:80]
        warnings.append(f"Nothing of {who} leaves the cell: the connection '{named}' is not there or not enabled.")
    return Exit(who, source, connection)


def _vpn_network(root: Path) -> str:
    """Give the network of the VPN, by the `Address` of WireGuard's own configuration."""
    try:
        lines = (root / WIREGUARD).read_text(errors="replace").splitlines()
    except OSError:
        return DEFAULT_VPN
    pairs = (line.split("#")[0].partition("=") for line in lines)
    for key, _, value in pairs:
        for word in value.split(",") if key.strip().lower() == "address" else ():
            try:
                return network(word.strip())
            except ValueError:
                continue
    return DEFAULT_VPN
