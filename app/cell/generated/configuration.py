"""What step 8 takes from `config/api/cell_config.json`, and how its other JSON documents are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from app.cell.documents import complaints, printable, read_document
from app.cell.generated.values import Domain, Network
from app.cell.identity import CONFIG
from app.errors import Code, PartError

DEFAULT_RANGE = "172.20.0.0/16"

Model = TypeVar("Model", bound=BaseModel)


class DomainMode(StrEnum):
    """Name where the cell's domain comes from, and with it where certificates do."""

    LAN = "lan"
    PIC_NGO = "pic_ngo"
    CLOUDFLARE = "cloudflare"
    DUCKDNS = "duckdns"
    HTTP01 = "http01"


class Checked(BaseModel):
    """Take what is known, strictly, and ignore every other key."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _ConfigModel(Checked):
    domain: Domain | None = None
    domain_name: Domain | None = None
    domain_mode: str | None = None
    ip_range: Network | None = None
    egress_overrides: Any = None
    connections: Any = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Hold what the cell's configuration says; connections and overrides as they stand there, not yet checked."""

    domain: str
    mode: DomainMode
    ip_range: str
    overrides: Mapping[str, Any]
    connections: tuple[Any, ...]
    warnings: tuple[str, ...]


def read_configuration(root: Path) -> Configuration:
    """Read the cell's configuration; PartError FILE_UNREADABLE where it cannot be read or names no domain.

    At home (`lan`) the cell is known by `domain`, in public by `domain_name`; where one is missing the other stands in.
    An unknown mode is taken for `lan`: that asks nobody outside for certificates.
    """
    model = read_document(root / CONFIG, _ConfigModel, lambda why: _unusable(CONFIG, why))
    warnings = []
    mode = next((mode for mode in DomainMode if mode == model.domain_mode), None)
    if mode is None:
        warnings.append(f"{CONFIG} has no known 'domain_mode'; taken for 'lan'.")
        mode = DomainMode.LAN
    names = (model.domain, model.domain_name)
    domain = next(filter(None, names if mode is DomainMode.LAN else reversed(names)), None)
    if domain is None:
        raise _unusable(CONFIG, "it names no domain")
    overrides = {} if model.egress_overrides is None else model.egress_overrides
    connections = [] if model.connections is None else model.connections
    if not isinstance(overrides, dict) or not isinstance(connections, list):
        raise _unusable(CONFIG, "'connections' is no list, or 'egress_overrides' no object")
    return Configuration(domain, mode, model.ip_range or DEFAULT_RANGE, overrides, tuple(connections), tuple(warnings))


def read_entries(root: Path, relative: str, key: str) -> list[Any]:
    """Read a document that is a list, or an object with the list under a key; empty where the file is not there."""
    if not (root / relative).exists():
        return []
    found = read_document(root / relative, RootModel[Any], lambda why: _unusable(relative, why)).root
    entries = found.get(key) if isinstance(found, dict) else found
    if not isinstance(entries, list):
        raise _unusable(relative, f"it is neither a list nor an object with '{key}'")
    return entries


def checked(model: type[Model], value: Any, where: str, warnings: list[str]) -> Model | None:
    """Check one entry; where it doesn't fit, add a warning that says why and give None."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        warnings.append(f"{printable(where)} is left out: {complaints(error)}.")
        return None


def _unusable(where: str, why: str) -> PartError:
    hint = f"Correct {where}, then run 'cell-backup regenerate'."
    return PartError(Code.FILE_UNREADABLE, f"{where} cannot be used: {why}.", hint=hint)
