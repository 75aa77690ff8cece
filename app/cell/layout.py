"""The table of components: which of the cell's files belong to what, in restore order."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from app.cell.documents import read_document
from app.cell.patterns import check_pattern, matches, may_match_below
from app.errors import Code, InputError

SHIPPED = Path(__file__).with_name("layout.json")
REST = "rest"
REST_FOLDERS = ("config", "data")

Pattern = Annotated[str, AfterValidator(check_pattern)]


@dataclass(frozen=True, slots=True)
class Component:
    """Name one part of the cell's files and the patterns that belong to it."""

    name: str
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Hold the components in restore order, and the patterns of what is no part of any."""

    components: tuple[Component, ...]
    excluded: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Give the names of the components, in restore order."""
        return tuple(component.name for component in self.components)

    def excludes(self, path: str) -> bool:
        """Tell whether the path is left out; a directory's path ends with a slash."""
        return matches(self.excluded, path)

    def component_of(self, path: str) -> str | None:
        """Name the component that takes the path, excluded or not; a directory's path ends with a slash."""
        return next((item.name for item in self.components if matches(item.patterns, path)), None)

    def components_below(self, directory: str) -> list[str]:
        """Name the components that could have something inside the directory, in restore order."""
        found = []
        for component in self.components:
            if may_match_below(component.patterns, directory):
                found.append(component.name)
            if matches(component.patterns, directory + "/"):
                break  # this one takes all that the ones before it left
        return found


class _ComponentModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    patterns: Annotated[tuple[Pattern, ...], Field(min_length=1)]


class _LayoutModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    components: tuple[_ComponentModel, ...]
    excluded: tuple[Pattern, ...] | None = None

    @field_validator("components")
    @classmethod
    def _named_once(cls, components: tuple[_ComponentModel, ...]) -> tuple[_ComponentModel, ...]:
        names = [component.name for component in components]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named more than once: {', '.join(twice)}")
        return components


def load_layout(path: Path | None) -> Layout:
    """Read the operator's table, or the shipped one where `path` is None.

    A table without `excluded` leaves out what the shipped one leaves out; `rest` is always there, and always last.
    Raises InputError INVALID_LAYOUT.
    """
    shipped = _table(SHIPPED)
    table = shipped if path is None else _table(path)
    named = [Component(item.name, item.patterns) for item in table.components if item.name != REST]
    more = [pattern for item in table.components if item.name == REST for pattern in item.patterns]
    rest = Component(REST, tuple(dict.fromkeys((*(f"{folder}/**" for folder in REST_FOLDERS), *more))))
    excluded = shipped.excluded if table.excluded is None else table.excluded
    return Layout((*named, rest), excluded or ())


def _table(path: Path) -> _LayoutModel:
    return read_document(path, _LayoutModel, partial(_invalid, path))


def _invalid(path: Path, why: str) -> InputError:
    return InputError(Code.INVALID_LAYOUT, f"Layout file {path}: {why}.")
