"""Who the cell is: the name and domain that an archive's header tells."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.cell.documents import printable, read_document
from app.errors import Code, PartError

CONFIG = "config/api/cell_config.json"

Name = Annotated[str, Field(min_length=1, max_length=253)]


@dataclass(frozen=True, slots=True)
class Identity:
    """Hold what is known of the cell, and warnings about what is not."""

    cell_name: str | None = None
    domain: str | None = None
    warnings: tuple[str, ...] = ()


class _ConfigModel(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    cell_name: Name | None = None
    domain: Name | None = None
    domain_name: Name | None = None


def read_identity(root: Path) -> Identity:
    """Read name and domain (`domain`, else `domain_name`) from the cell's configuration; never raises.

    A backup is worth as much without them, so a missing or broken file is a warning.
    """
    try:
        config = read_document(root / CONFIG, _ConfigModel, _unreadable)
    except PartError as error:
        return Identity(warnings=(error.message,))
    cell_name = _clean(config.cell_name)
    domain = _clean(config.domain or config.domain_name)
    missing = [key for key, value in {"cell_name": cell_name, "domain": domain}.items() if value is None]
    return Identity(cell_name, domain, tuple(f"{CONFIG} has no '{key}'." for key in missing))


def _clean(value: str | None) -> str | None:
    return None if value is None else printable(value)


def _unreadable(why: str) -> PartError:
    return PartError(Code.FILE_UNREADABLE, f"{CONFIG} does not say who this cell is: {why}.")
