"""Retention: which archives stay and which go, by rules that keep the newest of each period; nothing is done here."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from statistics import median

from app.catalog.base import Entry
from app.clock.zones import zone_of
from app.errors import MEANINGS, Code, InputError

USUAL = 7  # so many backups before the newest say what is usual


class Why(StrEnum):
    """Say why an archive stays, apart from the rules that it falls under; or that none keeps it."""

    OFF = "no_rule_is_set"
    SAFETY = "safety_archive"
    FOREIGN = "not_described"
    DAMAGED = "damaged"
    IN_USE = "in_use"
    VERIFIED = "last_verified"
    ONLY = "only_one"
    OUT = "no_rule_keeps_it"


@dataclass(frozen=True, slots=True)
class Policy:
    """Say how many are kept: of all, and of the newest of each hour, day, week, month and year in a time zone.

    None is a rule that is not set; where none is set nothing is removed. `undescribed` rules over archives that came
    from elsewhere, too. A newest backup below `shrink_limit` of the usual size keeps everything; 0 turns that off.
    """

    keep_last: int | None = None
    keep_hourly: int | None = None
    keep_daily: int | None = None
    keep_weekly: int | None = None
    keep_monthly: int | None = None
    keep_yearly: int | None = None
    timezone: str = "UTC"
    undescribed: bool = False
    shrink_limit: float = 0.5

    @property
    def counts(self) -> Mapping[str, int]:
        """Give the rules that are set."""
        found = {name: getattr(self, f"keep_{name}") for name in _PERIODS}
        return {name: count for name, count in found.items() if count is not None}

    @property
    def active(self) -> bool:
        """Tell whether this policy removes anything at all."""
        return bool(self.counts)


@dataclass(frozen=True, slots=True)
class Decision:
    """Say of one archive whether it stays, and every reason for that."""

    entry: Entry
    keep: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Say why nothing is removed although rules would remove something."""

    message: str
    code: Code = Code.RETENTION_HELD

    @property
    def hint(self) -> str:
        """Say what to do about it."""
        return MEANINGS[self.code].hint


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold what is decided of each archive, newest first; where it is `held`, nothing may be removed."""

    decisions: tuple[Decision, ...]
    held: Held | None = None

    @property
    def removals(self) -> list[Entry]:
        """Give what the rules remove, oldest first, whether or not that is held."""
        return [decision.entry for decision in reversed(self.decisions) if not decision.keep]


def check_policy(policy: Policy) -> Policy:
    """Give the policy back; InputError RETENTION_KEEPS_NOTHING or UNKNOWN_TIMEZONE."""
    zone_of(policy.timezone)
    counts = policy.counts.values()
    if policy.active and (min(counts) < 0 or not any(counts)):
        raise InputError(Code.RETENTION_KEEPS_NOTHING, "No rule keeps anything, or one keeps fewer than none.")
    return policy


def decide(
    entries: Sequence[Entry], policy: Policy, *, in_use: Collection[str] = (), failed_at: datetime | None = None
) -> Plan:
    """Decide of each archive; `in_use` stay, and `failed_at` is when the last backup that failed did so.

    Archives are counted apart by what was chosen of the cell, and partial ones apart from whole ones: neither takes
    the place of the other. Raises InputError as `check_policy` does.
    """
    check_policy(policy)
    newest_first = sorted(entries, key=lambda entry: (entry.created_at, entry.backup_id), reverse=True)
    reasons: dict[str, list[str]] = {entry.backup_id: _standing(entry, policy, in_use) for entry in newest_first}
    ruled = [entry for entry in newest_first if _is_ruled(entry, policy)]
    for group in _groups(ruled):
        for entry, why in _kept_by_rules(group, policy):
            reasons[entry.backup_id].append(why)
    verified = next((entry for entry in newest_first if entry.verified is not None and entry.verified.ok), None)
    if verified is not None:
        reasons[verified.backup_id].append(Why.VERIFIED)
    if ruled and not any(reasons[entry.backup_id] for entry in ruled):
        reasons[ruled[0].backup_id].append(Why.ONLY)
    decisions = [_decision(entry, reasons[entry.backup_id]) for entry in newest_first]
    return Plan(tuple(decisions), _anomaly(newest_first, policy, failed_at) if policy.active else None)


def _decision(entry: Entry, reasons: Sequence[str]) -> Decision:
    return Decision(entry, keep=bool(reasons), reasons=tuple(reasons) or (Why.OUT,))


def _standing(entry: Entry, policy: Policy, in_use: Collection[str]) -> list[str]:
    """Give the reasons that have nothing to do with time."""
    stands = {
        Why.OFF: not policy.active,
        Why.SAFETY: entry.expires_at is not None,
        Why.FOREIGN: not entry.described and not policy.undescribed,
        Why.DAMAGED: _is_damaged(entry),
        Why.IN_USE: entry.backup_id in in_use,
    }
    return [why for why, holds in stands.items() if holds]


def _is_ruled(entry: Entry, policy: Policy) -> bool:
    described = entry.described or policy.undescribed
    return policy.active and described and entry.expires_at is None and not _is_damaged(entry)


def _is_damaged(entry: Entry) -> bool:
    return entry.verified is not None and not entry.verified.ok


def _groups(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Part archives that must not take one another's place."""
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.described, entry.choice, entry.outcome == "partial"), []).append(entry)
    return list(groups.values())


_PERIODS: Mapping[str, Callable[[datetime, int], object]] = {
    "last": lambda _, place: place,
    "hourly": lambda at, _: (at.date(), at.hour),
    "daily": lambda at, _: at.date(),
    "weekly": lambda at, _: at.isocalendar()[:2],
    "monthly": lambda at, _: (at.year, at.month),
    "yearly": lambda at, _: at.year,
}


def _kept_by_rules(group: Sequence[Entry], policy: Policy) -> list[tuple[Entry, str]]:
    """Give each archive that a rule keeps, once for each rule.

    A rule that keeps more periods than there are keeps the oldest archive, too: what it is the first of grows old.
    """
    zone = zone_of(policy.timezone)
    kept = []
    for name, count in policy.counts.items():
        left, before = count, None
        for place, entry in enumerate(group):
            period = _PERIODS[name](entry.created_at.astimezone(zone), place)
            is_oldest = place == len(group) - 1
            if left and (period != before or is_oldest):
                kept.append((entry, name if period != before else f"oldest_{name}"))
                left, before = left - 1, period
    return kept


def _anomaly(newest_first: Sequence[Entry], policy: Policy, failed_at: datetime | None) -> Held | None:
    """Tell what is odd about the newest backup, None where nothing is."""
    ordinary = [entry for entry in newest_first if entry.described and entry.expires_at is None]
    if not ordinary:
        return None
    newest = ordinary[0]
    if failed_at is not None and failed_at > newest.created_at:
        return Held("The last backup failed.")
    if newest.outcome != "succeeded":
        return Held(f"The newest backup, {newest.backup_id}, is {newest.outcome or 'of unknown outcome'}.")
    if _is_damaged(newest):
        return Held(f"The newest backup, {newest.backup_id}, did not verify.")
    usual = _usual_size(newest, ordinary[1:])
    if usual is not None and newest.size < policy.shrink_limit * usual:
        return Held(f"The newest backup, {newest.backup_id}, has {newest.size} bytes; {usual:.0f} are usual.")
    return None


def _usual_size(newest: Entry, before: Sequence[Entry]) -> float | None:
    sizes = [
        entry.size
        for entry in before
        if entry.choice == newest.choice and entry.outcome == "succeeded" and not _is_damaged(entry)
    ]
    return median(sizes[:USUAL]) if sizes else None
