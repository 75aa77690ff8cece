"""Names of archives: what may be one, and what follows from it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.names import check_backup_id, file_name, new_backup_id, split_file_name, time_in_name
from app.errors import Code, InputError

IDS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


def test_a_new_id_says_when_in_utc_and_is_a_good_one() -> None:
    east = datetime(2026, 11, 23, 2, 30, 5, tzinfo=timezone(timedelta(hours=3)))
    made = new_backup_id(east)
    assert made.startswith("backup-20261122-233005-")
    assert len(made) == len("backup-20261122-233005-") + 6
    assert check_backup_id(made) == made
    assert time_in_name(made) == datetime(2026, 11, 22, 23, 30, 5, tzinfo=UTC)
    assert new_backup_id(east) != made


@given(IDS)
def test_every_id_comes_back_out_of_its_file_name(backup_id: str) -> None:
    assert check_backup_id(backup_id) == backup_id
    assert split_file_name(file_name(backup_id, encrypted=True)) == (backup_id, True)
    assert split_file_name(file_name(backup_id, encrypted=False)) == (backup_id, False)


@given(st.text(max_size=200))
def test_an_id_is_refused_or_stays_inside_a_directory(backup_id: str) -> None:
    error = None
    try:
        check_backup_id(backup_id)
    except InputError as raised:
        error = raised
    if error is None:
        assert backup_id.isascii()
        assert len(backup_id) <= 128
        assert not set(backup_id) & set("/\\\0 ")
        assert not backup_id.startswith((".", "-"))
    else:
        assert error.code is Code.INVALID_BACKUP_ID
        assert error.message.isascii()
        assert error.message.isprintable()
        assert len(error.message) < 500


def test_the_longest_id() -> None:
    assert check_backup_id("x" * 128) == "x" * 128
    with pytest.raises(InputError):
        check_backup_id("x" * 129)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".tar.gz",
        ".tar.gz.age",
        "a.tar",
        "a.gz",
        "a.tar.gz.bak",
        "a.TAR.GZ",
        ".a.tar.gz",
        "a/b.tar.gz",
        "a\n.tar.gz",
    ],
)
def test_what_is_no_archive(name: str) -> None:
    assert split_file_name(name) is None


@pytest.mark.parametrize(
    ("backup_id", "time"),
    [
        ("cell-backup-20260102-030405", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("20260102-030405", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("cell-backup-20261302-030405", None),
        ("cell-backup-20260102", None),
        ("mine", None),
    ],
)
def test_time_in_a_name(backup_id: str, time: datetime | None) -> None:
    assert time_in_name(backup_id) == time
