import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from app.cell.restoring.plan import plan_files
from app.cell.restoring.swap import Swap
from app.errors import Code, JobError
from tests.support.trees import describe, differences
from tests.unit.cell.restoring.support import LAYOUT, cell_part, changed, plan, restore, save, staged

NAMES = ["vault", "auth", "auth.json", "services", "logs", "x.log", "wireguard", "a", "a b", "\udcff"]
KINDS = ["file", "other file", "folder", "symlink", "hard link"]
Node = tuple[str, list[str], str, int]

nodes = st.lists(
    st.tuples(
        st.sampled_from(["config", "data"]),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
        st.sampled_from(KINDS),
        st.integers(0, 2),
    ),
    max_size=10,
)


def grow(root: Path, wanted: list[Node]) -> None:
    """Make what can be made of a list of paths; owners, modes and times vary with a small number."""
    first: Path | None = None
    for top in ("config", "data"):
        (root / top).mkdir(parents=True)
    for top, parts, kind, number in wanted:
        path = root.joinpath(top, *parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "folder":
                path.mkdir()
            elif kind == "symlink":
                path.symlink_to("a")
            elif kind == "hard link" and first is not None:
                os.link(first, path)
            else:
                path.write_text(f"{kind} {number}")
                first = first or path
        except OSError:
            continue  # something else stands there, or above it
        if kind != "symlink":
            path.chmod(0o700 + number)
    for path in (root, *root.rglob("*")):
        os.utime(path, ns=(0, 1_700_000_000_000_000_000 + len(path.name)), follow_symlinks=False)


@settings(max_examples=60, deadline=None)
@given(nodes, nodes)
def test_any_cell_becomes_any_other_or_stays_as_it_is(now: list[Node], then: list[Node]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root, other = Path(name, "now"), Path(name, "then")
        grow(root, now)
        grow(other, then)
        archive, before = save(other), describe(root)
        try:
            there_and_back(root, archive)
        except JobError as error:
            if error.code is not Code.PLAN_CONFLICT:
                raise
            assert differences(before, describe(root)) == []
            return
        assert differences(before, describe(root)) == []

        restore(root, archive)

        wanted, got = cell_part(other), cell_part(root)
        staying = {path for path in got.keys() - wanted.keys() if holds_what_is_excluded(root, path)}
        assert differences(wanted, {path: facts for path, facts in got.items() if path not in staying}) == []
        assert changed(plan(root, archive)) == {}


def there_and_back(root: Path, archive: bytes) -> None:
    with staged(root, archive) as staging:
        swap = Swap(staging.workspace, plan_files(staging, chosen=LAYOUT.names))
        swap.prepare()
        for component in LAYOUT.names:
            swap.apply(component)
        swap.finish_folders()
        swap.roll_back()


def holds_what_is_excluded(root: Path, folder: bytes) -> bool:
    below = Path(root, os.fsdecode(folder)).rglob("*")
    return any(path.name == "logs" or path.suffix == ".log" for path in below)
