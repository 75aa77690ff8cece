"""What a restore would do to the cell's files: found by comparing what is staged with what is there."""

from collections.abc import Callable, Collection, Iterator
from functools import partial

from app.cell.restoring.attributes import Attributes
from app.cell.restoring.changes import Change, Contents, FilePlan, Verb
from app.cell.restoring.comparing import Comparison
from app.cell.restoring.linked import same_links
from app.cell.restoring.operations import Action, Operation
from app.cell.restoring.present import Now, Present
from app.cell.restoring.staging import Staging
from app.cell.restoring.stale import Stale
from app.cell.restoring.tree import Sort, Staged

__all__ = ["FilePlan", "plan_files"]

_SHOWN_IGNORED = 5


def plan_files(
    staging: Staging,
    *,
    chosen: Collection[str],
    overlay: Collection[str] = (),
    whole: bool = True,
    keep_going: Callable[[], None] = lambda: None,
) -> FilePlan:
    """Compare what is staged with the cell, for the chosen components; nothing changes.

    Those that are not in `overlay` become equal to the archive: what it lacks is removed, so they must be components
    that it has as a whole. `whole` is false for an archive without a header, as a cell's own `make backup` writes it:
    there only what lies in folders that are members of it is removed, and times may be whole seconds.
    Raises JobError PLAN_CONFLICT, naming it, where something is in the way that must not be touched.
    """
    return _Planner(staging, chosen, overlay, whole=whole, keep_going=keep_going).run()


