"""What the Corefile is made of: the cell's zones, linked cells' domains, and who is asked for everything else."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import AliasChoices, Field

from app.cell.generated.blocks import parse_blocks
from app.cell.generated.configuration import Checked, Configuration, checked, read_entries
from app.cell.generated.values import AnyAddress, Domain, Name, any_address
from app.cell.generated.zones import Zone, read_zones

FILE = "config/dns/Corefile"
LINKS = "data/cell_links.json"
DEFAULT_UPSTREAMS = ("9.9.9.9", "149.112.112.112")


@dataclass(frozen=True, slots=True)
class Forward:
    """Hold a linked cell's domain and the address of its name server."""

    link: str
    domain: str
    address: str


@dataclass(frozen=True, slots=True)
class Names:
    """Hold what the Corefile says."""

    zones: tuple[Zone, ...]
    forwards: tuple[Forward, ...]
    warnings: tuple[str, ...]


class _LinkModel(Checked):
    name: Name
    domain: Domain
    address: AnyAddress = Field(validation_alias=AliasChoices("dns_ip", "address"))


def read_names(root: Path, configuration: Configuration) -> Names:
    """Gather what the Corefile says; PartError where the links cannot be read, a warning where one link cannot."""
    warnings: list[str] = []
    zones = read_zones(root, configuration.domain, warnings)
    taken = {zone.name: f"the zone file {zone.file}" for zone in zones}
    forwards = []
    for number, entry in enumerate(read_entries(root, LINKS, "links"), start=1):
        where = f"{LINKS}, link {number}"
        link = checked(_LinkModel, entry, where, warnings)
        if link is None:
            continue
        if link.domain in taken:
            warnings.append(f"{where} is left out: {taken[link.domain]} has the domain '{link.domain}' already.")
            continue
        taken[link.domain] = f"the link '{link.name}'"
        forwards.append(Forward(link.name, link.domain, link.address))
    forwards.sort(key=lambda forward: forward.domain)
    return Names(zones, tuple(forwards), tuple(warnings))


def upstreams(root: Path) -> tuple[str, ...]:
    """Give the name servers that the present Corefile asks: whom to ask is the operator's choice, and stays it."""
    try:
        blocks = parse_blocks((root / FILE).read_text())
        words = [line.words for block in blocks if block.words in {(".",), (".:53",)} for line in block.lines]
        asked = next(words[2:] for words in words if words[:2] == ("forward", "."))
        return tuple(any_address(word) for word in asked) or DEFAULT_UPSTREAMS
    except (OSError, ValueError, StopIteration):
        return DEFAULT_UPSTREAMS
