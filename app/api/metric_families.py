"""Every metric of the service: its name, what it means, how it comes from what a scrape found.

Names and units follow the conventions of Prometheus; a label has few values, none of them an id.
The kind of a dry run is `restore_dry_run`: no number of `restore` is about a run that restored nothing.
"""

import math
from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from app import __version__
from app.api.metric_facts import ArchiveFacts, Disk, Facts, JobFacts
from app.jobs.base import Totals
from app.jobs.endings import COUNTED, counted_as
from app.jobs.records import Job, JobState

_WAITING_OR_RUNNING = tuple(state for state in JobState if not state.ended)
_ENDED = tuple(state for state in JobState if state.ended)


class FactsCollector(Collector):
    """Give one scrape's metrics."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    @override
    def collect(self) -> Iterator[Metric]:
        """Give each family once; what could not be asked is left out."""
        facts = self._facts
        yield InfoMetricFamily("cell_backup_build", "The version of this service.", {"version": __version__})
        yield _gauge("redis_up", "Whether Redis answers (1) or not (0).", facts.jobs is not None)
        if facts.jobs is not None:
            yield from _of_now(facts.jobs, facts.now)
            yield from _of_the_running(facts.jobs.active, facts.now)
            yield from _of_ended(facts.jobs)
            yield from _of_last_success(facts.jobs, facts.now)
            yield from _of_webhooks(facts.jobs)
        yield _gauge("queue_limit", "Waiting jobs above which a new one is refused.", facts.most_queued)
        yield _gauge(
            "archives_readable", "Whether the backup directory can be read (1) or not (0).", facts.archives is not None
        )
        if facts.archives is not None:
            yield from _of_archives(facts.archives)
            yield from _of_good_backup(facts.archives, facts.now)
        if facts.disk is not None:
            yield from _of_disk(facts.disk)


def _of_now(jobs: JobFacts, now: datetime) -> Iterator[Metric]:
    yield _gauge(
        "worker_up", "Whether a worker reported itself within the last minute (1) or not (0).", jobs.worker_alive
    )
    yield _gauge("lease_held", "Whether a job holds the right to change the cell (1) or not (0).", jobs.lease_held)
    yield _gauge("lease_fence", "Number of the newest lease; it grows with every job that runs.", jobs.fence)
    by_state = _labelled("jobs", "Jobs that wait or run now.", ["kind", "state"])
    for kind in COUNTED:
        for state in _WAITING_OR_RUNNING:
            count = sum((counted_as(job), job.state) == (kind, state) for job in jobs.active)
            by_state.add_metric([kind, state], count)
    yield by_state
    queued = [job.created_at for job in jobs.active if job.state is JobState.QUEUED]
    yield _gauge("queue_length", "Jobs that wait now.", len(queued))
    oldest = _age(min(queued, default=now), now)
    yield _gauge("queue_oldest_age_seconds", "How long the oldest waiting job has waited; 0 where none waits.", oldest)


def _of_the_running(active: tuple[Job, ...], now: datetime) -> Iterator[Metric]:
    age = _labelled("running_job_age_seconds", "How long the running job has run; absent where none runs.", ["kind"])
    ratio = _labelled("running_job_progress_ratio", "How far the running job is, from 0 to 1.", ["kind"])
    # one job at a time runs; of two that say so, the one with the older number has lost its worker
    running = (job for job in active if job.state is JobState.RUNNING)
    job = max(running, key=lambda job: job.fence or 0, default=None)
    if job is not None:
        age.add_metric([counted_as(job)], _age(job.started_at or job.created_at, now))
        ratio.add_metric([counted_as(job)], job.progress.percent / 100)
    yield from (age, ratio)


def _of_ended(jobs: JobFacts) -> Iterator[Metric]:
    ended = CounterMetricFamily(
        "cell_backup_jobs_ended", "Jobs that have ended, by how they ended.", labels=["kind", "state"]
    )
    seconds = CounterMetricFamily(
        "cell_backup_job_duration_seconds", "Time that succeeded and partial jobs took.", labels=["kind"]
    )
    content = CounterMetricFamily(
        "cell_backup_job_content_bytes",
        "Bytes of file contents that succeeded and partial jobs worked through.",
        labels=["kind"],
    )
    # each series is there from the beginning: a counter that first appears as 1 is no increase to Prometheus
    for kind in COUNTED:
        totals = jobs.totals.get(kind, Totals())
        for state in _ENDED:
            ended.add_metric([kind, state], totals.ended.get(state, 0))
        seconds.add_metric([kind], totals.seconds)
        content.add_metric([kind], totals.bytes)
    yield from (ended, seconds, content)


def _of_last_success(jobs: JobFacts, now: datetime) -> Iterator[Metric]:
    """Tell of each kind's last job that succeeded; a kind that never had one has no series here."""
    at = _labelled("last_success_timestamp_seconds", "When the last job that succeeded ended, as Unix time.", ["kind"])
    age = _labelled("last_success_age_seconds", "How long ago the last job that succeeded ended.", ["kind"])
    took = _labelled("last_success_duration_seconds", "How long the last job that succeeded ran.", ["kind"])
    content = _labelled(
        "last_success_content_bytes", "Bytes of file contents in the last job that succeeded.", ["kind"]
    )
    size = _labelled("last_success_size_bytes", "Size of the archive that the last success wrote.", ["kind"])
    rate = _labelled("last_success_bytes_per_second", "File contents a second in the last success.", ["kind"])
    for kind in COUNTED:
        job = jobs.totals.get(kind, Totals()).last_success
        if job is None or job.finished_at is None:
            continue
        seconds = _age(job.started_at or job.created_at, job.finished_at)
        at.add_metric([kind], job.finished_at.timestamp())
        age.add_metric([kind], _age(job.finished_at, now))
        took.add_metric([kind], seconds)
        content.add_metric([kind], job.progress.bytes_done)
        if seconds > 0:
            rate.add_metric([kind], job.progress.bytes_done / seconds)
        written = (job.result or {}).get("size")
        if isinstance(written, int):
            size.add_metric([kind], written)
    yield from (at, age, took, content, size, rate)


