"""Damaged and foreign archives, given to the real service: each is refused, and not one file has changed."""

import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.faults.hostile_archives import (
    PASSPHRASE,
    cut,
    flipped,
    flipped_content,
    lines,
    member,
    packed,
    rebuilt,
    swapped,
    with_content,
    with_member,
    without,
)
from tests.faults.hostile_ground import Ground, hostile_ground
from tests.support.trees import describe, differences

CUT = {"archive_truncated"}
BROKEN = {"archive_damaged", "archive_truncated", "archive_foreign", "archive_hostile"}
# how far it was read, or the member that stands before the damage
PLACE = r"byte \d+, and \d+ bytes of its tar stream|tar stream is malformed after \S"


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with hostile_ground() as made:
        yield made


def test_a_good_archive_would_have_changed_it(ground: Ground) -> None:
    """Prove that what the other tests look at is what a restore changes."""
    answer = ground.service.ask(
        "POST", f"/api/config/restore/{_newest(ground)}", expect=202, json={"dry_run": True}
    ).json()
    job = ground.service.wait_for(answer["job_id"])

    assert job["state"] == "succeeded", job
    assert re.search(r"old\.zone", json.dumps(job["result"]))
    assert differences(ground.tree, describe(ground.service.place.cell)) == []


def _newest(ground: Ground) -> str:
    listed = ground.service.get("/api/config/backups")["backups"]
    found: str = next(entry["backup_id"] for entry in listed if not entry["encrypted"])
    return found


PARTS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


@pytest.mark.parametrize("part", PARTS)
def test_a_bit_that_turned_over(ground: Ground, part: float) -> None:
    says = PLACE if part else "first two bytes"
    ground.refuse(flipped_content(ground.plain, int(len(ground.plain) * part)), BROKEN, says)


@pytest.mark.parametrize("behind", [8, 4])
def test_a_bit_that_turned_over_in_the_checksum_or_the_length(ground: Ground, behind: int) -> None:
    says = f"up to byte {len(ground.plain)}, and [1-9][0-9]* bytes of its tar stream"
    ground.refuse(flipped(ground.plain, len(ground.plain) - behind), {"archive_damaged"}, says)


@pytest.mark.parametrize("part", PARTS)
def test_a_bit_that_turned_over_in_an_encrypted_archive_is_told_by_its_chunk(ground: Ground, part: float) -> None:
    start = len(lines(ground.locked)[0])
    at = start + 40 + int((len(ground.locked) - start - 140) * part)
    number = ground.locked[start:at].count(b"\n")
    says = f"Chunk {number}|middle of chunk {number}"
    ground.refuse(flipped(ground.locked, at, 0), {"archive_damaged"}, says, passphrase=PASSPHRASE)


@pytest.mark.parametrize(
    ("word", "behind", "codes"),
    [
        (b"cell-backup", 2, "archive_foreign"),
        (b'"id":"', 2, "archive_damaged"),
        (b'"id":"', 20, "archive_damaged"),
        (b'"chunk"', 2, "archive_damaged"),
        (b'"slots"', 2, "archive_damaged"),
        (b'"salt":"', 12, "passphrase_wrong|archive_damaged"),
        (b'"key":"', 40, "passphrase_wrong|archive_damaged"),
    ],
)
def test_a_bit_that_turned_over_in_the_first_line(ground: Ground, word: bytes, behind: int, codes: str) -> None:
    at = ground.locked.index(word) + behind
    ground.refuse(flipped(ground.locked, at, 0), set(codes.split("|")), passphrase=PASSPHRASE)


@pytest.mark.parametrize("keep", [0, 1, 9, 10, 100, 0.3, 0.6, -9, -8, -1])
def test_an_archive_that_is_cut(ground: Ground, keep: float) -> None:
    data = cut(ground.plain, keep)
    says = rf"ends at byte {len(data)}, and \d+ bytes of its tar stream" if data else "before its first byte"
    ground.refuse(data, CUT, says)


@pytest.mark.parametrize("keep", [0, 20, 0.3, 0.6, -1, -2])
def test_an_encrypted_archive_that_is_cut(ground: Ground, keep: float) -> None:
    data = cut(ground.locked, keep)
    if keep in {0, 20}:
        codes, says = {"archive_foreign"}, "does not begin"
    else:
        last = data.count(b"\n") - 1
        codes, says = CUT, f"in the middle of chunk {last}"
    ground.refuse(data, codes, says, passphrase=PASSPHRASE)


def test_an_encrypted_archive_that_is_cut_between_two_chunks(ground: Ground) -> None:
    data = b"".join(lines(ground.locked)[:-1])
    ground.refuse(data, CUT, "before its last one", passphrase=PASSPHRASE)


def _last_again(ground: Ground) -> bytes:
    return ground.locked + lines(ground.locked)[-1]


