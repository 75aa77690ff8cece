"""Every error this service raises on purpose.

BackupError                 code, message, hint
├── InputError              the request cannot be served as it stands; nothing was done (HTTP 4xx)
│   └── RefusedError        the same, as the command line has it from the service
├── UnavailableError        something this service needs is away (HTTP 503)
├── PartError               one component or volume failed; the job goes on and ends `partial`
├── ArchiveError            an archive that was read is damaged, foreign or locked
└── JobError                the job itself failed; it leaves nothing behind

Adapters translate third-party errors into these; nobody else catches third-party errors.
"""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Name every error for machines; a code never changes its meaning."""

    # the request
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    CSRF_FAILED = "csrf_failed"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    TOKEN_NOT_FOUND = "token_not_found"
    TOKEN_NAME_TAKEN = "token_name_taken"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    INVALID_WEBHOOK = "invalid_webhook"
    WEBHOOK_NOT_FOUND = "webhook_not_found"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BODY_TOO_LARGE = "body_too_large"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    INVALID_BACKUP_ID = "invalid_backup_id"
    UNKNOWN_COMPONENT = "unknown_component"
    UNKNOWN_SERVICE = "unknown_service"
    BACKUP_NOT_FOUND = "backup_not_found"
    BACKUP_EXISTS = "backup_exists"
    BACKUP_IN_USE = "backup_in_use"
    BACKUP_LAST_VERIFIED = "backup_last_verified"
    RETENTION_KEEPS_NOTHING = "retention_keeps_nothing"
    RETENTION_HELD = "retention_held"
    UNKNOWN_TIMEZONE = "unknown_timezone"
    INVALID_CRON = "invalid_cron"
    SCHEDULE_NOT_FOUND = "schedule_not_found"
    SCHEDULE_NAME_TAKEN = "schedule_name_taken"
    RESTORE_RUNNING = "restore_running"
    JOB_NOT_FOUND = "job_not_found"
    JOB_FINISHED = "job_finished"
    CELL_ROOT_MISSING = "cell_root_missing"
    CELL_ROOT_UNREADABLE = "cell_root_unreadable"
    CELL_ROOT_NOT_A_CELL = "cell_root_not_a_cell"
    PASSPHRASE_REQUIRED = "passphrase_required"
    PASSPHRASE_WRONG = "passphrase_wrong"
    PASSPHRASE_UNEXPECTED = "passphrase_unexpected"
    INVALID_LAYOUT = "invalid_layout"
    INVALID_MANIFEST = "invalid_manifest"
    INVALID_SETTING = "invalid_setting"
    INVALID_TEMPLATE = "invalid_template"
    QUEUE_FULL = "queue_full"
    # what the service needs
    REDIS_UNAVAILABLE = "redis_unavailable"
    EMBEDDED_SERVER_FAILED = "embedded_server_failed"
    WORKER_UNAVAILABLE = "worker_unavailable"
    INTERNAL = "internal"
    SERVICE_UNREACHABLE = "service_unreachable"
    # one component or volume
    FILE_UNREADABLE = "file_unreadable"
    ENGINE_UNREACHABLE = "engine_unreachable"
    ENGINE_ERROR = "engine_error"
    CONTAINER_MISSING = "container_missing"
    VOLUME_MISSING = "volume_missing"
    TAR_FAILED = "tar_failed"
    STREAM_CUT = "stream_cut"
    STREAM_STALLED = "stream_stalled"
    STREAM_MALFORMED = "stream_malformed"
    HOOK_FAILED = "hook_failed"
    HOOK_TIMEOUT = "hook_timeout"
    QUIESCE_FAILED = "quiesce_failed"
    VOLUME_FULL = "volume_full"
    VOLUME_NOT_EMPTIED = "volume_not_emptied"
    VOLUME_INCOMPLETE = "volume_incomplete"
    PART_DAMAGED = "part_damaged"
    GENERATED_INVALID = "generated_invalid"
    ROUTING_FAILED = "routing_failed"
    CELL_API_FAILED = "cell_api_failed"
    # an archive that is read
    ARCHIVE_DAMAGED = "archive_damaged"
    ARCHIVE_TRUNCATED = "archive_truncated"
    ARCHIVE_FOREIGN = "archive_foreign"
    ARCHIVE_TOO_NEW = "archive_too_new"
    ARCHIVE_HOSTILE = "archive_hostile"
    # the job as a whole
    DISK_FULL = "disk_full"
    WRITE_FAILED = "write_failed"
    NOTHING_TO_SAVE = "nothing_to_save"
    NOTHING_TO_RESTORE = "nothing_to_restore"
    SPACE_MISSING = "space_missing"
    PLAN_CONFLICT = "plan_conflict"
    SAFETY_FAILED = "safety_failed"
    SWAP_FAILED = "swap_failed"
    ROLLBACK_FAILED = "rollback_failed"
    CELL_BUSY = "cell_busy"
    CANCELLED = "cancelled"
    WORKER_LOST = "worker_lost"
    WORKER_STOPPED = "worker_stopped"
    WAITED_TOO_LONG = "waited_too_long"
    JOB_TIMEOUT = "job_timeout"
    SECRET_GONE = "secret_gone"


@dataclass(frozen=True, slots=True)
class Meaning:
    """Say what a code means: HTTP status, a title that never varies, and what to do about it."""

    status: int
    title: str
    hint: str


MEANINGS: dict[Code, Meaning] = {
    Code.UNAUTHORIZED: Meaning(
        401, "Not authorized", "Send 'Authorization: Bearer <token>'; the token is in <state dir>/api-token."
    ),
    Code.FORBIDDEN: Meaning(403, "Not allowed", "This token may only read; use one with the scope 'admin'."),
    Code.CSRF_FAILED: Meaning(
        403,
        "Request is not from the admin page",
        "Reload the page. A program sends a token as 'Authorization: Bearer <token>' instead of the page's cookie.",
    ),
    Code.TOO_MANY_ATTEMPTS: Meaning(
        429, "Too many failed attempts", "Wait as long as Retry-After says, then send the right token."
    ),
    Code.TOKEN_NOT_FOUND: Meaning(404, "No such token", "The list of tokens shows their names."),
    Code.TOKEN_NAME_TAKEN: Meaning(409, "Token name is taken", "Choose another name, or remove that token first."),
    Code.IDEMPOTENCY_CONFLICT: Meaning(
        422, "Idempotency key was used before", "Use a new Idempotency-Key for a request that asks for something else."
    ),
    Code.INVALID_WEBHOOK: Meaning(
        422, "Webhook address is not allowed", "Use an https address of a public host, or have the operator allow it."
    ),
    Code.WEBHOOK_NOT_FOUND: Meaning(404, "No such webhook", "GET /api/jobs/<id> lists the webhooks of a job."),
    Code.NOT_FOUND: Meaning(404, "Not found", "See /docs for the addresses that exist."),
    Code.METHOD_NOT_ALLOWED: Meaning(405, "Method not allowed", "See /docs for what this address accepts."),
    Code.BODY_TOO_LARGE: Meaning(413, "Body too large", "A request body here is a small JSON object."),
    Code.RANGE_NOT_SATISFIABLE: Meaning(
        416, "Range not satisfiable", "Ask for bytes that the file has; Content-Range in the answer says how many."
    ),
    Code.INVALID_JSON: Meaning(400, "Body is not JSON", "Send one JSON object, or no body at all."),
    Code.INVALID_REQUEST: Meaning(422, "Invalid request", "Compare the request with the schema at /docs."),
    Code.INVALID_BACKUP_ID: Meaning(
        422, "Invalid backup id", "Take the id from GET /api/config/backups; it has letters, digits, '.', '_' and '-'."
    ),
    Code.UNKNOWN_COMPONENT: Meaning(422, "Unknown component", "The message names the components of this cell."),
    Code.UNKNOWN_SERVICE: Meaning(422, "Unknown service", "The message names the services that have volumes."),
    Code.BACKUP_NOT_FOUND: Meaning(404, "No such backup", "The list of backups shows what exists."),
    Code.BACKUP_EXISTS: Meaning(
        409, "Backup exists", "Upload it under another id, or remove the one that is there first."
    ),
    Code.BACKUP_IN_USE: Meaning(409, "Backup is in use", "Wait until the job that reads it has ended, or cancel it."),
    Code.BACKUP_LAST_VERIFIED: Meaning(
        409, "Last backup that verified", "Verify another backup first; this is the only one that is known to be whole."
    ),
    Code.RETENTION_KEEPS_NOTHING: Meaning(
        422, "Retention would keep nothing", "Let at least one rule keep something, or set no rule at all."
    ),
    Code.RETENTION_HELD: Meaning(
        409,
        "Retention is held",
        "Look at the newest backup. If it is right, remove the others all the same: under Retention on the page, "
        "with --despite-anomaly, or with 'despite_anomaly': true.",
    ),
    Code.UNKNOWN_TIMEZONE: Meaning(422, "Unknown time zone", "Use a name such as 'UTC' or 'Europe/Berlin'."),
    Code.INVALID_CRON: Meaning(
        422, "Cron expression is invalid", "Five fields: minute, hour, day, month, weekday, such as '30 2 * * *'."
    ),
    Code.SCHEDULE_NOT_FOUND: Meaning(404, "No such schedule", "The list of schedules shows their names."),
    Code.SCHEDULE_NAME_TAKEN: Meaning(409, "Schedule name is taken", "Choose another name, or change that schedule."),
    Code.RESTORE_RUNNING: Meaning(
        409, "A restore is under way", "Follow the job that the message names, or cancel it; then ask again."
    ),
    Code.JOB_NOT_FOUND: Meaning(404, "No such job", "The list of jobs shows those that are remembered."),
    Code.JOB_FINISHED: Meaning(409, "Job has ended", "A job that has ended cannot be cancelled."),
    Code.CELL_ROOT_MISSING: Meaning(
        422, "Cell root does not exist", "Set CELL_BACKUP_CELL_ROOT to the folder of the cell, usually /opt/pic."
    ),
    Code.CELL_ROOT_UNREADABLE: Meaning(
        422, "Cell root is not readable", "Run the service as the user who owns the cell root, or as root."
    ),
    Code.CELL_ROOT_NOT_A_CELL: Meaning(
        422, "Cell root holds no cell", "A cell root has a folder config/; check CELL_BACKUP_CELL_ROOT."
    ),
    Code.PASSPHRASE_REQUIRED: Meaning(422, "Passphrase required", "This archive is encrypted: send its passphrase."),
    Code.PASSPHRASE_WRONG: Meaning(422, "Wrong passphrase", "The archive is untouched; try the right passphrase."),
    Code.PASSPHRASE_UNEXPECTED: Meaning(
        422, "Archive is not encrypted", "Leave the passphrase out for a plain archive."
    ),
    Code.INVALID_LAYOUT: Meaning(422, "Layout file is invalid", "Correct the file CELL_BACKUP_LAYOUT_FILE names."),
    Code.INVALID_MANIFEST: Meaning(
        422, "Service manifest is invalid", "Correct data/services/<id>/manifest.json as docs/services.md describes."
    ),
    Code.INVALID_SETTING: Meaning(422, "Setting is invalid", "Correct the environment variable the message names."),
    Code.INVALID_TEMPLATE: Meaning(
        422, "Template is invalid", "Correct the file in CELL_BACKUP_TEMPLATE_DIR that the message names."
    ),
    Code.QUEUE_FULL: Meaning(429, "Queue is full", "Wait until some of the queued jobs have run."),
    Code.REDIS_UNAVAILABLE: Meaning(
        503, "Redis is away", "Check that the server behind CELL_BACKUP_REDIS_URL runs and accepts this client."
    ),
    Code.EMBEDDED_SERVER_FAILED: Meaning(
        503, "Embedded server did not start", "Look at <state dir>/redis/redis.log, or set CELL_BACKUP_REDIS_URL."
    ),
    Code.WORKER_UNAVAILABLE: Meaning(503, "No worker runs", "Start one with 'cell-backup worker'."),
    Code.SERVICE_UNREACHABLE: Meaning(
        503, "Service cannot be reached", "Start it with 'cell-backup serve', or correct CELL_BACKUP_URL or --url."
    ),
    Code.INTERNAL: Meaning(500, "Internal error", "This is a defect: report it with the log lines of this job."),
    Code.FILE_UNREADABLE: Meaning(500, "A file cannot be read", "Give the service the right to read it, or mend it."),
    Code.ENGINE_UNREACHABLE: Meaning(
        503, "Docker engine is not reachable", "Start Docker, or point DOCKER_HOST at it and allow access."
    ),
    Code.ENGINE_ERROR: Meaning(502, "Docker engine refused", "The engine's own words are in the message."),
    Code.CONTAINER_MISSING: Meaning(
        404, "Container does not exist", "Start the service, or correct 'container' in its manifest."
    ),
    Code.VOLUME_MISSING: Meaning(
        404, "Path does not exist in the container", "Correct 'path' in the service's manifest."
    ),
    Code.TAR_FAILED: Meaning(500, "tar failed in the container", "The message has tar's own words and exit code."),
    Code.STREAM_CUT: Meaning(
        502, "Stream ended too early", "The engine or the container stopped in mid-stream; back up again."
    ),
    Code.STREAM_STALLED: Meaning(
        504, "Stream stalled", "No byte came for CELL_BACKUP_STALL_TIMEOUT seconds; look at the container."
    ),
    Code.STREAM_MALFORMED: Meaning(502, "Stream is not a tar archive", "Look at the tar in the container's image."),
    Code.HOOK_FAILED: Meaning(500, "Hook failed", "Run the command in the container by hand; exit code 0 is needed."),
    Code.HOOK_TIMEOUT: Meaning(504, "Hook took too long", "Raise CELL_BACKUP_HOOK_TIMEOUT or mend the command."),
    Code.QUIESCE_FAILED: Meaning(500, "Container could not be quiesced", "The message has the engine's own words."),
    Code.VOLUME_FULL: Meaning(507, "Volume is full", "Free space on the disk that holds the container's volume."),
    Code.VOLUME_NOT_EMPTIED: Meaning(
        500, "Old files are left in a volume", "Start the container and restore this service again."
    ),
    Code.VOLUME_INCOMPLETE: Meaning(
        500,
        "Not everything was written to a volume",
        "The message or the warnings say why; mend that, and restore it again.",
    ),
    Code.PART_DAMAGED: Meaning(
        422, "This part was not saved whole", "Use another backup, or take what is there with 'damaged': 'accept'."
    ),
    Code.GENERATED_INVALID: Meaning(
        500, "Generated configuration does not hold", "Correct the template or the cell's configuration it names."
    ),
    Code.ROUTING_FAILED: Meaning(
        500, "Routing rules could not be applied", "Look at cell-wireguard, then run 'cell-backup regenerate'."
    ),
    Code.CELL_API_FAILED: Meaning(
        502, "The cell's API did not take the call", "Check CELL_BACKUP_CELL_API_URL and the cell's API."
    ),
    Code.ARCHIVE_DAMAGED: Meaning(422, "Archive is damaged", "Use another backup; this one cannot be trusted."),
    Code.ARCHIVE_TRUNCATED: Meaning(422, "Archive is cut off", "Copy the file again, or use another backup."),
    Code.ARCHIVE_FOREIGN: Meaning(422, "Not an archive of this service", "Check that this is the right file."),
    Code.ARCHIVE_TOO_NEW: Meaning(422, "Archive is of a newer format", "Update cell-backup and try again."),
    Code.ARCHIVE_HOSTILE: Meaning(422, "Archive is hostile", "Don't trust where this file came from."),
    Code.DISK_FULL: Meaning(507, "Disk is full", "Free space in the backup directory and back up again."),
    Code.WRITE_FAILED: Meaning(500, "Archive could not be written", "Check the disk that holds the backup directory."),
    Code.NOTHING_TO_SAVE: Meaning(
        422, "Nothing could be saved", "Every chosen component and volume failed or is empty; see their errors."
    ),
    Code.NOTHING_TO_RESTORE: Meaning(
        422, "Nothing could be restored", "The archive holds nothing of what was chosen; look at its contents."
    ),
    Code.SPACE_MISSING: Meaning(
        507, "Not enough space for a restore", "Free what the message says; nothing of the cell has changed."
    ),
    Code.PLAN_CONFLICT: Meaning(
        409, "Something is in the way", "Move away what the message names; nothing of the cell has changed."
    ),
    Code.SAFETY_FAILED: Meaning(
        500,
        "What would be replaced could not be saved first",
        "Mend what the message names, or restore with 'safety': 'none'; nothing of the cell has changed.",
    ),
    Code.SWAP_FAILED: Meaning(
        500, "A file could not be put in its place", "Check the disk and the rights of the cell."
    ),
    Code.ROLLBACK_FAILED: Meaning(
        500, "The cell could not be put back", "Mend what the message names and restart the service, which tries again."
    ),
    Code.CELL_BUSY: Meaning(
        409, "Another process changes this cell", "Wait until the other restore has ended, and ask again."
    ),
    Code.CANCELLED: Meaning(409, "Cancelled", "Somebody asked for it; start the job again if that was a mistake."),
    Code.WORKER_LOST: Meaning(
        500, "Worker died", "The job did not finish; look at the worker's log and start it again."
    ),
    Code.WORKER_STOPPED: Meaning(
        503, "Worker was stopped", "The job was ended cleanly before it was done; start it again."
    ),
    Code.WAITED_TOO_LONG: Meaning(
        504,
        "Job waited too long",
        "Nobody took it within CELL_BACKUP_QUEUE_TIMEOUT; see that a worker runs, start it again.",
    ),
    Code.JOB_TIMEOUT: Meaning(504, "Job ran over its limit", "Raise CELL_BACKUP_JOB_TIMEOUT or back up less at once."),
    Code.SECRET_GONE: Meaning(410, "Key is no longer there", "Start the job again with the passphrase."),
}


class BackupError(Exception):
    """Carry a stable code, a sentence for people, and a hint that helps."""

    def __init__(self, code: Code, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = MEANINGS[code].hint if hint is None else hint

    @property
    def status(self) -> int:
        """Give the HTTP status of this error's code."""
        return MEANINGS[self.code].status


class InputError(BackupError):
    """Refuse a request that cannot be served as it stands; `job_id` is that of the job that is in the way."""

    def __init__(self, code: Code, message: str, *, hint: str | None = None, job_id: str | None = None) -> None:
        super().__init__(code, message, hint=hint)
        self.job_id = job_id


class RefusedError(InputError):
    """Report that the service that was called refused; nothing was done."""


class UnavailableError(BackupError):
    """Report that something this service needs is away."""


class PartError(BackupError):
    """Fail one component or volume; the rest of the job goes on. `exit_code` is that of the command that failed."""

    def __init__(self, code: Code, message: str, *, hint: str | None = None, exit_code: int | None = None) -> None:
        super().__init__(code, message, hint=hint)
        self.exit_code = exit_code


class ArchiveError(BackupError):
    """Refuse an archive that is damaged, foreign or locked."""


class JobError(BackupError):
    """Fail the whole job; nothing of it stays behind."""
