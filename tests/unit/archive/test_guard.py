"""The guard: what it says of each member, and in how little memory."""

import tracemalloc
from collections.abc import Callable, Iterable

import pytest

from app.archive.guard import Guard, Limits, is_cell_file, normal_name
from app.archive.headers import DIRECTORY, HARD_LINK, REGULAR, SYMLINK, Member, encode
from app.archive.names import FILE, FOLDER, LINK, Names
from app.archive.parts import Part, PartKind
from app.archive.reader import ReadMember
from app.errors import ArchiveError, Code
from tests.unit.archive.archives import VOLUME as VOLUME_PART
from tests.unit.archive.archives import header

VOLUME = b"services/mail/mailboxes/"
FIFO = ord("6")


def read(member: Member) -> ReadMember:
    return ReadMember(member, encode(member)[-512:])


def looked_at(
    *members: Member,
    limits: Limits | None = None,
    with_header: bool = False,
    may_be_setuid: Callable[[bytes], bool] = lambda _: False,
) -> list[bytes]:
    guard = Guard(limits or Limits(), archive_size=100, may_be_setuid=may_be_setuid)
    if with_header:
        guard.declare(header())
    return [guard.look(read(member)) for member in members]


def refused(*members: Member, limits: Limits | None = None, with_header: bool = False) -> str:
    """Give why the last of the members is refused; those before it pass."""
    looked_at(*members[:-1], limits=limits, with_header=with_header)
    with pytest.raises(ArchiveError) as caught:
        looked_at(*members, limits=limits, with_header=with_header)
    assert caught.value.code == Code.ARCHIVE_HOSTILE
    return caught.value.message


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        (b"./config/x", b"config/x"),
        (b"config/x", b"config/x"),
        (b"config/.x/..y", b"config/.x/..y"),
        (b"config//./x/", b"config/x"),
        (b"./", b""),
        (b".", b""),
        (b"", b""),
        (b"/etc//passwd", b"/etc/passwd"),
        (b"./../x", b"../x"),
        (b"x/.", b"x"),
    ],
)
def test_a_name_has_one_normal_form(name: bytes, normal: bytes) -> None:
    assert normal_name(name) == normal


def test_only_the_cell_s_own_files_are_the_cell_s() -> None:
    cell = [b"config", b"config/x", b".env", b"servicesx", b"etc/passwd"]
    others = [b"", b"services", b"services/x", b"services/a/b/c", b".cell-backup", b".cell-backup/restore/lock"]
    assert [name for name in cell + others if is_cell_file(name)] == cell


def file(name: bytes, size: int = 0, mode: int = 0o600) -> Member:
    return Member(name, size=size, mode=mode)


def symlink(name: bytes, target: bytes) -> Member:
    return Member(name, SYMLINK, link=target)


def hard_link(name: bytes, target: bytes) -> Member:
    return Member(name, HARD_LINK, link=target)


def folder(name: bytes) -> Member:
    return Member(name, DIRECTORY)


