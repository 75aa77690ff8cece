"""The zone files of a cell: which zone each of them describes."""

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from app.cell.documents import printable, reason
from app.cell.generated.values import Domain, is_zone_file
from app.errors import Code, PartError

FOLDER = "data/dns"
_SUFFIXES = (".zone", ".db")
_MAX_BYTES = 4 * 1024 * 1024
_ORIGIN = re.compile(r"^\$ORIGIN[ \t]+([^\s;]+?)\.?[ \t]*(?:;.*)?$", re.MULTILINE | re.IGNORECASE)
_OWNER = re.compile(r"^([^\s;$@][^\s;]*)\.[ \t](?:[^;\n]*[ \t])?SOA[ \t]", re.MULTILINE | re.IGNORECASE)
_SOA = re.compile(r"^[^;\n]*[ \t]SOA[ \t]", re.MULTILINE | re.IGNORECASE)
_DOMAIN = TypeAdapter[str](Domain)


@dataclass(frozen=True, slots=True)
class Zone:
    """Hold a zone and the name of its file in `data/dns`."""

    name: str
    file: str


def read_zones(root: Path, domain: str, warnings: list[str]) -> tuple[Zone, ...]:
    """Find the cell's zones, one file each; the file that is named after its zone wins over a leftover.

    A zone is called what `$ORIGIN` or the owner of the SOA record says, else what its file is called.
    """
    zones: dict[str, Zone] = {}
    for file in _zone_files(root):
        zone = _zone(root, file, warnings)
        if zone is None:
            continue
        other = zones.get(zone.name)
        if other is None:
            zones[zone.name] = zone
            continue
        used, left = sorted((other, zone), key=lambda item: (_stem(item.file) != item.name, item.file))
        zones[zone.name] = used
        warnings.append(f"{FOLDER}/{left.file} is left out: {used.file} describes the zone '{zone.name}' too.")
    if domain not in zones:
        warnings.append(f"{FOLDER} has no zone file for the cell's domain '{domain}'.")
    return tuple(zones[name] for name in sorted(zones))


def _zone_files(root: Path) -> list[str]:
    try:
        names = sorted(item.name for item in (root / FOLDER).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise PartError(Code.FILE_UNREADABLE, f"{FOLDER} cannot be read: {reason(error)}.") from error
    return [name for name in names if name.endswith(_SUFFIXES)]


def _zone(root: Path, file: str, warnings: list[str]) -> Zone | None:
    path = root / FOLDER / file
    where = f"{FOLDER}/{printable(file)}"
    if not is_zone_file(file) or not path.is_file():
        warnings.append(f"{where} is left out: that is no name for a zone file, or no file.")
        return None
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_BYTES).decode(errors="replace")
    except OSError as error:
        warnings.append(f"{where} is left out: {reason(error)}.")
        return None
    told = _ORIGIN.search(text) or _OWNER.search(text)
    try:
        name = _DOMAIN.validate_python(told[1] if told else _stem(file))
    except ValidationError:
        warnings.append(f"{where} is left out: it says for which zone it is in no valid way.")
        return None
    if not _SOA.search(text):
        warnings.append(f"{where} is left out: it has no SOA record.")
        return None
    return Zone(name, file)


def _stem(file: str) -> str:
    return next(file.removesuffix(suffix) for suffix in _SUFFIXES if file.endswith(suffix)).lower()
