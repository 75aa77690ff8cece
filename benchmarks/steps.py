"""What is measured of backups: reading to nowhere, what one would run instead, and ours."""

import os
import secrets
import subprocess
import time
from pathlib import Path

from benchmarks.measuring import Sample, Scene, Step, new_folder, run, run_pipeline, settled, watched
from benchmarks.restic import new_repository
from benchmarks.service import Run, service_id

BASELINE = "tar"


def _to_nowhere(scene: Scene) -> Sample:
    return _piped(scene, Path(os.devnull))


def _gzip(scene: Scene) -> Sample:
    return _to_file(scene, ["gzip"])


def _pigz(scene: Scene) -> Sample:
    return _to_file(scene, ["pigz"])


def _pigz_age(scene: Scene) -> Sample:
    key = scene.folder / "age.key"
    run(["age-keygen", "-o", str(key)])
    recipient = run(["age-keygen", "-y", str(key)]).strip()
    key.unlink()
    return _to_file(scene, ["pigz"], ["age", "--recipient", recipient])


def _restic(scene: Scene) -> Sample:
    """Back up the same files, as they lie on disk, into a fresh repository, with a cache of its own."""
    with new_repository(scene.folder / "restic") as restic:
        before = settled(scene)
        begun = time.perf_counter()
        restic("backup", str(scene.volume.folder))
        seconds = time.perf_counter() - begun
        return Sample(seconds, scene.clock.since(before), restic.size())


def _plain(scene: Scene) -> Sample:
    return _ours(scene, None)


def _encrypted(scene: Scene) -> Sample:
    return _ours(scene, secrets.token_urlsafe())


STEPS = (
    Step(BASELINE, "`docker exec tar` to nowhere", _to_nowhere),
    Step("gzip", "`… \\| gzip`", _gzip, ("gzip",)),
    Step("pigz", "`… \\| pigz`", _pigz, ("pigz",)),
    Step("age", "`… \\| pigz \\| age`", _pigz_age, ("pigz", "age", "age-keygen")),
    Step("restic", "`restic backup` of the same files on disk", _restic, ("restic",)),
    Step("plain", "cell-backup, plain", _plain, ours=True),
    Step("encrypted", "cell-backup, encrypted", _encrypted, ours=True),
)


def warm_up(scene: Scene) -> None:
    """Read the volume once, so that it is in memory, and check that the engine sees the files that were made here."""
    with subprocess.Popen(scene.container.read(scene.volume), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        read = 0
        while piece := process.stdout.read(1 << 20):
            read += len(piece)
    if process.returncode or read < scene.volume.bytes:
        raise SystemExit(
            f"The container gave {read} bytes of {scene.volume.bytes}: the engine does not see this machine's files. "
            "Run the benchmarks where the engine runs, or set TMPDIR to a folder that it can mount."
        )


def _to_file(scene: Scene, *filters: list[str]) -> Sample:
    with new_folder(scene.folder / "piped") as folder:
        return _piped(scene, folder / "archive", *filters)


def _piped(scene: Scene, target: Path, *filters: list[str]) -> Sample:
    with target.open("wb") as output:
        before = settled(scene)
        begun = time.perf_counter()
        run_pipeline([scene.container.read(scene.volume), *filters], output.fileno())
        seconds = time.perf_counter() - begun
    return Sample(seconds, scene.clock.since(before), target.stat().st_size if target.is_file() else None)


def _ours(scene: Scene, passphrase: str | None) -> Sample:
    return watched(scene, lambda: _checked_backup(scene, passphrase))


def _checked_backup(scene: Scene, passphrase: str | None) -> Run:
    done = scene.service.back_up(service_id(scene.container, scene.volume), passphrase=passphrase)
    if done.bytes < scene.volume.bytes:
        raise SystemExit(f"The backup saved {done.bytes} bytes of {scene.volume.bytes}.")
    return done
