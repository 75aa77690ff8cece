"""Which archives retention keeps, and why; the decisions on a long history are compared with files in `golden`.

Run with CELL_BACKUP_WRITE_GOLDEN=1 to write those files anew, and read the difference.
"""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.base import Entry, Verification
from app.catalog.names import choice_of
from app.catalog.retention import Plan, Policy, Why, decide
from app.errors import Code, InputError

GOLDEN = Path(__file__).with_name("golden")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GOOD, BAD = Verification(NOON, ok=True), Verification(NOON, ok=False, code="archive_damaged", message="Broken.")


def backup(name: str, at: datetime = NOON, **other: object) -> Entry:
    entry = Entry(name, f"{name}.tar.gz", encrypted=False, size=1000, created_at=at, described=True)
    return replace(entry, **{"outcome": "succeeded", **other})  # type: ignore[arg-type]  # the fields of an entry, as a test names them


def nightly(count: int, **other: object) -> list[Entry]:
    """Give backups of so many nights, the newest first, `n0`, `n1`, …"""
    return [backup(f"n{days}", NOON - timedelta(days=days), **other) for days in range(count)]


def kept(plan: Plan) -> list[str]:
    return [decision.entry.backup_id for decision in plan.decisions if decision.keep]


def reasons(plan: Plan, backup_id: str) -> tuple[str, ...]:
    return next(decision.reasons for decision in plan.decisions if decision.entry.backup_id == backup_id)


def history() -> list[Entry]:
    """Give three years: one or two backups on most days, four on some, across both changes of the clock."""
    times = []
    for day in range(1100):
        start = datetime(2023, 11, 20, tzinfo=UTC) + timedelta(days=day)
        hours = [] if day % 11 == 3 else [1, 22] if day % 3 else [1]
        times += [start + timedelta(hours=hour, minutes=30) for hour in (hours if day % 50 else [0, 1, 2, 23])]
    return [backup(f"{at:%Y%m%d-%H%M}", at) for at in times]


POLICIES = {
    "last_10": Policy(keep_last=10),
    "hourly_24": Policy(keep_hourly=24),
    "daily_7": Policy(keep_daily=7),
    "daily_30_berlin": Policy(keep_daily=30, timezone="Europe/Berlin"),
    "weekly_8": Policy(keep_weekly=8),
    "monthly_14": Policy(keep_monthly=14),
    "yearly_2": Policy(keep_yearly=2),
    "yearly_10": Policy(keep_yearly=10),
    "usual": Policy(keep_last=3, keep_daily=7, keep_weekly=5, keep_monthly=12, keep_yearly=10),
    "usual_auckland": Policy(keep_daily=7, keep_weekly=5, keep_monthly=12, timezone="Pacific/Auckland"),
}


@pytest.mark.parametrize("name", POLICIES)
def test_decisions_on_a_long_history_are_as_before(name: str) -> None:
    plan = decide(history(), POLICIES[name])
    lines = [f"{d.entry.created_at:%a %Y-%m-%d %H:%M} {' '.join(d.reasons)}" for d in plan.decisions if d.keep]
    found = "\n".join([*lines, f"removed: {len(plan.removals)}", ""])
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("CELL_BACKUP_WRITE_GOLDEN"):
        golden.write_text(found)
    assert found == golden.read_text()


@given(
    minutes=st.lists(st.integers(0, 60 * 24 * 40), min_size=1, max_size=60, unique=True),
    count=st.integers(1, 12),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
)
def test_a_rule_keeps_the_newest_of_each_of_its_days_and_the_oldest_of_all_while_there_is_room(
    minutes: list[int], count: int, zone: str
) -> None:
    """Told another way than it is done: by grouping, not by walking."""
    entries = [backup(f"b{minute}", NOON - timedelta(minutes=minute)) for minute in minutes]
    days: dict[object, list[Entry]] = {}
    for entry in entries:
        days.setdefault(entry.created_at.astimezone(ZoneInfo(zone)).date(), []).append(entry)
    newest = sorted((max(day, key=lambda entry: entry.created_at) for day in days.values()), key=lambda e: e.created_at)
    wanted = {entry.backup_id for entry in newest[-count:]}
    if len(newest) < count:
        wanted.add(min(entries, key=lambda entry: entry.created_at).backup_id)
    assert set(kept(decide(entries, Policy(keep_daily=count, timezone=zone)))) == wanted


