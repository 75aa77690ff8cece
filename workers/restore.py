"""The restore job: verify, plan, safety archive, the cell's files in order, volumes, regeneration."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from app.archive.outgoing import VolumeReader
from app.archive.parts import Part, PartKind, PartOutcome, PartResult
from app.archive.pinned import PinnedFile
from app.archive.reader import tar_stream_ahead
from app.archive.verify import Report
from app.catalog.base import Entry
from app.catalog.names import new_backup_id
from app.cell.restoring.staging import Staging
from app.cell.restoring.swap import Swap
from app.cell.restoring.workspace import Workspace, open_workspace
from app.engine.base import ContainerState
from app.engine.journal import recover
from app.engine.shield import see_through
from app.errors import BackupError, Code, JobError
from app.jobs.keys import unpack_keys
from app.jobs.records import JobState
from workers.regeneration.regenerating import regenerate, reload_cell, tell_again
from workers.restoring.plan import RestorePlan
from workers.restoring.planning import plan_restore
from workers.restoring.putting_back import Saved, put_volumes_back
from workers.restoring.request import RestoreRequest
from workers.restoring.safety import Safety, save_before
from workers.restoring.unpacking import unpack
from workers.restoring.volumes import VolumeTarget, VolumeWriter, containers_of, known_services, target_of
from workers.running import Ending, JobRun
from workers.steps import Steps

NEXT = "Run 'make restart' in the cell root, so that every container reads what was restored."


class Stage(StrEnum):
    """Name what a restore does, in order; between `safety` and `reload` each component is a stage of its own."""

    VERIFY = "verify"
    PLAN = "plan"
    SAFETY = "safety"
    RELOAD = "reload"
    VOLUMES = "volumes"
    REGENERATE = "regenerate"
    FINISH = "finish"


async def restore(run: JobRun) -> Ending:
    """Bring the cell back as an archive has it; what fails before the end leaves the cell as it was."""
    settings, job = run.tools.settings, run.job
    request = RestoreRequest.of(job.request, settings.regenerate)
    entry = await run.threads.run(run.tools.store.get, job.backup_id)
    run.progress.total = _expected(entry, request)
    keys = unpack_keys(await run.tools.jobs.secrets.open(job.job_id)) if entry.encrypted else (None, None)
    work = _Restore(run, request, *keys)
    opening = open_workspace(settings.cell_root, job_id=job.job_id, backup_id=job.backup_id)
    pinned = await run.threads.run(lambda: PinnedFile(run.tools.store.open(job.backup_id)))
    with pinned as archive, work.cut_off_is_told():
        async with run.threads.managed(opening) as workspace:
            plan = await work.prepare(archive, workspace)
            if request.dry_run:
                return Ending(JobState.SUCCEEDED, work.told)
            await work.change(archive, workspace, plan)
        await work.complete(plan)
    return work.ending()


class _Restore:
    """Do one restore, step by step; `told` is the job's result as it grows."""

    def __init__(self, run: JobRun, request: RestoreRequest, data_key: bytes | None, safety_key: bytes | None) -> None:
        self._run = run
        self._request = request
        self._data_key = data_key
        self._safety_key = safety_key
        self._steps = Steps(run)
        self._saved: Saved | None = None
        self._begun: list[Part] = []
        self._lost: list[str] = []
        self._is_committed = False

    @property
    def told(self) -> dict[str, object]:
        """Give the job's result."""
        assert self._run.result is not None
        return self._run.result

    async def prepare(self, archive: PinnedFile, workspace: Workspace) -> RestorePlan:
        """Prove the archive, stage the cell's files and plan; the cell does not change."""
        run = self._run
        settings = run.tools.settings
        itself = await run.threads.run(run.tools.store.path, run.job.backup_id)  # it may lie in the cell
        staging = Staging(workspace, run.tools.layout, leave_out=[settings.archives_dir, settings.state_dir, itself])
        with self._steps.step(Stage.VERIFY):
            report = await unpack(run, archive, staging, self._data_key, note=not self._request.dry_run)
        with self._steps.step(Stage.PLAN):
            plan = await plan_restore(run, self._request, report, staging)
        run.warnings.extend(plan.warnings)
        self.told["plan"] = plan.to_json()
        run.parts.extend(plan.left_out)
        saved = plan.space["safety_at_most"] + sum(target.saved.bytes for target in plan.volumes.targets)
        run.progress.total = run.meter.bytes + (0 if self._request.dry_run else saved)
        run.progress.estimated = True
        return plan

    async def change(self, archive: PinnedFile, workspace: Workspace, plan: RestorePlan) -> None:
        """Change the cell; leaves it as it was where anything fails, also where the job is to end."""
        run = self._run
        await run.check_may_publish()
        targets = await self._save_first(workspace, plan)
        swap = Swap(workspace, plan.files)
        await run.threads.run(swap.prepare)
        await run.check_may_publish()
        async with self._undone_on_failure(workspace):
            for name in plan.components.names:
                with self._steps.step(name):
                    await self._put_component(swap, plan, name)
            await run.threads.run(swap.finish_folders)
            run.warnings.extend(swap.warnings)
            with self._steps.step(Stage.RELOAD):
                run.warnings.extend(await reload_cell(run.tools))
            with self._steps.step(Stage.VOLUMES):
                await self._put_volumes(archive, workspace, targets, plan.report)
            await run.check_may_publish()
            await see_through(run.threads.run(swap.commit))
        self._settle()
        await run.note()  # while the journal is there: whoever ends this job for a dead worker knows that it is done

    async def complete(self, plan: RestorePlan) -> None:
        """Do what a restore is not undone for: generated configuration, routing rules, a look at the containers."""
        with self._steps.step(Stage.REGENERATE) as told:
            await self._regenerate(told)
        with self._steps.step(Stage.FINISH):
            self._run.warnings.extend(await self._look_at_containers(plan))

    @contextmanager
    def cut_off_is_told(self) -> Iterator[None]:
        """Say that regeneration is owed where the job ends between the commit and its own end."""
        try:
            yield
        except BaseException:
            if self._is_committed:
                cut_off = "The restore is done, but its regeneration was cut off: run 'cell-backup regenerate'."
                self._run.warnings.append(cut_off)
            raise

    def _settle(self) -> None:
        self._is_committed = True
        self._run.settle(self.ending())

    async def _regenerate(self, told: dict[str, Any]) -> None:
        run = self._run
        try:
            done = await regenerate(run.tools, way=self._request.regenerate)
        except BackupError as error:  # the cell is back: this alone does not make it fail
            told["state"] = "failed"
            run.warnings.append(f"Nothing was generated anew: {error.message} {error.hint}")
        else:
            told.update(done.to_json())
            run.warnings.extend(done.warnings)

    def ending(self) -> Ending:
        """Say how the restore ended: partial where a part that was asked for is not restored whole."""
        whole = all(result.outcome is PartOutcome.SUCCEEDED and result.error is None for result in self._run.parts)
        self.told["next"] = NEXT
        return Ending(JobState.SUCCEEDED if whole else JobState.PARTIAL, self.told)

    async def _save_first(self, workspace: Workspace, plan: RestorePlan) -> tuple[VolumeTarget, ...]:
        """Make the safety archive; give the volumes that can be restored, which are those that could be saved."""
        targets = plan.volumes.targets
        with self._steps.step(Stage.SAFETY) as told:
            if self._request.safety == "none":
                told["state"] = "skipped"
                return targets
            full = self._request.safety == "full"
            changed = [name for name in plan.components.names if name in plan.files.components]
            self.told["safety_backup_id"] = backup_id = new_backup_id(datetime.now(UTC))
            safety: Safety | None = None
            try:
                safety = await save_before(self._run, backup_id, changed, targets if full else (), self._safety_key)
            finally:
                if safety is None or safety.backup_id is None:
                    del self.told["safety_backup_id"]
            if safety is None or safety.backup_id is None:
                told["state"] = "skipped"
                return targets if safety is None else self._those_saved(targets, safety)
            told["backup_id"], told["size"] = safety.backup_id, safety.size
            if not full:
                return targets
            self._saved = Saved(safety.backup_id, self._safety_key)
            sealed = None if self._safety_key is None else self._run.tools.seal.encrypt(self._safety_key).decode()
            await self._run.threads.run(workspace.note_safety, safety.backup_id, sealed)
            return self._those_saved(targets, safety)

    def _those_saved(self, targets: tuple[VolumeTarget, ...], safety: Safety) -> tuple[VolumeTarget, ...]:
        for target in targets:
            if not safety.has(target.part):
                found = [item for item in safety.parts if item.part.label == target.part.label]
                error = found[0].error if found else None
                self._run.parts.append(PartResult(target.part, PartOutcome.FAILED, error=error))
        return tuple(target for target in targets if safety.has(target.part))

    @asynccontextmanager
    async def _undone_on_failure(self, workspace: Workspace) -> AsyncIterator[None]:
        try:
            yield
        except BaseException as error:
            if workspace.journal.committed:  # it was told to end just then: what is done is done
                self._settle()
                raise
            await see_through(self._put_back(workspace, error))
            first = _first(error) if _is_rollback(error) else error  # by now everything is back
            if isinstance(first, BackupError):
                raise JobError(first.code, first.message, hint=first.hint) from error
            raise

    async def _put_back(self, workspace: Workspace, cause: BaseException) -> None:
        """Put volumes and files back; where that must wait, it is raised, and the next start tries it again."""
        run = self._run
        run.parts[:] = [_undone(result) for result in run.parts]
        why = _why(cause)
        try:
            await self._put_volumes_back()
        except JobError as error:
            raise JobError(error.code, f"{error.message}{why}", hint=error.hint) from error
        run.warnings.extend(await run.threads.run(workspace.roll_back))
        # what stayed held because a volume could not be put back at once
        run.warnings.extend(await recover(run.tools.journal, run.tools.engine))
        if Stage.RELOAD in self._steps.names:
            await tell_again(run.tools)  # whoever was told of the new files is told of the old ones
        self.told["rolled_back"] = not self._lost
        if self._lost:
            hint = "Nothing else of the restore is left; the files are as they were."
            raise JobError(Code.ROLLBACK_FAILED, f"{' '.join(self._lost)}{why}", hint=hint)

    async def _put_volumes_back(self) -> None:
        """Put back every volume that was begun, once."""
        done = await put_volumes_back(self._run.tools, self._begun, self._saved)
        self._lost.extend(done.lost)
        self._run.warnings.extend(done.warnings)

    async def _put_component(self, swap: Swap, plan: RestorePlan, name: str) -> None:
        run = self._run
        part = Part(PartKind.COMPONENT, name)
        run.parts.append(PartResult(part, PartOutcome.RUNNING))
        await run.threads.run(swap.apply, name, run.threads.keep_going)
        files, size = plan.files.contents[name]
        run.parts[-1] = PartResult(part, PartOutcome.SUCCEEDED, files=files, bytes=size)

    async def _put_volumes(
        self, archive: PinnedFile, workspace: Workspace, targets: tuple[VolumeTarget, ...], report: Report
    ) -> None:
        """Write the volumes, in the archive's order; which container holds still is what the restored manifests say."""
        if not targets:
            return
        run = self._run
        containers, _ = await containers_of(run.tools)
        services = await known_services(run.tools, run.threads, containers)
        await run.threads.run(archive.rewind)
        async with run.threads.managed(closing(tar_stream_ahead(archive, self._data_key))) as pieces:
            going, misfits, plain = run.threads.keep_going, report.misfits, report.plain
            reader = VolumeReader(pieces, meter=run.meter, keep_going=going, misfits=misfits, plain=plain)
            writer = VolumeWriter(run.tools, run.threads, reader, self._put_volumes_back)
            for target in targets:
                now = target_of(target.saved, services, containers)
                held = replace(target, volume=replace(target.volume, quiesce=now.quiesce))
                await self._put_volume(workspace, writer, held)

    async def _put_volume(self, workspace: Workspace, writer: VolumeWriter, target: VolumeTarget) -> None:
        run = self._run
        await run.check_may_publish()
        await run.threads.run(workspace.note_volume, target.part)
        self._begun.append(target.part)
        run.parts.append(PartResult(target.part, PartOutcome.RUNNING))
        run.parts[-1] = await writer.write(target, target.saved.part.prefix)
        if run.parts[-1].outcome is not PartOutcome.SUCCEEDED and target.part in self._begun:
            self._begun.remove(target.part)  # it was not touched

    async def _look_at_containers(self, plan: RestorePlan) -> list[str]:
        """Name the containers that ran before the restore and do not now."""
        now, away = await containers_of(self._run.tools)
        if away is not None:
            return []
        return [
            f"{name} ran before the restore and does not run now."
            for name, container in plan.volumes.containers.items()
            if container.state is ContainerState.RUNNING
            and (name not in now or now[name].state is not ContainerState.RUNNING)
        ]


def _expected(entry: Entry, request: RestoreRequest) -> int | None:
    """Guess the bytes to come: the archive once, then what is saved first, then the volumes once more."""
    volumes = sum(result.bytes for result in entry.parts if result.part.kind is PartKind.VOLUME)
    whole = sum(result.bytes for result in entry.parts)
    after = 0 if request.dry_run else volumes + {"full": whole, "files": whole - volumes, "none": 0}[request.safety]
    return whole + after or None


def _why(cause: BaseException) -> str:
    """Say what made the restore fail: the first error, which those of undoing it came after."""
    first = _first(cause)
    return f" The restore had failed: {first.message}" if isinstance(first, BackupError) else ""


def _is_rollback(error: BaseException) -> bool:
    return isinstance(error, JobError) and error.code is Code.ROLLBACK_FAILED


def _first(error: BaseException) -> BaseException:
    """Give the error in whose handling this one came up, in its own words and not in those of its cause."""
    first = error
    while isinstance(error.__context__, BackupError):
        first = first if error.__context__ is error.__cause__ else error.__context__
        error = error.__context__
    return first


def _undone(result: PartResult) -> PartResult:
    return PartResult(result.part, PartOutcome.PENDING) if result.outcome is PartOutcome.SUCCEEDED else result
