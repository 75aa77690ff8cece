"""Plain volumes in real containers: tar takes their prefix off, unless something would be lost by that."""

import asyncio
import io
import os
import struct
import tarfile
from pathlib import Path

import pytest

from app.engine.base import Way
from tests.engine.lab import Lab
from tests.engine.writing import packed, pour, write_all
from tests.support.trees import describe

pytestmark = pytest.mark.engine

PREFIX = "services/mail/mailboxes/"
MTIME = 1_700_000_000
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
# version 2; owner, user 1234, group, mask, others: tag, rights, id (linux/posix_acl_xattr.h)
_ENTRIES = ((1, 7, 2**32 - 1), (2, 7, 1234), (4, 5, 2**32 - 1), (16, 7, 2**32 - 1), (32, 5, 2**32 - 1))
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in _ENTRIES)


def prefixed() -> bytes:
    """Pack a plain volume: a folder, a file in it, and another name of that."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind, mode in (
            (".", tarfile.DIRTYPE, 0o2751),
            ("dir", tarfile.DIRTYPE, 0o500),
            ("dir/file", tarfile.REGTYPE, 0o640),
            ("hard", tarfile.LNKTYPE, 0o640),
        ):
            member = tarfile.TarInfo(PREFIX + name)
            member.type, member.mode, member.mtime, member.uid, member.gid = kind, mode, MTIME, 1234, 5678
            member.linkname = f"{PREFIX}dir/file" if kind == tarfile.LNKTYPE else ""
            member.size = 7 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"content"))
    return file.getvalue()


@pytest.mark.parametrize(("kind", "way"), [("gnu", Way.EXEC), ("stopped", Way.HELPER)])
async def test_what_is_plain_arrives_without_its_prefix(kind: str, way: Way, lab: Lab) -> None:
    with lab.made(kind) as container:
        (container.volume / "old").touch()
        async with lab.engine.write_volume(container.name, "/vol", empty=True, plain=True) as sink:
            assert (sink.plain, sink.way) == (True, way)
            await asyncio.to_thread(pour, sink, prefixed())
            end = await sink.end()
        found = describe(container.volume)
        content = (container.volume / "dir/file").read_bytes()
    assert (end.exit_code, end.warnings, content) == (0, (), b"content")
    facts = {name: (found[name].mode & 0o7777, found[name].uid, found[name].gid) for name in found}
    assert facts == {
        b".": (0o2751, 1234, 5678),
        b"dir": (0o500, 1234, 5678),
        b"dir/file": (0o640, 1234, 5678),
        b"hard": (0o640, 1234, 5678),
    }
    assert {found[name].mtime for name in found} == {MTIME * 10**9}


def of_all_modes() -> bytes:
    """Pack a plain volume of everything that a mode may be, some of it behind a folder that nobody may write to."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind, mode in MODES:
            member = tarfile.TarInfo(PREFIX + name)
            member.type, member.mode, member.mtime = kind, mode, MTIME
            member.uid, member.gid = 1234, 5678
            member.linkname = "none" if kind == tarfile.SYMTYPE else ""
            tar.addfile(member)
    return file.getvalue()


MODES = (
    (".", tarfile.DIRTYPE, 0o2751),
    ("closed", tarfile.DIRTYPE, 0o500),
    ("closed/file", tarfile.REGTYPE, 0o666),
    ("closed/nobody's", tarfile.REGTYPE, 0),
    ("common", tarfile.DIRTYPE, 0o1777),
    ("group's", tarfile.DIRTYPE, 0o2775),
    ("group's/below", tarfile.DIRTYPE, 0o700),
    ("link", tarfile.SYMTYPE, 0o777),
    ("program", tarfile.REGTYPE, 0o6755),
    ("queue", tarfile.FIFOTYPE, 0o640),
)


@pytest.mark.parametrize("mode", [0o755, 0o2777])
async def test_every_mode_arrives_whatever_the_directory_had(mode: int, lab: Lab) -> None:
    with lab.made("gnu") as container:
        container.volume.chmod(mode)
        async with lab.engine.write_volume(container.name, "/vol", empty=True, plain=True) as sink:
            await asyncio.to_thread(pour, sink, of_all_modes())
            end = await sink.end()
        found = describe(container.volume)
    assert (end.exit_code, end.warnings) == (0, ())
    facts = {os.fsdecode(name): (one.mode & 0o7777, one.uid, one.gid, one.mtime) for name, one in found.items()}
    assert facts == {name: (mode, 1234, 5678, MTIME * 10**9) for name, _, mode in MODES}


async def wants_plain(lab: Lab, container: str, *, empty: bool = True) -> bool:
    async with lab.engine.write_volume(container, "/vol", empty=empty, plain=True) as sink:
        await asyncio.to_thread(pour, sink, packed({}))
        await sink.end()
        return sink.plain


@pytest.mark.parametrize("kind", ["busybox", "bare"])
async def test_only_gnu_tar_takes_a_prefix_off(kind: str, lab: Lab) -> None:
    with lab.made(kind) as container:
        assert not await wants_plain(lab, container.name)


async def test_a_volume_that_is_laid_over_is_not_written_plain(lab: Lab) -> None:
    with lab.made("gnu") as container:
        assert not await wants_plain(lab, container.name, empty=False)


async def test_a_volume_with_a_mount_below_is_not_written_plain(lab: Lab, tmp_path: Path) -> None:
    with lab.made("gnu", [f"--volume={tmp_path / 'below'}:/vol/below"]) as container:
        assert not await wants_plain(lab, container.name)


@pytest.mark.parametrize("key", [ACCESS, DEFAULT])
async def test_acls_of_the_directory_itself_go_as_they_do_for_any_volume(key: str, lab: Lab) -> None:
    with lab.made("gnu") as container:
        os.setxattr(container.volume, key, ACL)
        assert not await wants_plain(lab, container.name)
        os.setxattr(container.volume, key, ACL)
        await write_all(lab.engine, container.name, packed({"dir": None, "dir/file": b"1"}))
        paths = [container.volume, container.volume / "dir", container.volume / "dir/file"]
        assert [os.listxattr(path) for path in paths] == [[], [], []]