@given(st.permutations(nightly(9)))
def test_the_order_of_the_list_makes_no_difference(entries: list[Entry]) -> None:
    assert decide(entries, Policy(keep_daily=3)) == decide(nightly(9), Policy(keep_daily=3))


def test_without_a_rule_everything_stays() -> None:
    plan = decide(nightly(5), Policy())
    assert plan.removals == []
    assert reasons(plan, "n4") == (Why.OFF,)
    assert plan.held is None


def test_what_goes_says_that_no_rule_keeps_it_and_the_oldest_goes_first() -> None:
    plan = decide(nightly(4), Policy(keep_last=2))
    assert kept(plan) == ["n0", "n1"]
    assert reasons(plan, "n3") == (Why.OUT,)
    assert [entry.backup_id for entry in plan.removals] == ["n3", "n2"]


def test_every_rule_that_keeps_one_is_named() -> None:
    plan = decide(nightly(4), Policy(keep_last=1, keep_daily=1, keep_yearly=2))
    assert reasons(plan, "n0") == ("last", "daily", "yearly")
    assert reasons(plan, "n3") == ("oldest_yearly",)


@pytest.mark.parametrize("policy", [Policy(keep_last=0), Policy(keep_daily=0, keep_weekly=0)])
def test_a_policy_that_keeps_nothing_is_refused(policy: Policy) -> None:
    with pytest.raises(InputError) as caught:
        decide(nightly(3), policy)
    assert caught.value.code is Code.RETENTION_KEEPS_NOTHING


@pytest.mark.parametrize("name", ["Nowhere/Land", "", "../etc/passwd", "/etc/localtime", "a\0b", "Europe"])
def test_a_time_zone_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        decide([], Policy(keep_last=1, timezone=name))
    assert caught.value.code is Code.UNKNOWN_TIMEZONE


def test_what_a_job_uses_stays() -> None:
    plan = decide(nightly(4), Policy(keep_last=1), in_use={"n2"})
    assert kept(plan) == ["n0", "n2"]
    assert reasons(plan, "n2") == (Why.IN_USE,)


def test_the_last_one_that_verified_stays_and_earlier_ones_go() -> None:
    entries = nightly(5)
    entries[2], entries[3] = replace(entries[2], verified=GOOD), replace(entries[3], verified=GOOD)
    plan = decide(entries, Policy(keep_last=1))
    assert kept(plan) == ["n0", "n2"]
    assert reasons(plan, "n2") == (Why.VERIFIED,)


def test_the_only_one_stays() -> None:
    assert kept(decide(nightly(1), Policy(keep_last=1, keep_hourly=0))) == ["n0"]


def test_safety_archives_have_a_rule_of_their_own_and_take_nobodys_place() -> None:
    safety = [replace(entry, expires_at=NOON + timedelta(days=3)) for entry in nightly(2)]
    ordinary = [backup(f"o{days}", NOON - timedelta(days=days, hours=1)) for days in range(4)]
    plan = decide([*safety, *ordinary], Policy(keep_last=2))
    assert kept(plan) == ["n0", "o0", "n1", "o1"]
    assert reasons(plan, "n0") == (Why.SAFETY,)


def test_what_came_from_elsewhere_stays_unless_it_is_asked_for() -> None:
    foreign = [
        Entry(f"f{days}", f"f{days}.tar.gz", encrypted=False, size=9, created_at=NOON - timedelta(days=days))
        for days in range(3)
    ]
    entries = [*foreign, *(backup(f"o{days}", NOON - timedelta(days=days, hours=1)) for days in range(3))]
    plan = decide(entries, Policy(keep_last=1))
    assert kept(plan) == ["f0", "o0", "f1", "f2"]
    assert reasons(plan, "f1") == (Why.FOREIGN,)
    assert kept(decide(entries, Policy(keep_last=1, undescribed=True))) == ["f0", "o0"]