def _with_a_foreign_chunk(ground: Ground) -> bytes:
    parts = lines(ground.locked)
    parts[2] = lines(ground.other_locked)[2]
    return b"".join(parts)


def _with_a_chunk_left_out(ground: Ground) -> bytes:
    parts = lines(ground.locked)
    return b"".join([*parts[:2], *parts[3:]])


def _with_a_chunk_repeated(ground: Ground) -> bytes:
    parts = lines(ground.locked)
    return b"".join([*parts[:3], *parts[2:]])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ground: swapped(ground.locked, 2, 3), "Chunk 2 stands where chunk 1 belongs"),
        (_with_a_chunk_left_out, "Chunk 2 stands where chunk 1 belongs"),
        (_with_a_chunk_repeated, "Chunk 1 stands where chunk 2 belongs"),
        (_with_a_foreign_chunk, "Chunk 1 is damaged"),
        (_last_again, "follows the last chunk"),
    ],
)
def test_chunks_that_are_not_in_their_places(ground: Ground, change: Callable[[Ground], bytes], says: str) -> None:
    ground.refuse(change(ground), {"archive_damaged"}, says, passphrase=PASSPHRASE)


def test_something_behind_the_end(ground: Ground) -> None:
    ground.refuse(ground.plain + b"more", BROKEN, f"byte {len(ground.plain) + 4}, and")


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (b"PK\x03\x04" + bytes(500), {"archive_foreign"}),
        (b"not an archive at all", {"archive_foreign"}),
        (packed([member("holiday/photo.jpg")]), {"archive_foreign", "nothing_to_restore"}),
        (packed([]), {"archive_foreign", "nothing_to_restore", "archive_truncated"}),
    ],
    ids=["zip", "text", "somebody's photos", "nothing"],
)
def test_a_foreign_file(ground: Ground, data: bytes, codes: set[str]) -> None:
    ground.refuse(data, codes)


HEADER = ".cell-backup/header.json"


@pytest.mark.parametrize(
    ("name", "old", "new", "code"),
    [
        (HEADER, b'"version": 1', b'"version": 99', "archive_too_new"),
        (".cell-backup/manifest.json", b'"version": 1', b'"version": 99', "archive_too_new"),
        (HEADER, b'"parts"', b'"darts"', "archive_damaged"),
        (".env", b"CELL_DOMAIN", b"CELL_DEMON_", "archive_damaged"),
        (".cell-backup/SHA256SUMS", b"data/vault/vault.key", b"data/vault/vault.kex", "archive_damaged"),
    ],
)
def test_a_plain_archive_that_was_changed(ground: Ground, name: str, old: bytes, new: bytes, code: str) -> None:
    ground.refuse(rebuilt(ground.plain, with_content(name, old, new)), {code})


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (".env", "archive_damaged"),
        (".cell-backup/SHA256SUMS", "archive_damaged"),
        (".cell-backup/manifest.json", "archive_truncated"),
    ],
)
def test_a_plain_archive_of_which_something_was_taken_away(ground: Ground, name: str, code: str) -> None:
    ground.refuse(rebuilt(ground.plain, without(name)), {code})


def test_a_plain_archive_to_which_something_was_added(ground: Ground) -> None:
    ground.refuse(rebuilt(ground.plain, with_member(member("config/evil"))), {"archive_damaged"}, "config/evil")


def test_an_encrypted_archive_of_a_newer_format(ground: Ground) -> None:
    data = ground.locked.replace(b'"version":1', b'"version":2', 1)
    ground.refuse(data, {"archive_too_new"}, passphrase=PASSPHRASE)


@pytest.mark.parametrize("cost", [1 << 40, 1 << 21, 3, -1])
def test_a_key_derivation_that_would_never_end(ground: Ground, cost: int) -> None:
    data = re.sub(rb'"n":\d+', b'"n":%d' % cost, ground.locked, count=1)
    ground.refuse(data, {"archive_damaged", "archive_hostile"}, passphrase=PASSPHRASE)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"passphrase": "another"}, "passphrase_wrong"),
        ({"passphrase": PASSPHRASE.upper()}, "passphrase_wrong"),
        ({}, "passphrase_required"),
    ],
)
def test_without_the_passphrase_nothing_is_queued(ground: Ground, wanted: dict[str, str], code: str) -> None:
    listed = ground.service.get("/api/config/backups")["backups"]
    backup_id = next(entry["backup_id"] for entry in listed if entry["encrypted"])
    before = ground.service.get("/api/jobs")["total"]

    answer = ground.service.ask("POST", f"/api/config/restore/{backup_id}", expect=422, json=wanted)

    assert answer.json()["code"] == code
    assert ground.service.get("/api/jobs")["total"] == before
    assert differences(ground.tree, describe(ground.service.place.cell)) == []
