"""A volume is written once the disk has it: a machine that loses its power then loses nothing of it."""

import asyncio
import errno
import fcntl
import os
import struct
from pathlib import Path

import pytest

from app.engine import flushing
from app.engine.base import WriteEnd
from app.errors import Code, PartError
from tests.engine.lab import Lab
from tests.engine.writing import NOT_FLUSHED, packed, pour, write_all
from tests.support.docker_engine import TestContainer, docker
from tests.support.waiting import eventually

pytestmark = pytest.mark.engine

# linux/fiemap.h: the request is start, length, flags, extents mapped, room for extents, reserved; an extent is
# 56 bytes, whose flags are at 40
_FIEMAP = 0xC020660B
_REQUEST = struct.Struct("=QQIIII")
_EXTENT = 56
_ROOM = 64
_NO_PLACE_YET = 0x2 | 0x4


def waits(path: Path) -> bool:
    """Tell whether some of a file has no place on the disk yet; skip where the file system does not say that."""
    request = bytearray(_REQUEST.pack(0, 2**64 - 1, 0, 0, _ROOM, 0) + bytes(_ROOM * _EXTENT))
    with path.open("rb") as file:
        try:
            fcntl.ioctl(file, _FIEMAP, request)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.ENOTTY}:
                raise
            pytest.skip("this file system does not say what it has still to write")
    found = _REQUEST.unpack_from(request)[3]
    flags = [struct.unpack_from("=I", request, _REQUEST.size + at * _EXTENT + 40)[0] for at in range(found)]
    assert flags, "an empty file says nothing"
    return any(flag & _NO_PLACE_YET for flag in flags)


@pytest.mark.parametrize("kind", ["gnu", "busybox", "stopped"])
async def test_what_was_written_has_its_place_on_the_disk(kind: str, lab: Lab, tmp_path: Path) -> None:
    content = os.urandom(1 << 20)
    (tmp_path / "just written").write_bytes(content)
    if not waits(tmp_path / "just written"):
        pytest.skip("this file system writes at once")
    with lab.made(kind) as container:
        written = await write_all(lab.engine, container.name, packed({"file": content}))
        assert not waits(container.volume / "file")
    assert written.end.warnings == ()


SYNCS = {
    "refuses": "echo \"sync: error syncing '/vol': Input/output error\" >&2; exit 1",
    "may not": '[ $# -eq 0 ] && touch /tmp/all && exit; echo "sync: Operation not permitted" >&2; exit 1',
    "is killed": "kill -9 $$",
    "is old": '[ $# -eq 0 ] && touch /tmp/all && exit; echo "sync: unrecognized option: f" >&2; exit 1',
}


def replaced(sync: str) -> str:
    return f"rm /bin/sync; cat >/bin/sync <<'END'\n#!/bin/sh\n{sync}\nEND\nchmod 755 /bin/sync"


async def test_a_disk_that_refuses_fails_the_volume(lab: Lab) -> None:
    with lab.made("gnu") as container:
        container.sh(replaced(SYNCS["refuses"]))
        with pytest.raises(PartError, match=r"The disk refuses what was written to .*: Input/output error$") as caught:
            await write_all(lab.engine, container.name, packed({"file": b"content"}))
    assert caught.value.code is Code.VOLUME_INCOMPLETE


@pytest.mark.parametrize("sync", ["is old", "may not"])
async def test_a_sync_that_cannot_do_one_disk_flushes_all(sync: str, lab: Lab) -> None:
    with lab.made("gnu") as container:
        container.sh(replaced(SYNCS[sync]))
        written = await write_all(lab.engine, container.name, packed({"file": b"content"}))
        assert container.sh("ls /tmp/all") == "/tmp/all\n"
    assert written.end.warnings == ()


async def test_mounts_below_the_volume_are_flushed_too(lab: Lab) -> None:
    with lab.made("gnu", ["--tmpfs=/vol/inner"]) as container:
        container.sh(replaced('echo "$@" >/tmp/asked'))
        await write_all(lab.engine, container.name, packed({"inner": None, "inner/file": b"content"}))
        assert container.sh("cat /tmp/asked") == "-f /vol /vol/inner\n"


async def test_a_sync_that_is_killed_is_a_warning(lab: Lab) -> None:
    with lab.made("gnu") as container:
        container.sh(replaced(SYNCS["is killed"]))
        written = await write_all(lab.engine, container.name, packed({"file": b"content"}))
    assert written.end.warnings == (
        f"whether the disk has what was written is not known: 'sync' in {container.name} ended with 137",
    )


