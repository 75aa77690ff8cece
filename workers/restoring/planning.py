"""Makes the plan of a restore: what the archive has, what the cell has, what there is room for."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from app.archive.verify import Report
from app.cell.dependencies import empty_variables
from app.cell.identity import read_identity
from app.cell.manifests import read_manifest
from app.cell.restoring.changes import FilePlan, Verb
from app.cell.restoring.plan import plan_files
from app.cell.restoring.staging import Staging
from app.cell.restoring.tree import Sort
from app.cell.services import FOLDER, Service
from app.errors import Code, JobError, PartError
from workers.restoring.components import ComponentChoice, choose_components
from workers.restoring.plan import COMPOSE, ENV, RestorePlan, warnings_of
from workers.restoring.request import RestoreRequest
from workers.restoring.targets import VolumeChoice, choose_volumes
from workers.running import JobRun


async def plan_restore(run: JobRun, request: RestoreRequest, report: Report, staging: Staging) -> RestorePlan:
    """Compare the archive with the cell and its containers.

    Raises JobError NOTHING_TO_RESTORE, SPACE_MISSING, or PLAN_CONFLICT where something is in the way.
    """
    tools, threads = run.tools, run.threads
    components = choose_components(
        report, request, tools.layout.names, staging.found, unplaced=staging.ignored_count > 0
    )
    files = await threads.run(
        plan_files,
        staging,
        chosen=components.names,
        overlay=components.overlay,
        whole=report.header is not None,
        keep_going=threads.keep_going,
    )
    returning = await threads.run(_returning, staging, components)
    volumes = await choose_volumes(tools, threads, report, request, returning)
    empty = await threads.run(_empty_secrets, tools.settings.cell_root, staging, files)
    space = await threads.run(_space, run, request, files, volumes)
    tight = _too_tight(volumes)
    if tight and not request.dry_run:
        raise JobError(Code.SPACE_MISSING, " ".join(tight))
    warnings = (*warnings_of(components, volumes, files, empty), *tight)
    cell = await threads.run(read_identity, tools.settings.cell_root)
    plan = RestorePlan(report, cell, components, files, volumes, empty, warnings, space)
    if plan.empty:
        reasons = [f"{result.part.label}: {result.error.message}" for result in plan.left_out if result.error]
        raise JobError(Code.NOTHING_TO_RESTORE, " ".join(["Nothing could be restored.", *reasons[:3]]))
    return plan


def _returning(staging: Staging, components: ComponentChoice) -> dict[str, Service | None]:
    """Read the manifests among the files that come back, by service; None where one describes no data, or is wrong."""
    found: dict[str, Service | None] = {}
    for path, entry in staging.tree.entries.items():
        manifest = PurePosixPath(path)
        is_one = manifest.name == "manifest.json" and manifest.parent.parent == PurePosixPath(FOLDER)
        if is_one and entry.component in components.names:
            staged = staging.staged_file(path) if entry.sort is Sort.FILE else None
            service_id = manifest.parent.name
            found[service_id] = None if staged is None else _service_in(staged, service_id)
    return found


def _service_in(staged: Path, service_id: str) -> Service | None:
    try:
        return read_manifest(staged, service_id, lambda why: PartError(Code.INVALID_MANIFEST, why))
    except PartError:
        return None


def _empty_secrets(root: Path, staging: Staging, files: FilePlan) -> tuple[str, ...]:
    verbs = {change.path: change.verb for change in files.changes}

    def after(path: str) -> Path | None:
        return root / path if verbs.get(path, Verb.LEAVE) is Verb.LEAVE else staging.staged_file(path)

    return tuple(empty_variables(after(COMPOSE), after(ENV)))


def _space(run: JobRun, request: RestoreRequest, files: FilePlan, volumes: VolumeChoice) -> Mapping[str, Any]:
    """Say how much is needed and free; the safety archive's size is an upper bound, before compression."""
    saved = 0
    if request.safety != "none":
        saved += files.bytes_replaced
    if request.safety == "full":
        saved += sum(target.used or 0 for target in volumes.targets)
    settings = run.tools.settings
    return {
        "cell_needed": files.bytes_needed,
        "cell_free": _free(settings.cell_root),
        "safety_at_most": saved,
        "backups_free": _free(settings.archives_dir),
        "volumes_needed": sum(target.saved.bytes for target in volumes.targets),
    }


def _free(path: Path) -> int | None:
    """Give the free bytes below a path that may not exist yet."""
    for folder in (path, *path.parents):
        try:
            facts = os.statvfs(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return facts.f_bavail * facts.f_frsize
    return None


def _too_tight(volumes: VolumeChoice) -> list[str]:
    """Say which volumes have no room for what comes."""
    said = []
    for target in volumes.targets:
        room = None if target.free is None else target.free + (0 if target.overlay else target.used or 0)
        if room is not None and target.saved.bytes > room:
            size, container = target.saved.bytes, target.volume.container
            said.append(f"{target.part.label} needs {size} bytes in {container}, where {room} are free.")
    return said
