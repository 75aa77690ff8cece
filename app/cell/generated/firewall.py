"""The chains `PIC_CONNECTIVITY` (peers) and `PIC_EGRESS` (services): what they say, and how iptables is told.

Table mangle marks what comes from a peer or a service, or drops it where its connection cannot be used. Table nat
redirects what is marked for a proxy (PIC_CONNECTIVITY), and hides the source of what leaves by an interface
(PIC_EGRESS).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.cell.generated.routes import Connection, Exit, Routing

_RULE = re.compile(r"-A (\S+) (.*)")


@dataclass(frozen=True, slots=True)
class Chain:
    """Name one chain of this project, and the built-in chain that jumps to it."""

    table: str
    name: str
    hook: str


MARK_PEERS = Chain("mangle", "PIC_CONNECTIVITY", "PREROUTING")
MARK_SERVICES = Chain("mangle", "PIC_EGRESS", "PREROUTING")
REDIRECT = Chain("nat", "PIC_CONNECTIVITY", "PREROUTING")
HIDE = Chain("nat", "PIC_EGRESS", "POSTROUTING")
CHAINS = (MARK_PEERS, MARK_SERVICES, REDIRECT, HIDE)
TABLES = tuple(dict.fromkeys(chain.table for chain in CHAINS))


@dataclass(frozen=True, slots=True)
class Filled:
    """Hold what a chain has (None: there is no such chain), and how often its hook jumps to it."""

    rules: tuple[str, ...] | None = None
    jumps: int = 0


Firewall = Mapping[Chain, Filled]


def wanted_firewall(routing: Routing, addresses: Mapping[str, tuple[str, ...]]) -> Firewall:
    """Say what the chains must hold; `addresses` are those of the services' containers."""
    stay = tuple(f"-d {network} -j RETURN" for network in routing.local)
    peers = tuple(_of(peer.source, peer) for peer in routing.peers)
    services = tuple(_of(address, item) for item in routing.services for address in addresses.get(item.source, ()))
    rules = {
        MARK_PEERS: stay + peers if peers else (),
        MARK_SERVICES: stay + services if services else (),
        REDIRECT: tuple(
            f"-p tcp {_marked(item)} -j REDIRECT --to-ports {item.redirect_port}"
            for item in routing.connections
            if item.redirect_port is not None
        ),
        HIDE: tuple(
            f"-o {item.iface} {_marked(item)} -j MASQUERADE" for item in routing.connections if item.iface is not None
        ),
    }
    return {chain: Filled(rules[chain], jumps=1) for chain in CHAINS}


def _of(address: str, leaving: Exit) -> str:
    if leaving.connection is None:
        return f"-s {address}/32 -j DROP"
    return f"-s {address}/32 -j MARK --set-xmark {leaving.connection.mark:#x}/0xffffffff"


def _marked(connection: Connection) -> str:
    return f"-m mark --mark {connection.mark:#x}"


def read_firewall(saved: Mapping[str, str]) -> Firewall:
    """Find this project's chains in what `iptables-save -t <table>` printed for each table."""
    return {chain: _read(chain, saved.get(chain.table, "").splitlines()) for chain in CHAINS}


def _read(chain: Chain, lines: list[str]) -> Filled:
    exists = any(line.startswith(f":{chain.name} ") for line in lines)
    found = [match for line in lines if (match := _RULE.fullmatch(line.strip()))]
    rules = tuple(match[2] for match in found if match[1] == chain.name)
    jumps = sum(match[1] == chain.hook and match[2] == f"-j {chain.name}" for match in found)
    return Filled(rules if exists else None, jumps)


def restore_input(now: Firewall, wanted: Firewall) -> str:
    """Write what `iptables-restore --noflush` needs to make the chains as wanted: one transaction a table."""
    lines = []
    for table in TABLES:
        chains = [chain for chain in CHAINS if chain.table == table]
        lines += [f"*{table}", *(line for chain in chains for line in _lines(chain, now[chain], wanted[chain]))]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def _lines(chain: Chain, now: Filled, wanted: Filled) -> list[str]:
    if wanted.rules is None and now.rules is None:
        return []
    lines = [f":{chain.name} - [0:0]", *(f"-A {chain.name} {rule}" for rule in wanted.rules or ())]
    lines += [f"-A {chain.hook} -j {chain.name}"] * (wanted.jumps - now.jumps)
    lines += [f"-D {chain.hook} -j {chain.name}"] * (now.jumps - wanted.jumps)
    return lines if wanted.rules is not None else [*lines, f"-X {chain.name}"]
