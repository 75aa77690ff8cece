"""Headers, held against two other readers: GNU tar and Python's tarfile."""

import os
import re
import stat
import subprocess
import tarfile
from array import array
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.archive import headers
from app.archive.headers import BLOCK, END_OF_ARCHIVE, MalformedTarError, Member
from app.archive.pax import parse_records
from tests.support.tars import extract, listing
from tests.support.trees import ODD_NAMES
from tests.unit.archive.support import block, members

GIB = 1 << 30
NAMES = [b"a" * n for n in (1, 99, 100, 101, 255)]
NAMES += [b"d" * n + b"/" + b"f" * m for n in (1, 100, 154, 155, 156, 255) for m in (1, 99, 100, 101, 255)]
NAMES += [b"/".join([b"p" * 255] * 16)[:4094], b"/".join([b"x"] * 2500), b"\xff/" * 1000 + b"end", *ODD_NAMES]
LINES = re.compile(rb"^(\S{10}) (-?\d+)/(-?\d+) +(\d+) (\S+ \S+) (.*)$")

# what a path or link may hold: no NUL, no empty name, and no '/' at its beginning
name_parts = st.binary(min_size=1, max_size=60).map(lambda raw: raw.replace(b"\0", b"0").replace(b"/", b"1"))
names = st.lists(name_parts, min_size=1, max_size=90).map(b"/".join)
keys = st.text("abcXYZ.%é", min_size=1, max_size=30).map(lambda key: b"SCHILY.xattr.user." + key.encode())


@st.composite
def described(draw: st.DrawFn) -> Member:
    kind = draw(st.sampled_from([headers.REGULAR, headers.SYMLINK, headers.HARD_LINK, headers.DIRECTORY]))
    linked = kind in {headers.SYMLINK, headers.HARD_LINK}
    return Member(
        name=draw(names),
        kind=kind,
        size=draw(st.integers(0, 9 * 2**40)) if kind == headers.REGULAR else 0,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.integers(0, 2**32 - 2)),
        gid=draw(st.integers(0, 2**32 - 2)),
        mtime=draw(st.integers(-(2**33) * 10**9, 2**36 * 10**9)),
        link=draw(names) if linked else b"",
        records=draw(st.dictionaries(keys, st.binary(max_size=200), max_size=3)),
    )


def decoded(raw: bytes) -> Member:
    """Decode an encoded member by the room's own functions, without its reader."""
    records = parse_records(raw[BLOCK : BLOCK + headers.number(raw[124:136])]) if raw[156] == ord("x") else {}
    return headers.decode(raw[-BLOCK:], records)


def by_tarfile(raw: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=BytesIO(raw), mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        info = tar.next()
    assert info is not None
    return info


def by_gnu_tar(raw: bytes) -> list[tuple[bytes, ...]]:
    """Give mode, owner, group, size, time and name of every member."""
    found = [LINES.match(line) for line in listing(raw)]
    assert all(found)
    return [match.groups() for match in found if match]


def unescaped(name: bytes) -> bytes:
    """Undo GNU tar's quoting style `escape`."""
    letters = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}

    def original(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 8)]) if match[1].isdigit() else letters.get(match[1], match[1])

    return re.sub(rb"\\([0-7]{3}|.)", original, name)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_other_readers_find_the_name_that_was_written(name: bytes) -> None:
    raw = headers.encode(Member(name)) + END_OF_ARCHIVE

    assert os.fsencode(by_tarfile(raw).name) == name
    assert [unescaped(row[-1]) for row in by_gnu_tar(raw)] == [name]


@settings(max_examples=150, deadline=None)
@given(described())
def test_tarfile_reads_every_fact_that_was_written(member: Member) -> None:
    info = by_tarfile(headers.encode(member) + END_OF_ARCHIVE)

    assert os.fsencode(info.name) == member.name
    assert os.fsencode(info.linkname) == member.link
    assert info.type == bytes([member.kind])
    assert (info.size, info.mode, info.uid, info.gid) == (member.size, member.mode, member.uid, member.gid)
    # tarfile keeps a time as a float
    assert info.mtime == pytest.approx(member.mtime / 1e9, abs=1e-3)
    written = {os.fsencode(key): os.fsencode(value) for key, value in info.pax_headers.items()}
    assert {key: written[key] for key in member.records} == member.records


