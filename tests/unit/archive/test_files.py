"""Local files as tar members: what GNU tar extracts is the tree that was there, bit for bit."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app.archive.files import Entry, FileMembers
from app.archive.headers import END_OF_ARCHIVE
from app.archive.relay import Meter
from app.archive.sums import SumsSpool
from app.errors import Code, PartError
from tests.support.tars import check_sums, extract
from tests.support.trees import AS_ROOT, Wanted, build, describe, differences, ordinary_user
from tests.unit.archive.support import Output, members

MIB = 1 << 20


class Written:
    """Write files below a root and hold what came out."""

    def __init__(self, root: Path, out: Callable[[bytes], None] = lambda _: None) -> None:
        self.output, self.meter, self._on_out = Output(), Meter(), out
        self._sums = SumsSpool(None)
        self.members = FileMembers(root, self._put, self._sums, self.meter)

    def _put(self, data: bytes) -> None:
        self.output.write(data)
        self._on_out(data)

    @property
    def tar(self) -> bytes:
        return bytes(self.output.data) + END_OF_ARCHIVE

    @property
    def sums(self) -> bytes:
        return b"".join(self._sums.pieces())


def entry(root: Path, path: str) -> Entry:
    return Entry(path, (root / path).lstat())


def test_everything_survives(tmp_path: Path) -> None:
    root = tmp_path / "cell"
    root.mkdir()
    build(root, Wanted(special=False))
    written = Written(root)

    # longer ones are no longer saved, as no restore takes them
    found = [item for item in entries_of(root) if len(os.fsencode(item.path)) <= 2048]
    warnings = [warning for item in found if (warning := written.members.add(item))]
    privileged = {item.path for item in found if stat.S_ISREG(item.stat.st_mode) and item.stat.st_mode & 0o6000}
    assert {warning.partition(" is setuid")[0] for warning in warnings} - {"xattrs/capability"} == privileged

    at = extract(written.tar, tmp_path / "out")
    before, after = describe(root), describe(at)
    kept = {os.fsencode(item.path) for item in found}
    ignoring = ("map", "names")
    before = {path: facts for path, facts in before.items() if path in kept}
    assert differences(before, {path: after[path] for path in after if path in kept}, ignoring=ignoring) == []
    assert set(after) - kept == {b"."}
    names = {facts.names for path, facts in after.items() if path.startswith(b"links/") and len(facts.names) > 1}
    assert (b"links/hard/first", b"links/hard/second", b"links/third\n\\") in names
    lines = check_sums(written.sums, at)
    assert len(lines) == written.meter.files
    assert all(line.endswith(b": OK") for line in lines)


def entries_of(root: Path) -> list[Entry]:
    """List a tree whose paths may be longer than one call takes."""
    found = []
    for folder, folders, files, here in os.fwalk(root):
        for name in [*files, *folders]:
            path = os.path.relpath(os.path.join(folder, name), root)  # noqa: PTH118 - as long as it likes
            found.append(Entry(path, os.lstat(name, dir_fd=here)))
    return sorted(found, key=lambda item: os.fsencode(item.path).split(b"/"))


def test_a_file_of_several_pieces_is_whole(tmp_path: Path) -> None:
    content = os.urandom(2 * MIB + 17)
    (tmp_path / "large").write_bytes(content)
    written = Written(tmp_path)

    assert written.members.add(entry(tmp_path, "large")) is None

    assert extract(written.tar, tmp_path / "out").joinpath("large").read_bytes() == content
    assert (written.meter.files, written.meter.bytes) == (1, len(content))


def test_a_file_that_grew_since_it_was_listed_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"old")
    listed = entry(tmp_path, "log")
    (tmp_path / "log").write_bytes(b"old and new")
    written = Written(tmp_path)

    assert written.members.add(listed) is None
    assert extract(written.tar, tmp_path / "out").joinpath("log").read_bytes() == b"old and new"


@pytest.mark.parametrize("size", [0, 100, MIB, 3 * MIB])
def test_a_file_that_shrinks_while_it_is_read_is_filled_with_zeros(tmp_path: Path, size: int) -> None:
    content = os.urandom(3 * MIB + 5)
    path = tmp_path / "file"
    path.write_bytes(content)
    # the first piece is read before the header is written
    written = Written(tmp_path, lambda _: os.truncate(path, size))

    warning = written.members.add(entry(tmp_path, "file"))

    assert warning == "file changed while it was read"
    at = extract(written.tar, tmp_path / "out")
    kept = max(size, MIB)
    assert (at / "file").read_bytes() == content[:kept] + bytes(len(content) - kept)
    assert len(check_sums(written.sums, at)) == 1
    assert written.members.damaged == []


def test_a_file_that_grows_while_it_is_read_is_cut_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"begin")

    def grow(_: bytes) -> None:
        with path.open("ab") as file:
            file.write(b"x" * MIB)

    written = Written(tmp_path, grow)

    assert written.members.add(entry(tmp_path, "file")) == "file changed while it was read"
    at = extract(written.tar, tmp_path / "out")
    assert (at / "file").read_bytes() == b"begin"
    check_sums(written.sums, at)


def test_a_file_that_is_rewritten_while_it_is_read_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    listed = entry(tmp_path, "file")
    written = Written(tmp_path, lambda _: os.utime(path, ns=(0, 5)))

    assert written.members.add(listed) == "file changed while it was read"


@pytest.mark.parametrize("kind", ["file", "link"])
@pytest.mark.parametrize("instead", ["nothing", "file", "folder", "link", "fifo", "dangling"])
def test_what_vanished_or_was_replaced_is_a_warning(tmp_path: Path, kind: str, instead: str) -> None:
    path = tmp_path / "it"
    if kind == "file":
        path.write_bytes(b"first")
    else:
        path.symlink_to("target")
    listed = entry(tmp_path, "it")
    path.rename(tmp_path / "elsewhere")
    match instead:
        case "file":
            path.write_bytes(b"other")
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to("elsewhere")
        case "fifo":
            os.mkfifo(path)
        case "dangling":
            path.symlink_to("nowhere")
        case _:
            assert instead == "nothing"
    if kind == "link" and instead in {"link", "dangling"}:
        return  # a link that leads elsewhere now is written as it is
    written = Written(tmp_path)
    if (kind, instead) == ("file", "file"):  # as every careful program saves a file
        assert written.members.add(listed) is None
        assert b"other" in written.tar
        return

    assert written.members.add(listed) == "it vanished before it could be read"
    assert (written.tar, written.sums) == (END_OF_ARCHIVE, b"")


def test_a_folder_that_became_a_file_lets_its_children_vanish(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "child").write_bytes(b"x")
    listed = entry(tmp_path, "folder/child")
    (tmp_path / "folder" / "child").unlink()
    (tmp_path / "folder").rmdir()
    (tmp_path / "folder").write_bytes(b"x")

    assert Written(tmp_path).members.add(listed) == "folder/child vanished before it could be read"


def test_an_unreadable_file_fails_and_leaves_nothing_of_itself() -> None:
    with tempfile.TemporaryDirectory() as name, ordinary_user(Path(name)):
        folder = Path(name)
        (folder / "readable").write_bytes(b"1")
        (folder / "secret").write_bytes(b"2")
        (folder / "secret").chmod(0)
        written = Written(folder)
        written.members.add(entry(folder, "readable"))
        before = written.tar

        with pytest.raises(PartError) as caught:
            written.members.add(entry(folder, "secret"))

        assert caught.value.code == Code.FILE_UNREADABLE
        assert caught.value.message == "secret cannot be read: Permission denied."
        assert written.tar == before
        assert written.members.damaged == []


def break_reads(path: Path) -> Callable[[bytes], None]:
    """Give what makes every later read of a file fail, as a bad disk does: its descriptor becomes a directory's."""

    def on_out(_: bytes) -> None:
        for item in Path("/proc/self/fd").iterdir():
            if item.is_symlink() and os.readlink(item) == str(path):  # noqa: PTH115 - compared as text
                folder = os.open(path.parent, os.O_RDONLY)
                os.dup2(folder, int(item.name))
                os.close(folder)

    return on_out


