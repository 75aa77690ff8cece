"""What tests of restores share: asking for one, and what of a cell's tree a backup holds."""

from contextlib import AbstractContextManager
from typing import Any

from tests.support.service import Client, Place, running_service
from tests.support.trees import Tree


def service_with_engine(place: Place, docker_host: str) -> AbstractContextManager[Client]:
    """Run the service, without step 8: a real cell's cell-caddy may run on this engine, and is none of a test's."""
    return running_service(place, docker_host=docker_host, regenerate="off")


def restore(service: Client, backup_id: str, **wanted: Any) -> dict[str, Any]:
    """Restore an archive and give the job as it ended."""
    options: dict[str, Any] = {"json": wanted} if wanted else {}
    answer = service.ask("POST", f"/api/config/restore/{backup_id}", expect=202, **options).json()
    assert answer["backup_id"] == backup_id
    return service.wait_for(answer["job_id"])


def saved(tree: Tree) -> Tree:
    """Give the part of a sample cell's tree that a backup holds."""
    return {path: facts for path, facts in tree.items() if not _is_left_out(path)}


def _is_left_out(path: bytes) -> bool:
    parts = path.split(b"/")
    top = parts[0] in {b".", b"api", b"backups"}
    return top or path.endswith(b".log") or bool({b"logs", b"config_backups"} & set(parts))
