"""What arrives in real containers: every kind of container, everything a file system can hold, equal and overlaid."""

import os
from pathlib import Path

import pytest

from app.archive.dialects import Dialect
from app.engine.base import Way
from app.errors import Code, PartError
from tests.engine.lab import Lab, quiesce
from tests.engine.reading import read_all
from tests.engine.writing import GNU_FLAGS, NOT_FLUSHED, PAX_FLAGS, files_below, packed, tar_of, write_all
from tests.support.trees import EVERYTHING, PLAIN, Wanted, build, describe, differences

pytestmark = pytest.mark.engine

NO_UPWARD_LINKS = Wanted(long_links=False, large_owners=True, sparse=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    source.chmod(0o2751)
    return source


@pytest.mark.parametrize(("kind", "way"), [("gnu", Way.EXEC), ("stopped", Way.HELPER), ("paused", Way.HELPER)])
async def test_gnu_tar_writes_everything_that_a_container_may_write(
    kind: str, way: Way, source: Path, lab: Lab
) -> None:
    build(source, EVERYTHING)
    with lab.made(kind) as container:
        (container.volume / "old").touch()
        written = await write_all(lab.engine, container.name, tar_of(source, PAX_FLAGS))
        found = differences(describe(source), describe(container.volume))
    assert (written.way, written.dialect, written.loses) == (way, Dialect.PAX, None)
    # Attributes of the name space `trusted` are the host's; no container may set them, and tar says so.
    assert all("trusted." in line for line in found)
    assert len(found) == len(written.end.warnings)
    assert all("trusted." in words for words in written.end.warnings)


async def test_busybox_writes_all_but_what_it_says_it_loses(source: Path, lab: Lab) -> None:
    build(source, PLAIN)
    with lab.made("busybox") as container:
        (container.volume / "old").touch()
        written = await write_all(lab.engine, container.name, tar_of(source, GNU_FLAGS))
        before, after = describe(source), describe(container.volume)
    assert (written.way, written.dialect, written.end.warnings) == (Way.EXEC, Dialect.GNU, ())
    assert written.loses is not None
    assert "times of directories, owners and times of symbolic links" in written.loses
    links = {name for name, facts in before.items() if facts.target}
    folders = {name for name, facts in before.items() if (source / os.fsdecode(name)).is_dir()} - links
    lost = {f"{name!r}: {fact} was" for name in links for fact in ("mtime", "uid", "gid")}
    lost |= {f"{name!r}: mtime was" for name in folders}
    assert [line for line in differences(before, after) if line.partition(" was ")[0] + " was" not in lost] == []


async def test_the_archive_endpoint_writes_all_but_what_it_says_it_loses(source: Path, lab: Lab) -> None:
    build(source, NO_UPWARD_LINKS)
    remove_upward_links(source)
    with lab.made("bare") as container:
        written = await write_all(lab.engine, container.name, tar_of(source, PAX_FLAGS))
        found = differences(describe(source), describe(container.volume))
    assert (written.way, written.dialect, written.end.warnings) == (Way.ARCHIVE, Dialect.GO, (NOT_FLUSHED,))
    assert written.loses is not None
    assert "ACLs, attributes without a value, holes and times before 1970" in written.loses
    lost = ("b'times/7': mtime", "b'times/8': mtime", "b'times/9': mtime", "b'xattrs/acl'", "b'xattrs/binary'")
    # GNU tar writes odd names of attributes in a way that only GNU tar reads.
    assert [line for line in found if not line.startswith((*lost, "b'xattrs/odd-name': xattrs"))] == []


def remove_upward_links(source: Path) -> None:
    """Remove what the engine refuses to unpack."""
    for link in (source / "links").iterdir():
        if link.is_symlink() and ".." in str(link.readlink()):
            link.unlink()


@pytest.mark.parametrize("kind", ["gnu", "busybox", "stopped", "paused", "bare"])
async def test_what_was_read_is_written_back_and_reads_the_same(kind: str, lab: Lab) -> None:
    with lab.made(kind) as container:
        (container.volume / "dir").mkdir()
        (container.volume / "dir/file").write_bytes(b"content" * 100_000)
        (container.volume / "hard").hardlink_to(container.volume / "dir/file")
        (container.volume / "soft").symlink_to("dir/file")
        before = await read_all(lab.engine, container.name)
        (container.volume / "soft").unlink()
        (container.volume / "dir/file").write_bytes(b"changed")
        await write_all(lab.engine, container.name, before.data, empty=kind != "bare")
        after = await read_all(lab.engine, container.name)
    assert after.members.keys() == before.members.keys()
    assert after.content("./dir/file") == after.content("./hard") == b"content" * 100_000
    assert after.members["./soft"].linkname == "dir/file"


@pytest.mark.parametrize("piece", [1, 511, 100_000])
@pytest.mark.parametrize("kind", ["gnu", "busybox", "bare"])
async def test_pieces_of_any_size_arrive(kind: str, piece: int, lab: Lab) -> None:
    content = bytes(range(256)) * (10 if piece == 1 else 4000)
    with lab.made(kind) as container:
        await write_all(lab.engine, container.name, packed({"file": content}), piece=piece)
        assert files_below(container.volume) == {"file": content}


@pytest.mark.parametrize("kind", ["gnu", "busybox", "stopped", "bare"])
async def test_overlay_replaces_by_name_and_writes_through_no_link(kind: str, lab: Lab) -> None:
    with lab.made(kind) as container:
        vol = container.volume
        (vol / "after").write_text("came after the backup")
        (vol / "dir").mkdir()
        (vol / "dir/other").write_text("kept")
        (vol / "twin").write_text("one inode")
        (vol / "file").hardlink_to(vol / "twin")
        (vol / "victim").write_text("not to be touched")
        (vol / "link").symlink_to("victim")
        members = {"file": b"new", "link": b"file now", "dir": None, "dir/in": b"5"}
        await write_all(lab.engine, container.name, packed(members), empty=False)
        found = files_below(vol)
    assert found == {
        "after": b"came after the backup",
        "dir/other": b"kept",
        "dir/in": b"5",
        "twin": b"one inode",
        "file": b"new",
        "victim": b"not to be touched",
        "link": b"file now",
    }


@pytest.mark.parametrize("kind", ["gnu", "stopped", "busybox", "bare"])
async def test_overlay_never_leaves_the_volume_by_a_link_that_is_in_the_way_of_a_directory(
    kind: str,
    lab: Lab,
) -> None:
    with lab.made({"stopped": "gnu"}.get(kind, kind)) as container:
        outside = container.volume / "outside"
        outside.mkdir()
        (container.volume / "volume").mkdir()
        (container.volume / "volume/folder").symlink_to("/vol/outside")
        quiesce(kind, container)
        data = packed({"folder": None, "folder/in": b"6"})
        if kind in {"gnu", "stopped"}:
            await write_all(lab.engine, container.name, data, "/vol/volume", empty=False)
            assert files_below(container.volume) == {"volume/folder/in": b"6"}
        else:
            with pytest.raises(PartError) as raised:
                await write_all(lab.engine, container.name, data, "/vol/volume", empty=False)
            assert raised.value.code is Code.TAR_FAILED
            assert "folder" in raised.value.message
        assert list(outside.iterdir()) == []


@pytest.mark.parametrize("kind", ["gnu", "busybox", "bare"])
async def test_a_directory_that_is_not_empty_gives_way_to_no_file(kind: str, lab: Lab) -> None:
    with lab.made(kind) as container:
        (container.volume / "name").mkdir()
        (container.volume / "name/kept").touch()
        with pytest.raises(PartError) as raised:
            await write_all(lab.engine, container.name, packed({"name": b"a file"}), empty=False)
        assert (container.volume / "name/kept").exists()
    assert raised.value.code is Code.TAR_FAILED
    assert container.name in raised.value.message
