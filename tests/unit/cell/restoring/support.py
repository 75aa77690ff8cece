"""What the tests of restoring share: archives of a cell, and the whole way from one to a cell's files."""

import io
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from app.archive.compress import GzipSink
from app.archive.manifest import Header, Manifest
from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.archive.verify import verify
from app.archive.writer import archive_writer
from app.cell.files import take_inventory
from app.cell.layout import Layout, load_layout
from app.cell.restoring.changes import FilePlan, Verb
from app.cell.restoring.journal import Note, not_listening
from app.cell.restoring.plan import plan_files
from app.cell.restoring.staging import Staging
from app.cell.restoring.swap import Swap
from app.cell.restoring.workspace import Workspace, open_workspace
from tests.support.trees import Tree, describe

LAYOUT = load_layout(None)
NOW = datetime(2026, 11, 5, 2, 0, 0, tzinfo=UTC)
BACKUP_ID = "backup-20261105-020000-abcdef"


def save(root: Path, *, chosen: Collection[str] | None = None) -> bytes:
    """Make an archive of a cell's files, as a backup does."""
    inventory = take_inventory(root, LAYOUT, chosen=chosen, leave_out=[root / "backups"])
    parts = tuple(Part(PartKind.COMPONENT, item.name) for item in inventory.components)
    out = io.BytesIO()
    with archive_writer(lambda data: void(out.write(data)), root, lock=None, gzip_level=1) as writer:
        writer.begin(Header(BACKUP_ID, NOW, "home", "cell.example", "1.0", parts))
        members = writer.files(root)
        for item in inventory.components:
            for entry in item.entries:
                members.add(entry)
        results = tuple(PartResult(part, PartOutcome.SUCCEEDED) for part in parts)
        writer.finish(Manifest(BACKUP_ID, NOW, "succeeded", results))
    return out.getvalue()


def void(_: object) -> None:
    """Forget how much a file took."""


def zipped(tar: bytes) -> bytes:
    """Compress a tar stream of its own kind."""
    out = io.BytesIO()
    gzip = GzipSink(lambda data: void(out.write(data)), 1)
    gzip.write(tar)
    gzip.finish()
    return out.getvalue()


@contextmanager
def staged(
    root: Path,
    archive: bytes,
    *,
    layout: Layout = LAYOUT,
    leave_out: Collection[Path] = (),
    on_note: Callable[[Note], None] = not_listening,
) -> Iterator[Staging]:
    """Have the cell's files of an archive staged beside a cell."""
    with open_workspace(root, job_id="job", backup_id=BACKUP_ID, on_note=on_note) as workspace:
        staging = Staging(workspace, layout, leave_out=[root / "backups", *leave_out])
        verify(io.BytesIO(archive), data_key=None, receiver=staging, may_be_setuid=lambda _: True)
        yield staging


def plan(
    root: Path, archive: bytes, *, chosen: Collection[str] = LAYOUT.names, overlay: Collection[str] = ()
) -> FilePlan:
    """Say what a restore would do."""
    with staged(root, archive) as staging:
        return plan_files(staging, chosen=chosen, overlay=overlay)


def swap_in(workspace: Workspace, todo: FilePlan) -> None:
    """Carry out a plan to its end."""
    swap = Swap(workspace, todo)
    swap.prepare()
    for name in todo.chosen:
        swap.apply(name)
    swap.finish_folders()
    swap.commit()


def restore(
    root: Path,
    archive: bytes,
    *,
    chosen: Collection[str] = LAYOUT.names,
    overlay: Collection[str] = (),
    whole: bool = True,
    on_note: Callable[[Note], None] = not_listening,
) -> FilePlan:
    """Restore the cell's files, as a restore does."""
    with staged(root, archive, on_note=on_note) as staging:
        made = plan_files(staging, chosen=chosen, overlay=overlay, whole=whole)
        swap_in(staging.workspace, made)
        return made


def changed(todo: FilePlan) -> dict[str, str]:
    """Give what changes, by path."""
    return {change.path: change.verb.value for change in todo.changes if change.verb is not Verb.LEAVE}


def cell_part(root: Path) -> Tree:
    """Describe what the components of a cell have, without the names that a file has elsewhere."""
    tree = describe(root)
    inventory = take_inventory(root, LAYOUT, leave_out=[root / "backups"])
    paths = {os.fsencode(entry.path) for item in inventory.components for entry in item.entries}
    return {
        path: replace(facts, names=tuple(name for name in facts.names if name in paths))
        for path, facts in tree.items()
        if path in paths
    }
