"""Every stage of every kind of job, by its kind's name: these are the places at which something goes wrong."""

from tests.faults.restoring import COMPONENTS
from workers import backup, restore, verify

STAGES: dict[str, tuple[str, ...]] = {
    "backup": tuple(backup.Stage),
    "verify": tuple(verify.Stage),
    "dry run": (restore.Stage.VERIFY, restore.Stage.PLAN),
    "restore": (
        restore.Stage.VERIFY,
        restore.Stage.PLAN,
        restore.Stage.SAFETY,
        "safety/components",
        "safety/volumes",
        "safety/close",
        "safety/publish",
        *COMPONENTS,
        restore.Stage.RELOAD,
        restore.Stage.VOLUMES,
        restore.Stage.REGENERATE,
        restore.Stage.FINISH,
    ),
}
PLACES = tuple((kind, stage) for kind, stages in STAGES.items() for stage in stages)
# whatever comes in these, the restore is done: it is finished, not undone
AFTER_THE_END = {restore.Stage.REGENERATE, restore.Stage.FINISH}