@pytest.mark.parametrize(
    "members",
    [
        [file(b"/etc/passwd")],
        [file(b"//config/x")],
        [file(b"")],
        [file(b".")],
        [file(b"..")],
        [file(b"config/../x")],
        [file(b"./..")],
        [folder(b"../")],
        [file(b"config/..")],
        [file(b"config/x\0y")],
        [file(b"x" * 256)],
        [folder(b"config/" + b"x" * 256 + b"/")],
        [file(b"x/" * 2049)],
        [Member(b"data/null", ord("3"))],
        [Member(b"data/disk", ord("4"))],
        [Member(VOLUME + b"null", ord("3"))],
        [Member(b"data/pipe", FIFO)],
        [Member(b"data/x", ord("V"))],
        [Member(b"data/x", DIRECTORY, size=512)],
        [Member(b"data/x", SYMLINK, size=512, link=b"y")],
        [Member(b"data/x/", size=512)],
        [Member(b"data/x", uid=2**32 - 1)],
        [Member(b"data/x", mtime=2**63 * 10**9)],
        [symlink(b"config/l", b"/etc")],
        [symlink(b"config/l", b"../..")],
        [symlink(b"l", b"..")],
        [symlink(b"config/a/l", b"../x/../../../y")],
        [symlink(b"config/l", b"")],
        [symlink(b"config/l", b"x\0y")],
        [symlink(VOLUME + b"l", b"")],
        [symlink(b"d/e/up", b"../.."), symlink(b"out", b"d/e/up/../x")],
        [symlink(b"out", b"d/e/up/../x"), symlink(b"d/e/up", b"../..")],
        [file(b"config/a"), hard_link(b"config/b", b"/config/a")],
        [file(b"config/a"), hard_link(b"config/b", b"../config/a")],
        [hard_link(b"config/b", b"config/a")],
        [hard_link(b"config/b", b"config/b")],
        [folder(b"config/a/"), hard_link(b"config/b", b"config/a")],
        [symlink(b"config/a", b"x"), hard_link(b"data/d/b", b"config/a")],
        [file(b"config/a"), hard_link(VOLUME + b"b", b"config/a")],
        [file(VOLUME + b"a"), hard_link(b"config/b", VOLUME + b"a")],
        [file(b"services/mail/other/a"), hard_link(VOLUME + b"b", b"services/mail/other/a")],
        [file(b".cell-backup/x"), hard_link(b"config/b", b".cell-backup/x")],
        [symlink(VOLUME + b"l", b"/etc"), hard_link(VOLUME + b"b", VOLUME + b"l/passwd")],
        [symlink(b"data/door", b"vault"), file(b"data/door/x")],
        [symlink(VOLUME + b"door", b"/"), file(VOLUME + b"door/etc/passwd")],
        [symlink(VOLUME + b"door", b"/"), folder(VOLUME + b"door/etc/cron.d")],
        [file(b"data/door"), file(b"data/door/x")],
        [file(VOLUME + b"a"), hard_link(VOLUME + b"h", VOLUME + b"a"), file(VOLUME + b"h/x")],
        [hard_link(VOLUME + b"h", VOLUME + b"later")],
        [file(b"x/" * 101 + b"y")],
        [file(b"x" * 250 + (b"/" + b"x" * 250) * 8)],
        [Member(b"data/x", records={b"SCHILY.xattr.user.%d" % n: b"x" * 65_536 for n in range(4)})],
        [file(b"data/door/x"), symlink(b"data/door", b"vault")],
        [file(b"data/x"), file(b"data/x")],
        [file(b"data/x"), file(b"./data//x")],
        [file(VOLUME + b"x"), symlink(VOLUME + b"x", b"y")],
        [folder(b"data/x/"), file(b"data/x")],
        [symlink(b"data/x", b"y"), folder(b"data/x")],
        [file(b"Config/x")],
        [folder(b"DATA/")],
        [file(b".ENV")],
        [file(b"makefile")],
        [file(b"./Docker-Compose.yml")],
        [symlink(b"Services", b"data")],
        [folder(b".Cell-Backup")],
        [file(b"data/tool", mode=0o4755)],
        [file(b"data/tool", mode=0o2755)],
        [Member(b"data/tool", records={b"SCHILY.xattr.security.capability": b"\1"})],
    ],
    ids=lambda members: " ".join(ascii(member.name[:30])[1:] for member in members),
)
def test_what_no_honest_archive_holds_is_refused_by_name(members: list[Member]) -> None:
    shown = (members[-1].name[:20].split(b"\0")[0]).decode()
    assert normal_name(shown.encode()).decode() in refused(*members)


@pytest.mark.parametrize(
    "members",
    [
        [folder(b"./"), folder(b"./config/"), file(b"./config/x"), folder(b"config")],
        [file(b"config/..x"), file(b"config/...")],
        [file(b"x" * 255), file(VOLUME + b"y/" * 2047 + b"y")],
        [Member(VOLUME + b"pipe", FIFO)],
        [Member(b"config/", ord("0")), file(b"config/x")],
        [symlink(b"config/a/l", b"../../data"), symlink(b"config/l", b".."), symlink(b"config/m", b"x//./y")],
        [symlink(b"config/l", b"../data/../config/x"), folder(b"data/"), file(b"data/x")],
        [symlink(VOLUME + b"l", b"/etc/passwd"), hard_link(VOLUME + b"m", VOLUME + b"l")],
        [file(VOLUME + b"a"), hard_link(VOLUME + b"b", VOLUME + b"a")],
        [file(b"x/" * 100 + b"y"), file(VOLUME + b"x/" * 2000 + b"y")],
        [Member(VOLUME + b"x", records={b"SCHILY.xattr.user.%d" % n: b"x" * 65_536 for n in range(4)})],
        [file(b"config/a"), hard_link(b"data/b", b"./config/a"), hard_link(b"data/c", b"data/b")],
        [file(VOLUME + b"tool", mode=0o6755), folder(b"data/shared")],
        [Member(b"data/shared", DIRECTORY, mode=0o2770), Member(b"data/tmp/", DIRECTORY, mode=0o1777)],
        [file(b"configs"), file(b"README"), file(b"data/Makefile"), file(b"data/makefile")],
    ],
    ids=lambda members: " ".join(ascii(member.name[:30])[1:] for member in members),
)
def test_what_honest_archives_hold_passes(members: list[Member]) -> None:
    assert looked_at(*members) == [normal_name(member.name) for member in members]


