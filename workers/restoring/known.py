"""What this cell knows of the places that volumes go to; an archive's own word is not enough to empty one."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.cell.services import PREFIX, Service, Services, Volume


@dataclass(frozen=True, slots=True)
class Known:
    """Hold the services that are installed or come back, their volumes here, and which service has which container."""

    services: frozenset[str]
    volumes: frozenset[tuple[str, str]]
    owners: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, installed: Services, returning: Mapping[str, Service | None]) -> "Known":
        """Know what is installed, and what comes back: by id, None where a manifest describes no data."""
        here = [volume for service in installed.found for volume in service.volumes]
        coming = [volume for service in returning.values() if service is not None for volume in service.volumes]
        ids = frozenset({*installed.known, *returning})
        pairs = {(volume.container, volume.service) for volume in (*here, *coming)}
        pairs |= {(f"{PREFIX}{service}", service) for service in ids}
        names = {container for container, _ in pairs}
        owners = {name: frozenset(service for container, service in pairs if container == name) for name in names}
        return cls(ids, frozenset((volume.service, volume.name) for volume in here), owners)

    def has_place(self, volume: Volume) -> bool:
        """Tell whether a volume may go where it is said to: to a container of its service.

        One that is known here by its name may go to a container of no service too: the service's own may have been
        called so before.
        """
        owners = self.owners.get(volume.container)
        if owners is None:
            return (volume.service, volume.name) in self.volumes
        return volume.service in owners