async def test_a_sync_of_all_disks_that_hangs_is_a_warning(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_ALL_SECONDS", 3)
    with lab.made("gnu") as container:
        container.sh(replaced("[ $# -eq 0 ] || exit 1; exec sleep 98765"))
        written = await write_all(lab.engine, container.name, packed({"file": b"content"}))
        eventually(lambda: b"98765" not in docker("top", container.name), what="it is ended")
    why = f"'sync' in {container.name} waits for a disk, which may be another one"
    assert written.end.warnings == (f"whether the disk has what was written is not known: {why}",)


async def test_a_disk_of_the_volume_that_hangs_fails_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_SECONDS", 3)
    with lab.made("gnu") as container:
        container.sh(replaced("exec sleep 98765"))
        with pytest.raises(PartError, match="did not answer 'sh' within 3 seconds") as caught:
            await write_all(lab.engine, container.name, packed({"file": b"content"}))
    assert caught.value.code is Code.STREAM_CUT


async def written_slowly(lab: Lab, container: TestContainer, sync: str, *, sign: str = "/tmp/ran") -> WriteEnd:
    """Write half of a volume, the other half once `sync` has run, which does something else only that first time."""
    container.sh(replaced(f"touch /tmp/asked; [ -e /tmp/ran ] && exit; touch /tmp/ran; {sync}"))
    data = packed({"file": os.urandom(1 << 20)})
    async with lab.engine.write_volume(container.name, "/vol", empty=True) as sink:
        await asyncio.to_thread(pour, sink, data[: len(data) // 2])
        await asyncio.to_thread(container.sh, f"until test -e {sign}; do sleep 0.01; done")
        await asyncio.to_thread(pour, sink, data[len(data) // 2 :])
        return await sink.end()


@pytest.mark.parametrize("words", ["Input/output error", "No data available", "Structure needs cleaning"])
async def test_what_a_disk_says_only_once_is_not_lost(words: str, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_PERIOD_SECONDS", 0.05)
    refusal = f"The disk refuses what was written to .*: {words}$"
    with lab.made("gnu") as container, pytest.raises(PartError, match=refusal) as caught:
        await written_slowly(lab, container, f"echo \"sync: error syncing '/vol': {words}\" >&2; exit 1")
    assert caught.value.code is Code.VOLUME_INCOMPLETE


@pytest.mark.parametrize("sync", [SYNCS["is killed"], "exit 1"])
async def test_a_sync_that_fails_meanwhile_is_a_warning(sync: str, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_PERIOD_SECONDS", 0.05)
    with lab.made("gnu") as container:
        end = await written_slowly(lab, container, sync)
    why = f"'sync' in {container.name} failed once before it did not"
    assert end.warnings == (f"whether the disk has what was written is not known: {why}",)


async def test_an_old_sync_flushes_all_at_the_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_PERIOD_SECONDS", 0.05)
    with lab.made("gnu") as container:
        end = await written_slowly(lab, container, f"rm /tmp/ran; {SYNCS['is old']}", sign="/tmp/asked")
        assert container.sh("ls /tmp/all") == "/tmp/all\n"
    assert end.warnings == ()


async def test_an_engine_that_gives_no_answer_once_is_a_warning(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_PERIOD_SECONDS", 0.05)
    monkeypatch.setattr(flushing, "_SECONDS", 15)
    with lab.made("gnu") as container:
        end = await written_slowly(lab, container, "exec sleep 98765")
    why = f"'sync' in {container.name} failed once before it did not"
    assert end.warnings == (f"whether the disk has what was written is not known: {why}",)


async def test_what_is_given_up_leaves_no_sync_behind(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_PERIOD_SECONDS", 0.05)
    with lab.made("gnu") as container:
        container.sh(replaced("touch /tmp/ran; exec sleep 98765"))
        async with lab.engine.write_volume(container.name, "/vol", empty=True):
            await asyncio.to_thread(container.sh, "until test -e /tmp/ran; do sleep 0.01; done")
        eventually(lambda: b"98765" not in docker("top", container.name), what="it is ended")


async def test_a_volume_that_only_the_endpoint_sees_is_a_warning(lab: Lab) -> None:
    with lab.made("bare") as container:
        written = await write_all(lab.engine, container.name, packed({"file": b"content"}))
    assert written.end.warnings == (NOT_FLUSHED,)


async def test_a_container_without_sync_is_a_warning(lab: Lab) -> None:
    with lab.made("gnu") as container:
        container.sh("rm /bin/sync")
        written = await write_all(lab.engine, container.name, packed({"file": b"content"}))
        content = (container.volume / "file").read_bytes()
    assert content == b"content"
    assert written.end.warnings == (
        f"whether the disk has what was written is not known: 'sync' in {container.name} ended with 127",
    )