def test_one_that_did_not_verify_stays_for_people_to_see_and_takes_nobodys_place() -> None:
    entries = nightly(4)
    entries[1] = replace(entries[1], verified=BAD)
    plan = decide(entries, Policy(keep_last=2))
    assert kept(plan) == ["n0", "n1", "n2"]
    assert reasons(plan, "n1") == (Why.DAMAGED,)


def test_partial_ones_and_other_choices_take_nobodys_place() -> None:
    vault = choice_of(["vault"], [])
    assert vault == ("component:vault",)
    assert choice_of(None, None) == ()
    assert choice_of(None, ["b", "a", "b"]) == ("component:*", "service:a", "service:b")
    partial = [replace(entry, backup_id=f"p{i}", outcome="partial") for i, entry in enumerate(nightly(3)[1:])]
    chosen = [replace(entry, backup_id=f"v{i}", choice=vault) for i, entry in enumerate(nightly(2))]
    plan = decide([*nightly(3), *partial, *chosen], Policy(keep_daily=1))
    assert sorted(kept(plan)) == ["n0", "p0", "v0"]


class TestAnomaly:
    POLICY = Policy(keep_last=2)

    @pytest.mark.parametrize(("size", "held"), [(500, False), (499, True), (1, True), (5000, False)])
    def test_a_newest_backup_much_smaller_than_the_last_ones_holds_everything(self, size: int, *, held: bool) -> None:
        entries = [backup("new", NOON + timedelta(days=1), size=size), *nightly(9)]
        plan = decide(entries, self.POLICY)
        assert (plan.held is not None) is held
        assert len(plan.removals) == 8
        if plan.held is not None:
            assert plan.held.code is Code.RETENTION_HELD
            assert "new" in plan.held.message

    def test_what_is_usual_is_the_middle_of_the_last_seven_whole_ones_of_the_same_choice(self) -> None:
        new = backup("new", NOON + timedelta(days=1), size=600)
        long_ago = [backup(f"old{i}", NOON - timedelta(days=30 + i), size=9_000_000) for i in range(20)]
        beside = [
            backup("partial", outcome="partial", size=9_000_000),
            backup("bad", verified=BAD, size=9_000_000),
            backup("other", choice=("component:rest",), size=9_000_000),
            backup("safety", expires_at=NOON, size=9_000_000),
        ]
        assert decide([new, *nightly(7), *long_ago], self.POLICY).held is None
        assert decide([new, *nightly(1), *beside], self.POLICY).held is None
        assert decide([new, *nightly(2), *long_ago], self.POLICY).held is not None

    def test_what_is_smaller_by_choice_holds_nothing(self) -> None:
        new = backup("new", NOON + timedelta(days=1), size=1, choice=("component:vault",))
        assert decide([new, *nightly(5)], self.POLICY).held is None

    def test_a_size_that_stays_becomes_the_usual_one(self) -> None:
        small = [backup(f"s{i}", NOON + timedelta(days=5 - i), size=10) for i in range(5)]
        assert decide([*small[1:], *nightly(7)], self.POLICY).held is not None
        assert decide([*small, *nightly(7)], self.POLICY).held is None

    @pytest.mark.parametrize("change", [{"outcome": "partial"}, {"verified": BAD}, {"outcome": None}])
    def test_a_newest_backup_that_is_not_whole_holds_everything(self, change: dict[str, object]) -> None:
        assert decide([backup("new", NOON + timedelta(days=1), **change), *nightly(5)], self.POLICY).held is not None

    def test_a_backup_that_failed_after_the_newest_one_holds_everything(self) -> None:
        assert decide(nightly(5), self.POLICY, failed_at=NOON + timedelta(minutes=1)).held is not None
        assert decide(nightly(5), self.POLICY, failed_at=NOON - timedelta(minutes=1)).held is None

    def test_the_limit_can_be_set_and_turned_off(self) -> None:
        entries = [backup("new", NOON + timedelta(days=1), size=100), *nightly(5)]
        assert decide(entries, replace(self.POLICY, shrink_limit=0.1)).held is None
        assert decide(entries, replace(self.POLICY, shrink_limit=0.11)).held is not None
        assert decide(entries, replace(self.POLICY, shrink_limit=0)).held is None
