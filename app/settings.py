"""All settings, read from the environment, `.env` or a secrets directory; prefix CELL_BACKUP_."""

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from app.clock.cron import Cron
from app.clock.zones import zone_of
from app.errors import Code, InputError


def default_state_dir() -> Path:
    """Choose where this service keeps its own state: /var/lib for root, the XDG state folder for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/cell-backup")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "cell-backup"


class Settings(BaseSettings):
    """Hold every setting; durations in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="CELL_BACKUP_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        secrets_dir="/run/secrets" if Path("/run/secrets").is_dir() else None,
    )

    cell_root: Annotated[Path, Field(description="Folder of the cell.")] = Path("/opt/pic")
    backup_dir: Annotated[Path | None, Field(description="Where archives go; unset: <cell root>/backups.")] = None
    state_dir: Annotated[Path, Field(description="Where this service keeps its own state.")] = Field(
        default_factory=default_state_dir
    )
    redis_url: Annotated[
        SecretStr | None, Field(description="redis://, rediss:// or unix:// address; unset: an embedded server.")
    ] = None
    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0: any free one.")] = 8300
    api_token: Annotated[
        SecretStr | None, Field(description="Bearer token; unset: generated into <state dir>/api-token.")
    ] = None
    layout_file: Annotated[Path | None, Field(description="JSON file that replaces the table of components.")] = None
    gzip_level: Annotated[int, Field(ge=0, le=3, description="ISA-L level; higher is smaller and slower.")] = 1
    scrypt_n: Annotated[int, Field(ge=2**10, le=2**20, description="Cost of a passphrase guess.")] = 2**17
    stall_timeout: Annotated[float, Field(gt=0, description="A stream that is silent this long is given up.")] = 120
    hook_timeout: Annotated[float, Field(gt=0, description="Limit for one pre or post command.")] = 300
    job_timeout: Annotated[float, Field(gt=0, description="Limit for one job.")] = 24 * 3600
    lease_seconds: Annotated[float, Field(gt=1, description="A lease that is not renewed ends after this.")] = 30
    max_queued_jobs: Annotated[int, Field(ge=1, description="More waiting jobs than this are refused.")] = 100
    job_history: Annotated[int, Field(ge=1, description="How many ended jobs are remembered.")] = 1000
    regenerate: Annotated[
        Literal["builtin", "hook", "off"], Field(description="Who makes Caddyfile, Corefile and routing rules anew.")
    ] = "builtin"
    template_dir: Annotated[Path | None, Field(description="Templates here replace the shipped ones.")] = None
    cell_api_url: Annotated[str | None, Field(description="The cell's own API, such as http://127.0.0.1:3000.")] = None
    cell_api_token: Annotated[SecretStr | None, Field(description="Bearer token for the cell's own API.")] = None
    cell_api_reload_path: Annotated[str, Field(description="POST here makes the cell's API read its files.")] = (
        "/api/config/reload"
    )
    cell_api_apply_path: Annotated[str, Field(description="POST here makes the cell's API do step 8.")] = (
        "/api/config/apply"
    )
    safety_days: Annotated[float, Field(gt=0, description="Safety archives of restores are removed after this.")] = 7
    max_members: Annotated[int, Field(ge=1, description="An archive with more members is refused.")] = 5_000_000
    max_expansion: Annotated[
        int, Field(ge=1, description="An archive that unpacks to more times its size, and 64 GiB, is refused.")
    ] = 200
    queue_timeout: Annotated[float, Field(gt=0, description="A job that waits longer than this is ended.")] = 24 * 3600
    webhook_url: Annotated[SecretStr | None, Field(description="The end of every job is told here.")] = None
    webhook_secret: Annotated[
        SecretStr | None, Field(description="Signs webhooks: whsec_ and base64, or any text of 24 bytes and more.")
    ] = None
    webhook_networks: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(description="Networks that are not public and may get webhooks, such as 127.0.0.0/8,172.20.0.0/16."),
    ] = ()
    webhook_pauses: Annotated[
        tuple[float, ...], NoDecode, Field(description="Seconds between attempts to deliver a webhook.")
    ] = (5, 60, 300, 1800, 3600, 2 * 3600, 4 * 3600, 6 * 3600, 10 * 3600)
    schedule: Annotated[str | None, Field(description="Cron expression: when backups are made by themselves.")] = None
    schedule_passphrase_file: Annotated[
        Path | None, Field(description="Its first line encrypts those; only this user may read it.")
    ] = None
    timezone: Annotated[str, Field(description="Time zone of schedules and retention that name none.")] = "UTC"
    keep_last: Annotated[int | None, Field(ge=0, description="Backups that retention keeps; none set: all.")] = None
    keep_hourly: Annotated[int | None, Field(ge=0, description="Hours of which the newest backup is kept.")] = None
    keep_daily: Annotated[int | None, Field(ge=0, description="Days of which the newest backup is kept.")] = None
    keep_weekly: Annotated[int | None, Field(ge=0, description="Weeks of which the newest backup is kept.")] = None
    keep_monthly: Annotated[int | None, Field(ge=0, description="Months of which the newest backup is kept.")] = None
    keep_yearly: Annotated[int | None, Field(ge=0, description="Years of which the newest backup is kept.")] = None
    shrink_limit: Annotated[
        float, Field(ge=0, le=1, description="Nothing goes after a backup below this part of the usual size; 0: off.")
    ] = 0.5
    page: Annotated[bool, Field(description="Whether the admin page is served, and one can log in to it.")] = True
    docs: Annotated[bool, Field(description="Whether /docs and /openapi.json are served.")] = True
    metrics: Annotated[
        Literal["token", "public", "off"], Field(description="Who may read /metrics: a token's holder, all, nobody.")
    ] = "token"
    log_format: Annotated[Literal["text", "json"], Field(description="Log lines as text, or as JSON.")] = "text"
    log_level: Annotated[str, Field(description="DEBUG, INFO, WARNING or ERROR.")] = "INFO"

    @field_validator("cell_root", "backup_dir", "state_dir", "layout_file", "template_dir", "schedule_passphrase_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("webhook_networks", "webhook_pauses", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value

    @field_validator("webhook_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(item)) for item in value)

    @field_validator("schedule")
    @classmethod
    def _known_cron(cls, value: str | None) -> str | None:
        try:
            return None if value is None else Cron(value).expression
        except InputError as error:
            raise ValueError(error.message) from error

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            zone_of(value)
        except InputError as error:
            raise ValueError(error.message) from error
        return value

    @field_validator("scrypt_n")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("must be a power of two")
        return value

    @property
    def archives_dir(self) -> Path:
        """Give the directory that holds the archives."""
        return self.backup_dir or self.cell_root / "backups"


def load_settings() -> Settings:
    """Read all settings; InputError INVALID_SETTING names those that don't fit, and never shows their values."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"CELL_BACKUP_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors() if e["loc"])
        raise InputError(Code.INVALID_SETTING, f"{wrong}.") from None
    except SettingsError as error:
        raise InputError(Code.INVALID_SETTING, f"{error}.") from error