class _Planner:
    def __init__(
        self,
        staging: Staging,
        chosen: Collection[str],
        overlay: Collection[str],
        *,
        whole: bool,
        keep_going: Callable[[], None],
    ) -> None:
        layout, workspace = staging.layout, staging.workspace
        self._staging = staging
        self._names = layout.names
        self._chosen = {name: rank for rank, name in enumerate(layout.names) if name in chosen}
        self._removing = {name: rank for name, rank in self._chosen.items() if name not in overlay}
        self._whole = whole
        self._keep_going = keep_going
        self._boundaries = workspace.boundaries
        self._present = Present(
            workspace.root, layout, self._boundaries, chosen=self._chosen, leave_out=staging.leave_out
        )
        tree = staging.tree
        self._same = Comparison(workspace.root, owners=tree.owners_kept, exact_times=whole, keep_going=keep_going).same
        self._wanted = {path: item for path, item in tree.entries.items() if item.component in self._chosen}
        self._changes: list[Change] = []
        self._coming: list[tuple[int, str, Operation]] = []
        self._going: list[tuple[int, str, Operation]] = []
        self._folders: dict[str, Attributes] = {}
        self._left_folders: set[str] = set()

    def run(self) -> FilePlan:
        needed = self._needed()
        stale = Stale(self._present, self._staging.tree, needed, self._removing, whole=self._whole)
        for path in sorted(needed):
            self._plan_folder(path, needed[path])
        files = {path: item for path, item in self._wanted.items() if item.sort is not Sort.FOLDER}
        left = self._left(files)
        for path in sorted(files):
            self._plan_file(files[path], stale, is_left=path in left)
        self._plan_removals(stale, files)
        return FilePlan(
            chosen=tuple(self._chosen),
            changes=tuple(sorted(self._changes, key=lambda change: (self._chosen_rank(change), change.path))),
            contents=self._contents(files.values()),
            steps=tuple(self._in_order()),
            folders=self._folders_to_set(),
            warnings=tuple(self._warnings()),
        )

    def _needed(self) -> dict[str, int]:
        """Give every folder that must be there, and the first component's rank that needs it."""
        needed: dict[str, int] = {}
        for path, item in self._wanted.items():
            rank = self._chosen[item.component or ""]
            folder = path if item.sort is Sort.FOLDER else path.rpartition("/")[0]
            while folder and needed.get(folder, rank + 1) > rank:
                needed[folder] = rank
                folder = folder.rpartition("/")[0]
        return needed

    def _plan_folder(self, path: str, rank: int) -> None:
        wanted = self._staging.tree.entries.get(path)
        mine = self._wanted.get(path)
        now = self._present.now(path)
        component = self._names[rank] if mine is None else mine.component or ""
        if now is not None and now.sort is Sort.FOLDER:
            if mine is not None:
                self._folders[path] = mine.attributes
                is_same = self._same(mine, now.status)
                self._left_folders |= {path} if is_same else set()
                self._changes.append(Change(Verb.LEAVE if is_same else Verb.REPLACE, path, component, Sort.FOLDER))
            return
        if now is not None:
            self._present.check_no_detour(path, now)
            self._present.check_movable(path, now)
            self._go(Action.SET_ASIDE, path, rank)
        self._folders[path] = self._plain() if wanted is None else wanted.attributes
        self._coming.append((rank, path, Operation(Action.MAKE_FOLDER, path, self._names[rank])))
        verb = Verb.CREATE if now is None else Verb.REPLACE
        self._changes.append(Change(verb, path, component, Sort.FOLDER, size_now=_size(now)))

    def _plan_file(self, staged: Staged, stale: Stale, *, is_left: bool) -> None:
        path, component = staged.path, staged.component or ""
        now = self._present.now(path)
        rank = self._chosen[component]
        change = partial(Change, path=path, component=component, sort=staged.sort, size=staged.size)
        if is_left:
            self._changes.append(change(Verb.LEAVE, size_now=_size(now)))
            return
        if now is not None and now.sort is Sort.FOLDER:
            stale.make_room(path, rank)
        elif now is not None:
            self._present.check_movable(path, now)
        step = Operation(Action.PUT, path, component, staged.place, staged.number)
        self._coming.append((rank, path, step))
        self._changes.append(change(Verb.CREATE if now is None else Verb.REPLACE, size_now=_size(now)))

    def _contents(self, files: Collection[Staged]) -> dict[str, Contents]:
        """Count what each component has, as the manifest does: no link, no second name, no damaged file."""
        contents = dict.fromkeys(self._chosen, Contents())
        for item in files:
            if item.sort is Sort.FILE and not item.is_second_name:
                component = item.component or ""
                count, size = contents[component]
                contents[component] = Contents(count + (item.digest is not None), size + item.size)
        return contents

    def _left(self, files: dict[str, Staged]) -> set[str]:
        """Give the files that are in the cell as they are in the archive."""
        same = set()
        for path, staged in files.items():
            self._keep_going()
            now = self._present.entries.get(path)
            if now is not None and self._same(staged, now.status):
                same.add(path)
        return same_links(same, files, self._present.entries)

    def _plan_removals(self, stale: Stale, files: dict[str, Staged]) -> None:
        for path, rank in stale.ranks.items():
            now = self._present.entries[path]
            is_folder = now.sort is Sort.FOLDER
            self._go(Action.REMOVE_FOLDER if is_folder else Action.SET_ASIDE, path, rank)
            if path not in files:
                component, sort = now.owner or "", now.sort or Sort.FILE
                self._changes.append(Change(Verb.REMOVE, path, component, sort, size_now=_size(now)))

    def _go(self, action: Action, path: str, rank: int) -> None:
        place = self._boundaries.place_of(path.rpartition("/")[0])
        number = self._staging.next_number()
        self._going.append((rank, path, Operation(action, path, self._names[rank], place, number)))

    def _in_order(self) -> Iterator[Operation]:
        """Give the steps, component by component: first what goes, children first, then what comes, parents first."""
        going, coming = sorted(self._going, key=_by_path, reverse=True), sorted(self._coming, key=_by_path)
        for rank in range(len(self._names)):
            yield from (step for at, _, step in going if at == rank)
            yield from (step for at, _, step in coming if at == rank)

    def _folders_to_set(self) -> dict[str, Attributes]:
        """Give the folders that are not as they are to be, or will not be any more once the steps are done."""
        touched = {path.rpartition("/")[0] for _, path, _ in (*self._going, *self._coming)}
        return {
            path: attributes
            for path, attributes in self._folders.items()
            if path not in self._left_folders or path in touched
        }

    def _chosen_rank(self, change: Change) -> int:
        return self._names.index(change.component)

    def _plain(self) -> Attributes:
        """Describe a folder that the archive has no member for: like the cell root, readable, time left open."""
        root = self._staging.workspace.root.stat()
        return Attributes(0o755, root.st_uid, root.st_gid, None, {})

    def _warnings(self) -> Iterator[str]:
        yield from self._staging.warnings
        if count := self._staging.ignored_count:
            names = ", ".join(self._staging.ignored[:_SHOWN_IGNORED]) + (", …" if count > _SHOWN_IGNORED else "")
            yield f"{count} members of the archive are no part of this cell's layout and are left out: {names}."


def _by_path(item: tuple[int, str, Operation]) -> str:
    return item[1]


def _size(now: Now | None) -> int:
    return now.status.st_size if now is not None and now.sort is Sort.FILE else 0