def test_a_file_that_stops_being_readable_is_closed_with_zeros_and_named_damaged(tmp_path: Path) -> None:
    content = os.urandom(3 * MIB)
    path = tmp_path / "bad\n"
    path.write_bytes(content)
    (tmp_path / "next").write_bytes(b"next")
    written = Written(tmp_path, break_reads(path))

    with pytest.raises(PartError) as caught:
        written.members.add(entry(tmp_path, "bad\n"))
    written.members.add(entry(tmp_path, "next"))

    assert caught.value.code == Code.FILE_UNREADABLE
    assert written.members.damaged == ["bad\n"]
    at = extract(written.tar, tmp_path / "out")
    assert (at / "bad\n").read_bytes() == content[:MIB] + bytes(2 * MIB)
    assert check_sums(written.sums, at) == [b"next: OK"]


def test_the_second_name_of_a_damaged_file_is_read_again(tmp_path: Path) -> None:
    content = os.urandom(2 * MIB)
    path = tmp_path / "a"
    path.write_bytes(content)
    (tmp_path / "b").hardlink_to(path)
    written = Written(tmp_path, break_reads(path))
    with pytest.raises(PartError):
        written.members.add(entry(tmp_path, "a"))

    assert written.members.add(entry(tmp_path, "b")) is None

    assert extract(written.tar, tmp_path / "out").joinpath("b").read_bytes() == content


def test_a_write_error_passes_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")

    class OutError(Exception):
        pass

    def fail(_: bytes) -> None:
        raise OutError

    with pytest.raises(OutError):
        Written(tmp_path, fail).members.add(entry(tmp_path, "file"))


def test_the_first_name_that_vanished_is_made_up_for_by_the_second(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"contents")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    listed = [entry(tmp_path, "a"), entry(tmp_path, "b")]
    (tmp_path / "a").unlink()
    written = Written(tmp_path)

    assert [written.members.add(item) for item in listed] == ["a vanished before it could be read", None]
    (member,) = members(written.tar)
    assert (member.name, member.kind_name, member.size) == (b"b", "file", 8)


def test_the_meter_names_what_is_being_read(tmp_path: Path) -> None:
    name = os.fsdecode(b"odd\xff\n")
    (tmp_path / name).write_bytes(b"x")
    written = Written(tmp_path)

    written.members.add(entry(tmp_path, name))

    assert written.meter.current.isprintable() or "\n" in written.meter.current
    written.meter.current.encode()


@pytest.mark.skipif(not AS_ROOT, reason="only root may give files away")
def test_owners_and_setuid_bits_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_bytes(b"x")
    os.chown(path, 3_000_000, 12345)
    path.chmod(0o6755)
    written = Written(tmp_path)

    written.members.add(entry(tmp_path, "tool"))

    found = extract(written.tar, tmp_path / "out").joinpath("tool").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (3_000_000, 12345, 0o6755)


def test_what_no_restore_takes_is_not_saved_and_said(tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["d"] * 101)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    (tmp_path / "heavy").touch()
    written = Written(tmp_path)
    relative = str((deep / "file").relative_to(tmp_path))

    with pytest.raises(PartError) as caught:
        written.members.add(Entry(relative, (deep / "file").lstat()))
    assert caught.value.code == Code.FILE_UNREADABLE
    assert "folders" in caught.value.message
    assert bytes(written.tar).rstrip(b"\0") == b""
