"""Volumes on their way back: what real tars extract is the tree that was there before the backup."""

import os
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from stat import S_IFDIR, S_IFLNK

import pytest

from app.archive.dialects import Dialect
from tests.support.docker_engine import Images, RunContainer, docker
from tests.support.tars import (
    BUSYBOX,
    EXTRACT_FLAGS,
    PLAIN_EXTRACT_FLAGS,
    SERVICE_FLAGS,
    busybox_tar_of,
    extract,
    tar_of,
)
from tests.support.trees import Tree, describe, differences
from tests.unit.archive.archives import VOLUME
from tests.unit.archive.conftest import Built
from tests.unit.archive.volumes import FILES, NOTES, archive_of, in_whole_seconds, take, without_devices

# version 2; owner, user 1234, group, group 5678, mask, others: tag, rights, id (linux/posix_acl_xattr.h)
ENTRIES = ((1, 6, 2**32 - 1), (2, 4, 1234), (4, 4, 2**32 - 1), (8, 5, 5678), (16, 5, 2**32 - 1), (32, 4, 2**32 - 1))
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in ENTRIES)
FORMATS = [
    pytest.param(SERVICE_FLAGS, (), id="as the service asks"),
    pytest.param(("--format=posix", "--sparse", "--sparse-version=0.1"), ("xattrs",), id="posix, sparse 0.1"),
    pytest.param(("--format=gnu",), ("xattrs", "map", "mtime"), id="gnu"),
    pytest.param(("--format=gnu", "--sparse"), ("xattrs", "mtime"), id="gnu, sparse"),
]
ONLY_PAX = ("xattrs", "map")


def archived(root: Path, *flags: str) -> bytes:
    return archive_of({VOLUME: tar_of(root, *flags)})


def busybox_extract(tar: bytes, to: Path) -> Tree:
    assert BUSYBOX is not None
    to.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([BUSYBOX, "tar", "-x", "-f", "-", "-C", to], input=tar, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return describe(to)


def as_busybox_keeps_it(tree: Tree) -> Tree:
    """Leave out the times of folders, which busybox sets before it fills them, and owners and times of symlinks."""
    kept = in_whole_seconds(without_devices(tree))
    for path, facts in kept.items():
        if facts.kind == S_IFDIR:
            kept[path] = replace(facts, mtime=0)
        elif facts.kind == S_IFLNK:
            kept[path] = replace(facts, mtime=0, uid=0, gid=0)
    return kept


def as_the_engine_keeps_it(tree: Tree) -> Tree:
    """Leave out what the engine's archive endpoint loses, whatever it is told."""
    kept = {path: facts for path, facts in without_devices(tree).items() if path not in {b".", b"links/to-3"}}
    for path, facts in kept.items():
        xattrs = tuple((key, value) for key, value in facts.xattrs if value and "%" not in key)
        kept[path] = replace(facts, mtime=max(0, facts.mtime), xattrs=xattrs)
    return kept


@pytest.mark.parametrize(("flags", "ignoring"), FORMATS)
def test_gnu_tar_extracts_what_was_there(
    everything: Built, tmp_path: Path, flags: tuple[str, ...], ignoring: tuple[str, ...]
) -> None:
    taken = take(archived(everything.root, *flags))

    extract(taken.tar, tmp_path, EXTRACT_FLAGS if "--acls" in flags else PLAIN_EXTRACT_FLAGS)
    assert differences(without_devices(everything.tree), describe(tmp_path), ignoring=ignoring) == []
    assert (taken.left_out, taken.warnings) == ((), ())


@pytest.mark.skipif(BUSYBOX is None, reason="busybox is not installed")
@pytest.mark.parametrize("flags", [format_.values[0] for format_ in FORMATS])
def test_busybox_extracts_what_was_there(everything: Built, tmp_path: Path, flags: tuple[str, ...]) -> None:
    taken = take(archived(everything.root, *flags), Dialect.GNU)

    found = busybox_extract(taken.tar, tmp_path)
    before = as_busybox_keeps_it(everything.tree)
    assert differences(before, as_busybox_keeps_it(found), ignoring=ONLY_PAX) == []
    assert (taken.left_out, taken.warnings) == ((), ())


@pytest.mark.parametrize("form", ["ustar", "v7", "posix", "gnu"])
@pytest.mark.parametrize("dialect", [Dialect.PAX, Dialect.GNU])
def test_a_plain_tree_comes_back_from_every_format(plain: Built, tmp_path: Path, form: str, dialect: Dialect) -> None:
    taken = take(archived(plain.root, f"--format={form}"), dialect)

    extract(taken.tar, tmp_path, PLAIN_EXTRACT_FLAGS)
    assert differences(plain.tree, describe(tmp_path)) == []


@pytest.mark.skipif(BUSYBOX is None, reason="busybox is not installed")
def test_what_busybox_wrote_comes_back_by_busybox(plain: Built, tmp_path: Path) -> None:
    taken = take(archive_of({VOLUME: busybox_tar_of(plain.root)}), Dialect.GNU)

    found = busybox_extract(taken.tar, tmp_path)
    assert differences(as_busybox_keeps_it(plain.tree), as_busybox_keeps_it(found)) == []


@pytest.mark.engine
@pytest.mark.parametrize(("flags", "ignoring"), FORMATS)
def test_the_engines_archive_endpoint_extracts_what_was_there(
    everything: Built, images: Images, run_container: RunContainer, flags: tuple[str, ...], ignoring: tuple[str, ...]
) -> None:
    leaving = {b"links/to-1": b"../nowhere", b"links/to-3": b"../../../.."}
    assert {path: everything.tree[path].target for path in leaving} == leaving

    taken = take(archived(everything.root, *flags), Dialect.GO)

    with run_container(images.busybox) as container:
        docker("cp", "--archive", "-", f"{container.name}:/vol", data=taken.tar)
        found = describe(container.volume)
    before = as_the_engine_keeps_it(everything.tree)
    assert differences(before, as_the_engine_keeps_it(found), ignoring=("map", *ignoring)) == []
    assert taken.left_out == (f"{VOLUME.prefix}links/to-3",)
    assert len(taken.warnings) == 1


def test_the_stream_names_the_volume_itself_as_gnu_tar_does(small: Built) -> None:
    archive = archive_of({NOTES: small.tar, VOLUME: small.tar, FILES: small.tar})

    for dialect in Dialect:
        listed = subprocess.run(["tar", "-tf", "-"], input=take(archive, dialect).tar, capture_output=True, check=True)
        expected = subprocess.run(["tar", "-tf", "-"], input=small.tar, capture_output=True, check=True)
        assert listed.stdout == expected.stdout


@pytest.mark.engine
def test_acls_that_stand_as_text_only_reach_the_engine(
    tmp_path: Path, images: Images, run_container: RunContainer
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    for path, name in (("folder", "default"), ("folder/file", "access")):
        os.setxattr(tmp_path / path, f"system.posix_acl_{name}", ACL)
    before = describe(tmp_path)

    taken = take(archived(tmp_path, "--format=posix", "--acls"), Dialect.GO)

    with run_container(images.busybox) as container:
        docker("cp", "--archive", "-", f"{container.name}:/vol", data=taken.tar)
        found = describe(container.volume)
    assert before[b"folder"].xattrs == (("system.posix_acl_default", ACL),)
    assert differences(before, {**found, b".": before[b"."]}) == []
