"""The tables, in Markdown."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median, quantiles

from benchmarks.measuring import Sample, Scene
from benchmarks.processes import API, COMMANDS, ENGINE, REDIS, TAR, WORKER
from benchmarks.restores import RESTORE_STEPS
from benchmarks.steps import STEPS
from benchmarks.volumes import MB

Samples = Mapping[str, Sequence[Sample]]

_TITLES = {step.key: step.title for step in (*STEPS, *RESTORE_STEPS)}
_NOTHING = "-"
_COST_TITLES = {
    TAR: "in the container",
    ENGINE: "engine",
    COMMANDS: "docker, filters, restic",
    WORKER: "worker",
    API: "API",
    REDIS: "Redis",
}


def heading(scene: Scene, what: str) -> str:
    """Say what one set of tables is about."""
    volume = scene.volume
    return f"## {what}: {volume.title}: {volume.files:,} files, {volume.bytes / MB:,.0f} MB, {scene.container.tar} tar"


def speeds(scene: Scene, samples: Samples, *, baseline: str, times: str) -> str:
    """Tell how long every step took, and how much longer than one of them, the baseline, as `times` says."""
    limit = _median(samples[baseline], _seconds)
    rows = []
    for key, runs in samples.items():
        middle = _median(runs, _seconds)
        spread = f"{middle:.2f} ({min(map(_seconds, runs)):.2f} to {max(map(_seconds, runs)):.2f})"
        size = _NOTHING if runs[-1].size is None else f"{runs[-1].size / MB:,.0f}"
        rows.append([_TITLES[key], spread, scene.volume.rate(middle), f"{middle / limit:.2f}", size])
    return table(["step", "seconds (min to max)", "speed", times, "MB written"], rows)


def ours(samples: Samples) -> str:
    """Tell what only our own runs have: the job's own time, and the most memory each process had in any run."""
    rows = [
        [
            _TITLES[key],
            f"{_median(runs, _job_seconds):.2f}",
            *(f"{max(run.peaks[name] for run in runs) / MB:.0f} MB" for name in (WORKER, API)),
        ]
        for key, runs in samples.items()
        if runs[0].peaks
    ]
    return table(["", "seconds, by the job's record", "peak memory, worker", "peak memory, API"], rows)


def costs(samples: Samples) -> str:
    """Tell who used how many CPU seconds, medians each, and how much that is of what the machine has."""
    seen = [name for name in _COST_TITLES if any(name in run.cpu for runs in samples.values() for run in runs)]
    rows = []
    for key, runs in samples.items():
        seconds = [median(run.cpu.get(name, 0.0) for run in runs) for name in seen]
        rows.append([_TITLES[key], *(f"{value:.2f}" if value >= 0.005 else _NOTHING for value in seconds)])
        busy = sum(seconds) / _median(runs, _seconds) / (os.cpu_count() or 1)
        rows[-1] += [f"{sum(seconds):.2f}", f"{busy:.0%}"]
    return table(["CPU seconds", *(_COST_TITLES[name] for name in seen), "sum", "of all cores"], rows)


def latencies(measured: Mapping[str, Sequence[float]]) -> str:
    """Tell how long GET /health took, by what went on meanwhile."""
    rows = []
    for title, seconds in measured.items():
        parts = quantiles(seconds, n=100, method="inclusive")
        rows.append([title, f"{len(seconds)}", *(f"{value * 1000:.1f} ms" for value in (parts[49], parts[98]))])
        rows[-1].append(f"{max(seconds) * 1000:.1f} ms")
    return table(["`GET /health`, 50 a second", "answers", "p50", "p99", "max"], rows)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table; all columns but the first are numbers."""
    lines = [titles, ["---", *("---:" for _ in titles[1:])], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _median(runs: Sequence[Sample], of: Callable[[Sample], float]) -> float:
    return median(map(of, runs))


def _seconds(sample: Sample) -> float:
    return sample.seconds


def _job_seconds(sample: Sample) -> float:
    return sample.job_seconds or 0.0
