"""Run the benchmarks and print Markdown; what happens meanwhile goes to standard error."""

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks import report
from benchmarks.containers import engine_version, running_container, why_no_image
from benchmarks.health import asking_for_health
from benchmarks.measuring import Sample, Scene, Step
from benchmarks.processes import CpuClock
from benchmarks.restores import BASELINE as RESTORE_BASELINE
from benchmarks.restores import RESTORE_STEPS, clear
from benchmarks.service import running_service, service_id
from benchmarks.steps import BASELINE, STEPS, warm_up
from benchmarks.volumes import MB, make_volumes, space_needed

_IDLE_SECONDS = 10.0


def main() -> int:
    """Run them all; 0 at the end, 1 with a sentence where something that they need is missing."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with ExitStack() as stack:
            _run(options, stack)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare with other ways to save and restore."
    )
    parser.add_argument("--rounds", type=_positive, default=3, help="how often every step is run (3)")
    parser.add_argument("--megabytes", type=int, default=550, metavar="N", help="mail and photos (550); 0: none")
    parser.add_argument("--small-files", type=int, default=200_000, metavar="N", help="small mails (200000); 0: none")
    parser.add_argument("--busybox", action="store_true", help="read with busybox tar too")
    parser.add_argument("--keep", action="store_true", help="leave the folder with the data, and say where it is")
    keys = [step.key for step in (*STEPS, *RESTORE_STEPS)]
    parser.add_argument("--only", action="append", choices=keys, help="only this step; may be given more than once")
    options = parser.parse_args()
    if options.megabytes < 0 or options.small_files < 0 or not (options.megabytes or options.small_files):
        parser.error("there must be something to save")
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _run(options: argparse.Namespace, stack: ExitStack) -> None:
    version = engine_version()
    load = os.getloadavg()[0]
    steps, left_out = _chosen_steps(STEPS, BASELINE, options.only)
    restores, more_left_out = _chosen_steps(RESTORE_STEPS, RESTORE_BASELINE, options.only)
    left_out += more_left_out
    tars = [tar for tar in ("gnu", "busybox") if tar == "gnu" or options.busybox]
    reasons = {tar: why_no_image(tar) for tar in tars}
    left_out += [f"{tar} tar: {reason}" for tar, reason in reasons.items() if reason]
    folder = _work_folder(options, stack, restored=options.rounds * len(restores))
    volumes = make_volumes(folder, megabytes=options.megabytes, small_files=options.small_files, say=_say)
    containers = [stack.enter_context(running_container(tar, volumes)) for tar in tars if not reasons[tar]]
    if not containers:
        raise SystemExit(f"There is nothing to read from: {'; '.join(left_out)}.")
    service = stack.enter_context(running_service(folder, containers, volumes))

    print(f"Engine {version}, {os.cpu_count()} cores, Python {platform.python_version()}, {options.rounds} rounds.")
    for container in containers:
        for volume in volumes:
            scene = Scene(volume, container, service, folder, CpuClock(container.id, service.pids))
            if steps:
                _compare_backups(scene, steps, options.rounds)
            if restores:
                _compare_restores(scene, restores, options.rounds)
    print("\nLeft out: " + ("; ".join(left_out) or "nothing") + ".")
    print(f"Load average: {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end.")


def _chosen_steps(steps: Sequence[Step], baseline: str, only: Sequence[str] | None) -> tuple[list[Step], list[str]]:
    """Give the steps to run, and what is left out with the reason; with any of them the baseline is run."""
    wanted = [step for step in steps if not only or step.key in only]
    if wanted:
        wanted = [step for step in steps if step in wanted or step.key == baseline]
    left_out = [f"{step.key}: {step.why_not}" for step in wanted if step.why_not]
    return [step for step in wanted if not step.why_not], left_out


def _work_folder(options: argparse.Namespace, stack: ExitStack, *, restored: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cell-backup-bench-"))
    if options.keep:
        _say(f"data stays in {folder}")
    else:
        stack.callback(shutil.rmtree, folder)
    needed = space_needed(megabytes=options.megabytes, small_files=options.small_files, restored=restored)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(
            f"The benchmarks need {needed // MB} MB in {folder.parent}, which has {free // MB} MB: "
            "set TMPDIR to a larger place, or choose smaller sizes or fewer rounds."
        )
    return folder


def _compare_backups(scene: Scene, steps: Sequence[Step], rounds: int) -> None:
    print(f"\n{report.heading(scene, 'Backup')}\n", flush=True)
    warm_up(scene)
    samples = _run_in_rounds(scene, steps, rounds)
    print(report.speeds(scene, samples, baseline=BASELINE, times="times the limit"))
    print(f"\n{report.costs(samples)}")
    own = [step for step in steps if step.ours]
    if own:
        print(f"\n{report.ours(samples)}")
        print(f"\n{report.latencies(_latencies(scene, own, rounds))}", flush=True)


def _compare_restores(scene: Scene, steps: Sequence[Step], rounds: int) -> None:
    print(f"\n{report.heading(scene, 'Restore')}\n", flush=True)
    archive = scene.service.archive(service_id(scene.container, scene.volume))
    try:
        samples = _run_in_rounds(replace(scene, archive=archive), steps, rounds)
    finally:
        archive.unlink()
        clear(scene)
    print(report.speeds(scene, samples, baseline=RESTORE_BASELINE, times="times gzip and tar"))
    print(f"\n{report.costs(samples)}")
    if any(step.ours for step in steps):
        print(f"\n{report.ours(samples)}", flush=True)


def _run_in_rounds(scene: Scene, steps: Sequence[Step], rounds: int) -> dict[str, list[Sample]]:
    """Run the steps in rounds, so that whatever drifts hits all of them alike."""
    samples: dict[str, list[Sample]] = {step.key: [] for step in steps if _applies(step, scene)}
    for number in range(1, rounds + 1):
        for step in steps:
            if step.key in samples:
                sample = step.run(scene)
                samples[step.key].append(sample)
                _say(f"{scene.container.tar}, {scene.volume.title}, round {number}: {step.key} {sample.seconds:.2f} s")
    return samples


def _applies(step: Step, scene: Scene) -> bool:
    """Tell whether the step has to do with this container at all: what reads from disk has not, beyond the first."""
    return "restic" not in step.key or scene.container.tar == "gnu"


def _latencies(scene: Scene, own: Sequence[Step], rounds: int) -> dict[str, list[float]]:
    """Ask for /health while nothing runs and while backups run; these runs don't count for speed."""
    with asking_for_health(scene.service.address) as idle:
        time.sleep(_IDLE_SECONDS)
    measured = {"idle": idle}
    for step in own:
        with asking_for_health(scene.service.address) as busy:
            for _ in range(rounds):
                step.run(scene)
        measured[f"during backups, {step.key}"] = busy
    return measured


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
