"""The short way back is taken by what nearly every member is, and by nothing that it would get wrong."""

import pytest

from app.archive import headers
from app.archive.dialects import Dialect
from app.archive.headers import Member
from app.archive.typical_cut import CutFiles, cut_typical
from tests.unit.archive.archives import VOLUME
from tests.unit.archive.support import block, pax

INSIDE = VOLUME.prefix.encode()
NAME = INSIDE + b"user/Maildir/cur/1700000000.M1P2.host:2,S"
TIME = {b"mtime": b"1700000000.123456789"}
SECONDS = b"%011o" % 1_700_000_000
CONTENTS = b"data!".ljust(512, b"\0")
OWN = block(NAME, mtime=SECONDS, size=b"%011o" % 5)
TYPICAL = pax(TIME) + OWN + CONTENTS
EMPTY = block(INSIDE + b"empty")


def taken(cut: CutFiles) -> bytes:
    return bytes(cut.stretch)


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(TYPICAL, id="a mail"),
        pytest.param(OWN + CONTENTS, id="without an extended header"),
        pytest.param(block(NAME, magic=b"ustar  \0"), id="by GNU tar"),
        pytest.param(block(NAME), id="empty"),
    ],
)
def test_typical_files_go_the_short_way(raw: bytes, dialect: Dialect) -> None:
    before = b"what comes before"
    buffer = before + raw + EMPTY + raw + b"what comes behind"
    cut = cut_typical(buffer, len(before), INSIDE, dialect)

    assert buffer[cut.after :] == b"what comes behind"
    assert (cut.files, cut.last) == (3, NAME)
    assert cut.bytes == (10 if CONTENTS in raw else 0)
    contents = CONTENTS if CONTENTS in raw else b""
    extended = pax(TIME) if raw == TYPICAL and dialect is not Dialect.GNU else b""
    head = taken(cut)[len(extended) : len(extended) + 512]
    assert taken(cut).count(head) == 2
    empty = headers.encode(Member(b"./empty"))
    assert taken(cut) == extended + head + contents + empty + extended + head + contents
    assert headers.decode(head, {}).name == b"./" + NAME[len(INSIDE) :]


ELSEWHERE = b"services/notes/notes/x"
UNUSUAL = [
    pytest.param(TYPICAL[:-1], id="not all there"),
    pytest.param(TYPICAL[:1100], id="only its extended header there"),
    pytest.param(TYPICAL[:100], id="only a part of its extended header there"),
    pytest.param(block(ELSEWHERE), id="another volume"),
    pytest.param(block(NAME[-60:], prefix=NAME[:-61]), id="a name in two fields"),
    pytest.param(block(NAME, kind=b"2"), id="a symlink"),
    pytest.param(block(INSIDE, kind=b"5"), id="the volume itself"),
    pytest.param(block(INSIDE + b"../x"), id="a name that leaves it"),
    pytest.param(block(NAME)[:200] + b"!" + block(NAME)[201:], id="a wrong checksum"),
    pytest.param(pax({b"path": NAME}) + block(NAME), id="a name in a record"),
    pytest.param(pax({b"SCHILY.acl.access": b"user::rw-"}) + block(NAME), id="an ACL"),
]


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("raw", UNUSUAL)
def test_what_is_unusual_does_not(raw: bytes, dialect: Dialect) -> None:
    cut = cut_typical(EMPTY + raw, 0, INSIDE, dialect)
    assert (cut.files, cut.after, cut.last) == (1, len(EMPTY), INSIDE + b"empty")
    assert taken(cut) == headers.encode(Member(b"./empty"))
    nothing = cut_typical(raw, 0, INSIDE, dialect)
    assert (nothing.files, nothing.after, taken(nothing)) == (0, 0, b"")


@pytest.mark.parametrize(
    "records",
    [{b"mtime": b"1700000001"}, {b"mtime": b"-1"}, {b"uid": b"5"}, {**TIME, b"uid": b"5"}, {b"mtime": b"9" * 11}],
)
def test_a_record_that_says_more_than_the_header_is_not_dropped(records: dict[bytes, bytes]) -> None:
    raw = pax(records) + block(NAME, mtime=SECONDS)

    assert cut_typical(raw, 0, INSIDE, Dialect.GNU).files == 0
    assert cut_typical(raw, 0, INSIDE, Dialect.PAX).files == 1


@pytest.mark.parametrize("dialect", list(Dialect))
def test_no_more_of_the_buffer_is_copied_than_what_is_cut(dialect: Dialect) -> None:
    buffer = bytes(1 << 20) + TYPICAL + EMPTY + bytes(1 << 20)
    stretch = cut_typical(buffer, 1 << 20, INSIDE, dialect).stretch

    assert len(stretch) >= len(OWN + CONTENTS + EMPTY)
    assert memoryview(stretch.obj).nbytes == len(stretch)


def test_what_is_not_wanted_ends_it() -> None:
    cut = cut_typical(EMPTY + TYPICAL, 0, INSIDE, Dialect.PAX, lambda path: path != NAME)
    assert (cut.files, cut.after) == (1, len(EMPTY))
