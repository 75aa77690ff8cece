"""What is read the short way is read as the long way does; whatever is odd is left to that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archive import headers
from app.archive.headers import Member
from app.archive.typical_file import typical_file
from tests.unit.archive.archives import VOLUME
from tests.unit.archive.support import block, pax

NAME = VOLUME.prefix.encode() + b"user/Maildir/cur/1700000000.M1P2.host:2,S"
TIME = {b"mtime": b"1700000000.123456789"}
SIZE = b"%011o" % 5
FILE = block(NAME, size=SIZE)
ODD = FILE[:200] + b"\xff" * 300 + FILE[500:]


def resealed(raw: bytes) -> bytes:
    whole = bytearray(raw)
    headers.seal(whole)
    return bytes(whole)


@pytest.mark.parametrize(
    ("extended", "is_timed"),
    [
        pytest.param(b"", True, id="none"),
        pytest.param(pax(TIME), True, id="a time"),
        pytest.param(pax({b"mtime": b"-1.5"}), True, id="a time before all"),
        pytest.param(pax({**TIME, b"SCHILY.xattr.user.a": b"b"}), False, id="an attribute"),
        pytest.param(pax({b"uid": b"3000000"}), False, id="an owner"),
    ],
)
def test_a_typical_file_is_read(extended: bytes, *, is_timed: bool) -> None:
    before = b"what comes before"
    file = typical_file(before + extended + FILE + b"data!", len(before))

    assert file is not None
    assert (file.own, file.data) == (len(before + extended), len(before + extended + FILE))
    assert (file.path, file.size, file.checksum) == (NAME, 5, int(FILE[148:154], 8))
    assert file.is_timed is is_timed


UNUSUAL = {
    "nothing": b"",
    "half a header": FILE[:-1],
    "only its extended header": pax(TIME) + FILE[:100],
    "half its extended header": pax(TIME)[:600],
    "two extended headers": pax(TIME) + pax(TIME) + FILE,
    "a long extended header": pax({b"comment": b"x" * 600}) + FILE,
    "a name in a record": pax({b"path": NAME}) + FILE,
    "a size in a record": pax({b"size": b"7"}) + FILE,
    "a sparse file": pax({b"GNU.sparse.size": b"7"}) + FILE,
    "a time that is none": pax({b"mtime": b"now"}) + FILE,
    "a time longer than its record says": pax(raw=b"13 mtime=1234\n") + FILE,
    "something behind its time": pax(raw=b"11 mtime=1\n19 linkpath=/etc/x\n") + FILE,
    "a size of its extended header that hides a record": pax(raw=b"11 mtime=1\n18 path=services/x\n") + FILE,
    "a wrong checksum": FILE[:200] + b"!" + FILE[201:],
    "a wrong checksum of its extended header": b"!" + pax(TIME)[1:] + FILE,
    "a symlink": block(NAME, kind=b"2"),
    "a folder": block(NAME, kind=b"5"),
    "a folder of old": block(NAME + b"/"),
    "base 256": block(NAME, size=b"\x80" + bytes(11)),
    "spaces before a number": block(NAME, size=b"       0005"),
    "a prefix that is none": block(NAME, prefix=b"x", magic=b"ustar  \0"),
    "a prefix that not everybody reads": resealed(block(NAME, prefix=b"x")[:508] + b"tar\0"),
    "no name": resealed(bytes(100) + FILE[100:]),
    "zeros": bytes(1024),
}


@pytest.mark.parametrize("raw", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_not(raw: bytes) -> None:
    assert typical_file(raw, 0) is None


@pytest.mark.parametrize("half", [slice(160, 256), slice(256, 345)])
def test_a_checksum_that_is_wrong_by_what_adler_32_does_not_see_is_wrong(half: slice) -> None:
    raw = bytearray(FILE)
    raw[half] = b"\xff" * (half.stop - half.start)
    raw[157:257] = b"\xff" * 100
    raw[265:345] = b"\xff" * 80
    raw[500:508] = b"\xff" * 8
    headers.seal(raw)
    assert typical_file(bytes(raw), 0) is not None
    total = int(raw[148:154], 8)
    for wrong in (total - 65521, total + 65521):
        if wrong > 0:
            raw[148:156] = b"%06o\0 " % wrong
            assert typical_file(bytes(raw), 0) is None


@given(st.data())
def test_it_agrees_with_the_long_way_on_whatever_is_in_a_header(data: st.DataObject) -> None:
    raw = bytearray(pax(TIME) + FILE)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    own = bytearray(raw[-512:])
    if data.draw(st.booleans()):
        headers.seal(own)
    raw[-512:] = own
    file = typical_file(bytes(raw), 0)
    if file is not None and file.own:
        member = headers.decode(bytes(own), {})
        assert member == Member(
            file.path, size=file.size, mode=member.mode, uid=member.uid, gid=member.gid, mtime=member.mtime,
            link=member.link,
        )  # fmt: skip
