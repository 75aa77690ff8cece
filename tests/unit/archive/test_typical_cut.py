"""The short way back is taken by what nearly every member is, and by nothing that it would get wrong."""

import pytest

from app.archive import headers
from app.archive.dialects import Dialect
from app.archive.headers import Member
from app.archive.typical_cut import cut_typical
from tests.unit.archive.archives import VOLUME
from tests.unit.archive.support import block, pax

INSIDE = VOLUME.prefix.encode()
NAME = INSIDE + b"user/Maildir/cur/1700000000.M1P2.host:2,S"
TIME = {b"mtime": b"1700000000.123456789"}
SECONDS = b"%011o" % 1_700_000_000
TYPICAL = pax(TIME) + block(NAME, mtime=SECONDS, size=b"%011o" % 5)
DEEP = INSIDE + b"d" * 90 + b"/" + b"f" * 60


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(TYPICAL, id="a mail"),
        pytest.param(block(NAME), id="without an extended header"),
        pytest.param(block(NAME, magic=b"ustar  \0"), id="by GNU tar"),
        pytest.param(block(DEEP[-60:], prefix=DEEP[:-61]), id="a name in two fields"),
    ],
)
def test_a_typical_file_goes_the_short_way(raw: bytes, dialect: Dialect) -> None:
    before = b"what comes before"
    cut = cut_typical(before + raw + b"data", len(before), INSIDE, dialect)

    assert cut is not None
    assert cut.data == len(before) + len(raw)
    decoded = headers.decode(cut.head[-512:], {})
    assert b"./" + cut.path[len(INSIDE) :] == decoded.name
    assert cut.size == decoded.size
    assert cut.head[:-512] == (b"" if dialect is Dialect.GNU else raw[:-512])


ELSEWHERE = b"services/notes/notes/x"
UNUSUAL = [
    pytest.param(TYPICAL[:-1], id="not all there"),
    pytest.param(TYPICAL[:1100], id="only its extended header there"),
    pytest.param(TYPICAL[:100], id="only a part of its extended header there"),
    pytest.param(block(ELSEWHERE), id="another volume"),
    pytest.param(block(ELSEWHERE, prefix=INSIDE[:-1], magic=b"ustar  \0"), id="a prefix that is none"),
    pytest.param(block(NAME, kind=b"2"), id="a symlink"),
    pytest.param(block(INSIDE, kind=b"5"), id="the volume itself"),
    pytest.param(block(NAME + b"/"), id="a folder of old"),
    pytest.param(block(INSIDE + b"../x"), id="a name that leaves it"),
    pytest.param(block(NAME, size=b"\x80" + bytes(11)), id="base 256"),
    pytest.param(block(NAME)[:200] + b"!" + block(NAME)[201:], id="a wrong checksum"),
    pytest.param(pax({b"path": NAME}) + block(NAME), id="a name in a record"),
    pytest.param(pax({b"size": b"7"}) + block(NAME), id="a size in a record"),
    pytest.param(pax({b"GNU.sparse.size": b"7"}) + block(NAME), id="a sparse file"),
    pytest.param(pax({b"SCHILY.acl.access": b"user::rw-"}) + block(NAME), id="an ACL"),
    pytest.param(pax({b"comment": b"x" * 600}) + block(NAME), id="a long extended header"),
]


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("raw", UNUSUAL)
def test_what_is_unusual_does_not(raw: bytes, dialect: Dialect) -> None:
    assert cut_typical(raw, 0, INSIDE, dialect) is None


@pytest.mark.parametrize(
    "records",
    [{b"mtime": b"1700000001"}, {b"mtime": b"-1"}, {b"uid": b"5"}, {**TIME, b"uid": b"5"}, {b"mtime": b"9" * 11}],
)
def test_a_record_that_says_more_than_the_header_is_not_dropped(records: dict[bytes, bytes]) -> None:
    raw = pax(records) + block(NAME, mtime=SECONDS)

    assert cut_typical(raw, 0, INSIDE, Dialect.GNU) is None
    assert cut_typical(raw, 0, INSIDE, Dialect.PAX) is not None


def test_a_name_that_stays_too_long_for_old_headers_goes_the_long_way() -> None:
    raw = headers.encode(Member(INSIDE + b"d" * 140 + b"/" + b"f" * 80))
    assert len(raw) == 512 * 3

    assert cut_typical(raw, 0, INSIDE, Dialect.PAX) is None