@settings(max_examples=15, deadline=None)
@given(st.lists(described(), min_size=10, max_size=30))
def test_gnu_tar_lists_every_fact_that_was_written(drawn: list[Member]) -> None:
    facts = [(m.uid, m.gid, m.mode) for m in drawn]
    raw = b"".join(
        headers.encode(Member(b"%d" % n, uid=uid, gid=gid, mode=mode)) for n, (uid, gid, mode) in enumerate(facts)
    )
    rows = by_gnu_tar(raw + END_OF_ARCHIVE)

    assert [(int(row[1]), int(row[2]), row[0]) for row in rows] == [
        (uid, gid, bytes_of_mode(mode)) for uid, gid, mode in facts
    ]


def bytes_of_mode(mode: int) -> bytes:
    return stat.filemode(stat.S_IFREG | mode).encode()


@pytest.mark.parametrize("size", [8 * GIB - 1, 8 * GIB, 8 * GIB + 1, 9 << 40])
def test_a_size_above_8_gib_stands_in_an_extended_header(size: int) -> None:
    raw = headers.encode(Member(b"large", size=size))

    assert by_tarfile(raw).size == size
    # the data is not there, so GNU tar complains after it has told the size
    done = subprocess.run(["tar", "-tvf", "-"], input=raw, capture_output=True, check=False)
    assert done.stdout.split()[2] == b"%d" % size
    assert decoded(raw).size == size


def test_gnu_tar_restores_the_time_to_the_nanosecond(tmp_path: Path) -> None:
    # its listing is wrong for fractions before 1970, what it extracts is right
    times = [0, -1, -(10**9), -1_500_000_001, 10**9 - 1, 1_700_000_000_123_456_789, 2**33 * 10**9, 2**33 * 10**9 - 1]
    raw = b"".join(headers.encode(Member(b"%d" % n, mtime=mtime)) for n, mtime in enumerate(times))

    extract(raw + END_OF_ARCHIVE, tmp_path)

    assert [(tmp_path / str(n)).stat().st_mtime_ns for n in range(len(times))] == times


@settings(max_examples=200, deadline=None)
@given(described())
def test_what_is_encoded_decodes_to_the_same(member: Member) -> None:
    found = decoded(headers.encode(member))

    for fact in ("name", "kind", "size", "mode", "uid", "gid", "mtime", "link"):
        assert getattr(found, fact) == getattr(member, fact)
    assert {key: found.records[key] for key in member.records} == member.records


@pytest.mark.parametrize("number", [2**21 - 1, 2**21, 2**32 - 2])
def test_owners_at_the_edge_of_their_fields_are_kept(number: int) -> None:
    info = by_tarfile(headers.encode(Member(b"x", uid=number, gid=number)) + END_OF_ARCHIVE)

    assert (info.uid, info.gid) == (number, number)


@pytest.mark.parametrize("length", [1, 99, 100, 101, 255, 4095])
def test_link_targets_at_the_edge_of_their_field_are_kept(length: int) -> None:
    for kind in (headers.SYMLINK, headers.HARD_LINK):
        raw = headers.encode(Member(b"x", kind, link=b"t" * length)) + END_OF_ARCHIVE

        assert by_tarfile(raw).linkname == "t" * length
        assert unescaped(by_gnu_tar(raw)[0][-1]).endswith((b" -> " + b"t" * length, b" link to " + b"t" * length))


def test_a_name_that_fits_its_fields_needs_no_extended_header() -> None:
    for name in (b"a" * 100, b"d" * 155 + b"/" + b"f" * 100, b"f" * 99 + b"/"):
        assert len(headers.encode(Member(name))) == BLOCK


@given(st.dictionaries(st.binary(min_size=1, max_size=120), st.binary(max_size=1200), max_size=8))
def test_records_that_were_built_are_read_back(records: dict[bytes, bytes]) -> None:
    records = {b"SCHILY.xattr." + key.translate(None, b"=\0"): value for key, value in records.items()}

    assert parse_records(headers.build_records(records.items())) == records


def test_a_record_counts_its_own_length() -> None:
    for length in [*range(1100), *range(9_980, 10_020)]:
        raw = headers.build_records([(b"k", b"v" * length)])

        assert int(raw.partition(b" ")[0]) == len(raw)


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=200), st.from_regex(rb"([0-9]{1,3} [a-z]{0,3}=?[a-z\n]{0,9}\n?){1,4}")))
def test_bytes_that_are_no_records_raise_nothing_else(payload: bytes) -> None:
    try:
        records = parse_records(payload)
    except MalformedTarError:
        return
    assert all(key and b"=" not in key for key in records)
    assert sum(len(key) + len(value) for key, value in records.items()) <= len(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"x",
        b"5 a=",
        b"6 a=b",
        b"6 a=bc",
        b"4 =b\n",
        b"5 ab\n",
        b"0 a=b\n",
        b"-6 a=b\n",
        b"99999999999 a=b\n",
        b"06 a=b\n",
        b"7  a=b\n",
        b"7 \ta=b\n",
        b"10 size\0=0\n",
        b"7 \x01a=b\n",
        b"8 a\nb=c\n",
        b"6 a=b\n6 a=c\n",
        b"8 path=\n",
        b"11 path=a\0b\n",
        b"17 GNU.dumpdir=x\n",
        b" a=b\n",
    ],
)
def test_a_broken_record_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedTarError):
        parse_records(payload)


