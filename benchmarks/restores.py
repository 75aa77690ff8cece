"""What is measured of restores: what one would run instead, and ours, each into the volume after it was emptied."""

import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import Sample, Scene, Step, new_folder, run, run_pipeline, settled, watched
from benchmarks.restic import new_repository
from benchmarks.service import Run, service_id

BASELINE = "unpack"
_GONE = "gone-"


def _unpack(scene: Scene) -> Sample:
    return _unpacked(scene)


def _unpack_and_sync(scene: Scene) -> Sample:
    """See all of it on the disk before saying that it is back, as ours does."""
    return _unpacked(scene, synced=True)


def _test_and_unpack(scene: Scene) -> Sample:
    """Read the archive to its end first, as somebody does who knows that half an archive may be unpacked otherwise."""
    return _unpacked(scene, tested=True)


def _unpacked(scene: Scene, *, tested: bool = False, synced: bool = False) -> Sample:
    _empty(scene)
    before = settled(scene)
    begun = time.perf_counter()
    if tested:
        run(["gzip", "-t", str(scene.archive)])
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
        run_pipeline([["gzip", "-dc", str(scene.archive)], scene.container.write(scene.volume)], nowhere.fileno())
    if synced:
        run(["sync", "--file-system", str(scene.volume.folder)])
    seconds = time.perf_counter() - begun
    cost = scene.clock.since(before)
    _check(scene)
    return Sample(seconds, cost)


def _restic(scene: Scene) -> Sample:
    """Restore from a repository that is in memory by then, into a folder on this machine's disk."""
    with new_repository(scene.folder / "restic") as restic:
        restic("backup", str(scene.volume.folder))
        with new_folder(scene.folder / "restored") as target:
            before = settled(scene)
            begun = time.perf_counter()
            restic("restore", "latest", "--target", str(target))
            seconds = time.perf_counter() - begun
            return Sample(seconds, scene.clock.since(before))


def _restore(scene: Scene) -> Sample:
    _empty(scene)
    return _ours(scene, "none")


def _restore_encrypted(scene: Scene) -> Sample:
    passphrase = secrets.token_urlsafe()
    service = service_id(scene.container, scene.volume)
    archive = scene.service.archive(service, passphrase=passphrase)
    try:
        _empty(scene)
        sample = watched(scene, lambda: scene.service.restore(archive, service, safety="none", passphrase=passphrase))
    finally:
        archive.unlink()
    _check(scene)
    return sample


def _restore_with_safety(scene: Scene) -> Sample:
    _empty(scene)
    return _ours(scene, "full")


def _restore_over_a_full_volume(scene: Scene) -> Sample:
    return _ours(scene, "full")


RESTORE_STEPS = (
    Step(BASELINE, "`gzip -dc archive \\| docker exec -i … tar -x`", _unpack, ("gzip",)),
    Step("unpack-sync", "the same, and `sync`", _unpack_and_sync, ("gzip",)),
    Step(
        "test-unpack",
        "`gzip -t archive && gzip -dc archive \\| docker exec -i … tar -x`",
        _test_and_unpack,
        ("gzip",),
    ),
    Step("restic-restore", "`restic restore` of the same files to disk", _restic, ("restic",)),
    Step("restore", "cell-backup, nothing saved first", _restore, ours=True),
    Step("restore-encrypted", "cell-backup, the archive encrypted, nothing saved first", _restore_encrypted, ours=True),
    Step("restore-safety", "cell-backup, what is there (nothing) saved first", _restore_with_safety, ours=True),
    Step("restore-full", "cell-backup, the volume full, and saved first", _restore_over_a_full_volume, ours=True),
)


def _ours(scene: Scene, safety: str) -> Sample:
    sample = watched(scene, lambda: _restored(scene, safety))
    _check(scene)
    return sample


def _restored(scene: Scene, safety: str) -> Run:
    assert scene.archive is not None
    return scene.service.restore(scene.archive, service_id(scene.container, scene.volume), safety=safety)


def _empty(scene: Scene) -> None:
    """Move away what is there: ext4 shuns what was just deleted, so that deleting would slow the next step down."""
    gone = Path(tempfile.mkdtemp(dir=scene.folder, prefix=_GONE))
    for path in scene.volume.folder.iterdir():
        path.rename(gone / path.name)


def clear(scene: Scene) -> None:
    """Delete what the steps moved away."""
    for path in scene.folder.glob(f"{_GONE}*"):
        shutil.rmtree(path)


def _check(scene: Scene) -> None:
    """End the program where not everything is back."""
    files = size = 0
    for path in scene.volume.folder.rglob("*"):
        if path.is_file():
            files += 1
            size += path.stat().st_size
    if (files, size) != (scene.volume.files, scene.volume.bytes):
        raise SystemExit(f"{files} files with {size} bytes came back of {scene.volume.files} with {scene.volume.bytes}")