def _of_webhooks(jobs: JobFacts) -> Iterator[Metric]:
    attempts = CounterMetricFamily(
        "cell_backup_webhook_attempts", "Attempts to deliver a webhook, by what came of them.", labels=["result"]
    )
    for result, count in jobs.webhook_attempts.items():
        attempts.add_metric([result], count)
    yield attempts
    yield _gauge("webhooks_pending", "Webhooks that wait for an attempt.", jobs.webhooks_pending)


def _of_archives(archives: ArchiveFacts) -> Iterator[Metric]:
    yield _gauge("archives", "Archives in the backup directory.", archives.count)
    yield _gauge("archives_bytes", "Size of all archives together.", archives.size)
    newest = _labelled("archive_newest_timestamp_seconds", "When the newest archive was made, as Unix time.", [])
    verified = _labelled(
        "archive_newest_verified_timestamp_seconds", "When an archive was last read through and found whole.", []
    )
    for family, moment in ((newest, archives.newest), (verified, archives.newest_verified)):
        if moment is not None:
            family.add_metric([], moment.timestamp())
        yield family


def _of_good_backup(archives: ArchiveFacts, now: datetime) -> Iterator[Metric]:
    good = archives.good
    yield _gauge(
        "last_good_backup_age_seconds",
        "Age of the newest backup that has all it was to have and that no verification found broken; +Inf: none.",
        math.inf if good is None else _age(good.created_at, now),
    )
    yield _gauge(
        "last_good_backup_size_bytes", "Size of that backup's archive; 0: none.", 0 if good is None else good.size
    )


def _of_disk(disk: Disk) -> Iterator[Metric]:
    yield _gauge("directory_free_bytes", "Room that is left where the archives go.", disk.free)
    yield _gauge("directory_size_bytes", "Size of the file system where the archives go.", disk.size)


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cell_backup_{name}", words, value)


def _labelled(name: str, words: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cell_backup_{name}", words, labels=labels)


def _age(since: datetime, now: datetime) -> float:
    """Give seconds, never below zero: a clock may have been set back."""
    return max(0.0, (now - since).total_seconds())