def test_a_volume_must_be_one_that_the_header_names() -> None:
    good = [folder(b"services/"), folder(b"services/mail"), folder(VOLUME), file(VOLUME + b"x")]
    looked_at(*good, with_header=True)
    for wrong in (b"services/mail/other/x", b"services/x", b"services/other", b"services/mailx/mailboxes/x"):
        assert wrong.decode() in refused(*good, file(wrong), with_header=True)
        looked_at(*good, file(wrong))
    for wrong in (b"services", b"services/mail", b"services/mail/mailboxes"):
        assert "no directory" in refused(file(wrong), with_header=True)


OTHER = Part(PartKind.VOLUME, "pages", service="site")
A, B, C = b"services/mail/mailboxes/1", b"services/site/pages/1", b"services/mail/mailboxes/2"


@pytest.mark.parametrize(
    "names",
    [[A, B, C], [B, A], [A, b"config/x", C], [A, b"services/mail/", C], [A, B, b"services/mail/mailboxes/"]],
    ids=["interleaved", "swapped", "a file of the cell between", "a folder above between", "the volume itself again"],
)
def test_a_volume_comes_in_one_piece_and_in_the_order_of_the_header(names: list[bytes]) -> None:
    guard = Guard(Limits(), archive_size=1)
    guard.declare(header([VOLUME_PART, OTHER]))
    found = [Member(name, DIRECTORY if name.endswith(b"/") else REGULAR) for name in names]
    for member in found[:-1]:
        guard.look(read(member))
    with pytest.raises(ArchiveError) as caught:
        guard.look(read(found[-1]))
    assert caught.value.code == Code.ARCHIVE_HOSTILE


def test_two_parts_cannot_have_one_volume() -> None:
    with pytest.raises(ArchiveError) as caught:
        Guard(Limits(), archive_size=1).declare(header([OTHER, OTHER]))
    assert caught.value.code == Code.ARCHIVE_HOSTILE


@pytest.mark.parametrize(("service", "name"), [("..", "x"), ("a", ".."), ("a/b", "x"), ("", "x"), ("a", "x\0y")])
def test_a_header_cannot_name_a_volume_that_is_elsewhere(service: str, name: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        Guard(Limits(), archive_size=1).declare(header([Part(PartKind.VOLUME, name, service=service)]))
    assert caught.value.code == Code.ARCHIVE_HOSTILE


def test_a_file_that_is_setuid_already_may_stay_so() -> None:
    asked: list[bytes] = []

    def allow(name: bytes) -> bool:
        asked.append(name)
        return True

    looked_at(file(b"./data/tool", mode=0o4755), file(b"data/other"), may_be_setuid=allow)
    assert asked == [b"data/tool"]


def test_members_are_counted() -> None:
    files = [file(b"data/%d" % number) for number in range(10)]
    assert "members" in refused(*files, limits=Limits(members=9))
    looked_at(*files, limits=Limits(members=10))
    assert "members" in refused(*files, limits=Limits(cell_files=9))
    assert "members" in refused(*[folder(b"data/")] * 12, limits=Limits(members=11))
    looked_at(*(file(VOLUME + b"%d" % number) for number in range(10)), limits=Limits(cell_files=1))
    # names alone can imply more folders than there are members
    assert "members" in refused(file(VOLUME + b"a/" * 500 + b"x"), limits=Limits(members=100))


def test_bytes_are_counted_before_they_are_unpacked_and_holes_with_them() -> None:
    small = Limits(expansion=10, free_bytes=500)
    looked_at(file(b"data/a", 400), file(b"data/b", 600), limits=small)
    assert "data/b" in refused(file(b"data/a", 400), file(b"data/b", 601), limits=small)
    sparse = Member(b"data/s", size=1, records={b"GNU.sparse.realsize": b"1001"})
    assert "data/s" in refused(sparse, limits=small)
    guard = Guard(small, archive_size=100)
    guard.stream(1000)
    with pytest.raises(ArchiveError) as caught:
        guard.stream(1)
    assert "CELL_BACKUP_MAX_EXPANSION" in caught.value.hint


def names_of(count: int) -> Iterable[bytes]:
    return (b"data/folder-%d/file-%d" % (number // 1000, number) for number in range(count))


def test_names_cost_a_few_bytes_each() -> None:
    tracemalloc.start()
    names = Names(room=16)
    for name in names_of(20_000):
        assert names.add(name, FILE) == 0
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 20_000 * 40
    assert names.count == 20_000
    assert {names.kind_of(name) for name in names_of(20_000)} == {FILE}
    assert {names.add(name, LINK) for name in names_of(20_000)} == {FILE}
    assert names.kind_of(b"data/folder-0") == 0


def test_a_folder_below_a_link_is_found_each_time_it_is_asked_for() -> None:
    names = Names()
    names.add(b"a/b", LINK)
    assert [names.imply(b"a/b/c/d") for _ in range(2)] == [LINK, LINK]
    assert names.imply(b"a/x/y") == 0
    assert names.kind_of(b"a/x") == FOLDER
