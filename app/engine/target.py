"""What of a container decides how one of its volumes can be written."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Mounts that outlive the process in the container, and that other containers can share.
_LASTING = frozenset({"bind", "volume"})


@dataclass(frozen=True, slots=True)
class Target:
    """Describe a container to write to.

    `mounts` says of each mount point whether a helper can share it; nothing is written to those that are `read_only`.
    """

    name: str
    runs: bool
    image: str
    userns: str
    mounts: Mapping[str, bool]
    read_only: frozenset[str] = frozenset()

    @classmethod
    def of(cls, name: str, answer: Mapping[str, Any]) -> "Target":
        """Take what matters out of the engine's description of a container."""
        host = answer["HostConfig"]
        mounts = {posixpath.normpath(one["Destination"]): one["Type"] in _LASTING for one in answer["Mounts"]}
        mounts |= {posixpath.normpath(path): False for path in host.get("Tmpfs") or {}}
        return cls(
            name,
            answer["State"]["Status"] == "running",
            image=str(answer["Image"]),
            userns=str(host.get("UsernsMode", "")),
            mounts=mounts,
            read_only=frozenset(
                posixpath.normpath(one["Destination"]) for one in answer["Mounts"] if not one.get("RW", True)
            ),
        )

    def mount_of(self, path: str) -> str | None:
        """Give the mount point that holds the path; None for the container's own layer."""
        return max((point for point in self.mounts if _within(path, point)), key=len, default=None)

    def shares(self, path: str) -> bool:
        """Say whether a helper that shares the mounts sees the path too."""
        point = self.mount_of(path)
        return point is not None and self.mounts[point]

    def is_fleeting(self, path: str) -> bool:
        """Say whether the path lies on a tmpfs, which only processes in the running container see."""
        point = self.mount_of(path)
        return point is not None and not self.mounts[point]

    def mounts_below(self, path: str) -> list[str]:
        """Give the mount points below the path."""
        return [point for point in self.mounts if point != path and _within(point, path)]


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
