"""The services of a cell and the volumes they keep their data in: from manifests, and from labels on containers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from app.cell.documents import printable, reason
from app.cell.manifests import Quiesce, Service, Volume, labelled_volume, read_manifest
from app.errors import Code, PartError

__all__ = ["Quiesce", "Service", "ServiceFault", "Services", "Volume", "find_services"]

FOLDER = "data/services"
VOLUMES_LABEL = "cell-backup.volumes"
SERVICE_LABEL = "cell-backup.service"
PREFIX = "cell-"


@dataclass(frozen=True, slots=True)
class ServiceFault:
    """Say why a service, or a part of it, cannot be backed up; the rest of the cell can."""

    service_id: str
    error: PartError


@dataclass(frozen=True, slots=True)
class Services:
    """Hold what was found, by id; a service may be in both lists where a part of its description is wrong."""

    found: tuple[Service, ...]
    faults: tuple[ServiceFault, ...]

    @property
    def known(self) -> tuple[str, ...]:
        """Give the id of everything that may be asked for."""
        return tuple(sorted({item.id for item in self.found} | {fault.service_id for fault in self.faults}))


def find_services(root: Path, labels: Mapping[str, Mapping[str, str]]) -> Services:
    """Find every service with data of its own; `labels` holds the labels of each container by its name.

    A volume that a manifest describes is taken as described there, whatever labels say. Never raises: what is wrong
    with one service is its fault. A service with storage that has volumes from nowhere is a fault too, because its
    data would be missed.
    """
    services, faults = _from_manifests(root)
    described = {(volume.container, volume.path) for item in services.values() for volume in item.volumes}
    for container in sorted(labels):
        for volume in _labelled(container, labels[container], faults):
            if (volume.container, volume.path) not in described:
                _add(services, volume, faults)
    for service_id in [item.id for item in services.values() if not item.volumes]:
        del services[service_id]
        why = "the service has storage, but 'backup.volumes' names no volume, so that its data is not saved"
        faults.append(ServiceFault(service_id, _invalid(_manifest_of(service_id), why)))
    found = tuple(services[service_id] for service_id in sorted(services))
    return Services(found, tuple(sorted(faults, key=lambda fault: fault.service_id)))


def _from_manifests(root: Path) -> tuple[dict[str, Service], list[ServiceFault]]:
    services: dict[str, Service] = {}
    faults: list[ServiceFault] = []
    try:
        names = sorted(item.name for item in (root / FOLDER).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return services, faults
    except OSError as error:
        message = f"{FOLDER} cannot be read, so that no service is known: {reason(error)}."
        return services, [ServiceFault("services", PartError(Code.FILE_UNREADABLE, message))]
    for name in names:
        if not _is_there(root / _manifest_of(name)):
            continue
        try:
            service = read_manifest(root / _manifest_of(name), name, partial(_invalid, _manifest_of(name)))
        except PartError as error:
            faults.append(ServiceFault(printable(name), error))
        else:
            services |= {} if service is None else {service.id: service}
    return services, faults


def _manifest_of(service_id: str) -> str:
    return f"{FOLDER}/{service_id}/manifest.json"


def _is_there(manifest: Path) -> bool:
    try:
        manifest.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # reading it will say what is wrong
    return True


def _labelled(container: str, labels: Mapping[str, str], faults: list[ServiceFault]) -> list[Volume]:
    service_id = labels.get(SERVICE_LABEL) or container.removeprefix(PREFIX)
    paths = [path.strip() for path in labels.get(VOLUMES_LABEL, "").split(",")]
    volumes: dict[str, Volume] = {}
    for path in filter(None, paths):
        try:
            volume = labelled_volume(service_id, container, path, partial(_mislabelled, container))
        except PartError as error:
            faults.append(ServiceFault(printable(service_id), error))
        else:
            volumes[volume.path] = volume
    return list(volumes.values())


def _add(services: dict[str, Service], volume: Volume, faults: list[ServiceFault]) -> None:
    service = services.get(volume.service) or Service(volume.service, volume.service, None, ())
    if volume.name in {other.name for other in service.volumes}:
        why = (
            f"service '{service.id}' has another volume called '{volume.name}'; describe {volume.path} in its manifest"
        )
        faults.append(ServiceFault(service.id, _mislabelled(volume.container, why)))
        return
    services[service.id] = replace(service, volumes=(*service.volumes, volume))


def _invalid(where: str, why: str) -> PartError:
    return PartError(Code.INVALID_MANIFEST, f"{printable(where)}: {why}.")


def _mislabelled(container: str, why: str) -> PartError:
    hint = f"Correct the label {VOLUMES_LABEL}, or describe the volume in {FOLDER}/<id>/manifest.json."
    return PartError(Code.INVALID_MANIFEST, f"Labels of {printable(container)}: {why}.", hint=hint)
