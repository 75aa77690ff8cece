"""The retention policy that somebody set, in the state directory; until then it is that of the settings."""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from app.catalog.retention import Policy, check_policy
from app.errors import BackupError
from app.jobs.state_dir import private_directory, read_private, replace_private, unusable
from app.settings import Settings

_Policy = TypeAdapter(Policy)


class RetentionFile:
    """Keep the policy; everything here blocks and raises InputError INVALID_SETTING where the file cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.state_dir / "retention.json"
        self._settings = settings

    def read(self) -> Policy:
        """Give the policy that holds now; one that cannot be read is no policy, and never another one."""
        return self.own() or policy_of(self._settings)

    def own(self) -> Policy | None:
        """Give the policy that somebody set, None where that of the settings holds."""
        try:
            content = read_private(self._path, longest=1 << 16)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(self._path, error.strerror or "cannot be read") from error
        try:
            return check_policy(_Policy.validate_json(content))
        except (ValidationError, BackupError) as error:
            hint = "Set the policy anew, or remove the file."
            raise unusable(self._path, "does not hold a policy", hint=hint) from error

    def write(self, policy: Policy) -> None:
        """Let another policy hold; raises as `check_policy` does, too."""
        check_policy(policy)
        private_directory(self._path.parent)
        try:
            replace_private(self._path, _Policy.dump_json(policy, indent=1) + b"\n")
        except OSError as error:
            raise unusable(self._path, error.strerror or "cannot be written") from error

    def forget(self) -> None:
        """Let the policy of the settings hold again."""
        try:
            Path(self._path).unlink(missing_ok=True)
        except OSError as error:
            raise unusable(self._path, error.strerror or "cannot be removed") from error


def policy_of(settings: Settings) -> Policy:
    """Give the policy that the settings name."""
    return Policy(
        keep_last=settings.keep_last,
        keep_hourly=settings.keep_hourly,
        keep_daily=settings.keep_daily,
        keep_weekly=settings.keep_weekly,
        keep_monthly=settings.keep_monthly,
        keep_yearly=settings.keep_yearly,
        timezone=settings.timezone,
        shrink_limit=settings.shrink_limit,
    )