@settings(max_examples=200)
@given(st.binary(min_size=BLOCK, max_size=BLOCK))
def test_the_checksum_may_count_signed_bytes_as_tars_of_the_eighties_did(raw: bytes) -> None:
    summed = raw[:148] + b" " * 8 + raw[156:]
    unsigned, signed = sum(array("B", summed)), sum(array("b", summed))
    for total in {unsigned, signed if signed >= 0 else unsigned}:
        sealed = raw[:148] + b"%06o\0 " % total + raw[156:]
        assert headers.checked(sealed) == sum(sealed)
    with pytest.raises(MalformedTarError):
        headers.checked(raw[:148] + b"%06o\0 " % (unsigned + 1) + raw[156:])


@settings(max_examples=300)
@given(st.binary(min_size=BLOCK, max_size=BLOCK), st.booleans())
def test_any_block_decodes_or_is_malformed(raw: bytes, sealed: bool) -> None:  # noqa: FBT001 - drawn
    changed = bytearray(raw)
    if sealed:
        headers.seal(changed)
    try:
        member = headers.decode(bytes(changed), {})
    except MalformedTarError:
        return
    assert member.size >= 0


@pytest.mark.parametrize("raw", [b"0000644\0", b"000644 \0", b"   644 \0", b"644\0\0\0\0\0", b"00000644", b" 644    "])
def test_a_number_may_be_padded_as_any_tar_does(raw: bytes) -> None:
    assert headers.number(raw) == 0o644


@pytest.mark.parametrize(
    "raw", [b"0o644\0\0\0", b"6_44\0\0\0\0", b"-644\0\0\0\0", b"+644\0\0\0\0", b"648\0\0\0\0\0", b"6 44\0\0\0\0"]
)
def test_what_only_python_takes_for_a_number_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedTarError):
        headers.number(raw)


@given(st.integers(-(2**62), 2**62))
def test_base_256_numbers_are_read_as_tarfile_writes_them(value: int) -> None:
    info = tarfile.TarInfo("x")
    info.size = value

    assert headers.number(info.tobuf(tarfile.GNU_FORMAT)[124:136]) == value


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(MalformedTarError):
        headers.decode(block(size=b"\xff" * 12), {})


def test_the_records_of_an_extended_header_win_over_the_block() -> None:
    records = {b"path": b"long", b"linkpath": b"to", b"size": b"7", b"uid": b"8", b"gid": b"9", b"mtime": b"-0.5"}
    found = headers.decode(block(), records)

    assert (found.name, found.link, found.size, found.uid, found.gid) == (b"long", b"to", 7, 8, 9)
    assert found.mtime == -500_000_000


def test_gnu_formats_are_read_as_gnu_tar_wrote_them() -> None:
    for form in ("gnu", "posix", "ustar", "v7"):
        raw = subprocess.run(
            [
                "tar",
                f"--format={form}",
                "--create",
                "--file=-",
                "--mtime=@5",
                "--owner=7",
                "--group=8",
                "--mode=640",
                "tests/conftest.py",
            ],
            capture_output=True,
            check=True,
        ).stdout
        (member,) = members(raw)
        assert (member.name, member.kind_name, member.uid, member.gid) == (b"tests/conftest.py", "file", 7, 8)
        assert (member.mode, member.mtime) == (0o640, 5 * 10**9)


def test_a_checksum_that_gnu_tar_cannot_read_is_wrong() -> None:
    base_256, blank = bytearray(block(b"x")), bytearray(block(b"x"))
    base_256[148:156] = b"\x80" + int(base_256[148:154], 8).to_bytes(7, "big")
    blank[148:156] = b" " * 8
    high, left_over = divmod(sum(blank) + 127, 128)
    blank[345 : 345 + high], blank[511] = b"\x80" * high, 127 - left_over
    assert sum(byte - 256 * (byte > 127) for byte in blank) == 0
    for raw in (base_256, blank):
        assert subprocess.run(["tar", "-t"], input=bytes(raw), capture_output=True, check=False).returncode == 2
        with pytest.raises(MalformedTarError):
            headers.checked(bytes(raw))
