"""What a service's manifest says of its volumes: `data/services/<id>/manifest.json`, schema version 3.

Only what a backup needs is read, and checked strictly; all other fields are ignored.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from app.cell.documents import complaints, printable, read_document
from app.errors import PartError

ID_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
CONTAINER_PATTERN = r"^cell-[a-z0-9][a-z0-9-]{0,30}$"


class Quiesce(StrEnum):
    """Say what happens to a container while its volume is read."""

    NONE = "none"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Volume:
    """Describe one directory in one container whose data is backed up; `pre` and `post` are argument lists."""

    service: str
    name: str
    container: str
    path: str
    exclude: tuple[str, ...] = ()
    quiesce: Quiesce = Quiesce.NONE
    pre: tuple[str, ...] = ()
    post: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """Describe an installed service and its volumes."""

    id: str
    name: str
    version: str | None
    volumes: tuple[Volume, ...]


def container_path(path: str) -> str:
    """Give an absolute path without needless slashes and dots; raise ValueError where it is not one, or is `/`."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not path.startswith("/") or ".." in parts or not parts:
        raise ValueError("a path in a container is absolute, without '..', and not '/' itself")
    if not path.isprintable():
        raise ValueError("a path in a container has printable characters only")
    return "/" + "/".join(parts)


def argument(value: str) -> str:
    """Give an argument of a command back; raise ValueError where no command can take it."""
    if "\0" in value:
        raise ValueError("an argument cannot hold a NUL")
    return value


Id = Annotated[str, Field(pattern=ID_PATTERN)]
ContainerName = Annotated[str, Field(pattern=CONTAINER_PATTERN)]
Argument = Annotated[str, AfterValidator(argument)]
Glob = Annotated[Argument, Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _VolumeModel(_Model):
    name: Id | None = None
    container: ContainerName | None = None
    path: Annotated[str, AfterValidator(container_path)]
    exclude: tuple[Glob, ...] = ()
    quiesce: Quiesce = Quiesce.NONE
    pre: tuple[Argument, ...] = ()
    post: tuple[Argument, ...] = ()

    @property
    def known_as(self) -> str:
        return self.name or self.path.rpartition("/")[2]

    @model_validator(mode="after")
    def _has_name(self) -> Self:
        if not re.fullmatch(ID_PATTERN, self.known_as):
            raise ValueError(f"the last part of '{self.path}' is no name for a volume; give it a 'name'")
        return self

    def volume(self, service_id: str, container: str) -> Volume:
        """Make the record that the rest of the service works with."""
        name = self.known_as
        return Volume(service_id, name, container, self.path, self.exclude, self.quiesce, self.pre, self.post)


class _BackupModel(_Model):
    volumes: tuple[_VolumeModel, ...] = ()

    @field_validator("volumes")
    @classmethod
    def _named_once(cls, volumes: tuple[_VolumeModel, ...]) -> tuple[_VolumeModel, ...]:
        names = [volume.known_as for volume in volumes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"more than one is called {', '.join(twice)}; give each a 'name'")
        return volumes


class _CapabilitiesModel(_Model):
    has_storage: bool | None = None


class _HeadModel(_Model):
    capabilities: _CapabilitiesModel = _CapabilitiesModel()
    backup: Any = None

    @property
    def has_storage(self) -> bool:
        """Tell whether there is data to save: as the capabilities say, else where volumes are named all the same."""
        if self.capabilities.has_storage is None:
            return isinstance(self.backup, dict) and bool(self.backup.get("volumes"))
        return self.capabilities.has_storage


class _ManifestModel(_Model):
    id: Id
    name: str | None = None
    version: str | int | float | None = None
    container_name: ContainerName | None = None
    backup: _BackupModel | None = None

    def volumes(self) -> tuple[Volume, ...]:
        """Make the volumes; raise ValueError where nothing says which container one of them is in."""
        volumes = []
        for index, model in enumerate(self.backup.volumes if self.backup else ()):
            container = model.container or self.container_name
            if container is None:
                raise ValueError(f"backup.volumes[{index}]: has no 'container', and the manifest no 'container_name'")
            volumes.append(model.volume(self.id, container))
        return tuple(volumes)


class _LabelledModel(_VolumeModel):
    service: Id
    container: ContainerName


def read_manifest(path: Path, service_id: str, refuse: Callable[[str], PartError]) -> Service | None:
    """Read the manifest of a service with storage; None where it has none, and so nothing to save.

    A service with storage whose manifest names no volume comes back without volumes. Raises what `refuse` makes of
    the reason why a manifest cannot be used.
    """
    if not read_document(path, _HeadModel, refuse).has_storage:
        return None
    manifest = read_document(path, _ManifestModel, refuse)
    if manifest.id != service_id:
        raise refuse(f"id: is '{manifest.id}', but its folder is '{printable(service_id)}'")
    try:
        volumes = manifest.volumes()
    except ValueError as error:
        raise refuse(str(error)) from None
    version = None if manifest.version is None else printable(str(manifest.version))
    return Service(manifest.id, printable(manifest.name or manifest.id), version, volumes)


def labelled_volume(service_id: str, container: str, path: str, refuse: Callable[[str], PartError]) -> Volume:
    """Make a volume of what a container's labels say, under the rules of a manifest."""
    try:
        model = _LabelledModel.model_validate({"service": service_id, "container": container, "path": path})
    except ValidationError as error:
        raise refuse(complaints(error)) from None
    return model.volume(model.service, model.container)
