"""Any members in any order: a receiver is given what may be unpacked, and what the relay lets through verifies."""

from contextlib import suppress
from io import BytesIO

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.archive.headers import BLOCK, DIRECTORY, END_OF_ARCHIVE, Member, encode, padding
from app.archive.manifest import HEADER_NAME, dump_header
from app.archive.verify import verify, verify_tar
from app.errors import ArchiveError
from tests.unit.archive.archives import archive_of_volume, header
from tests.unit.archive.support import file_member
from tests.unit.archive.taking import Shelf

quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def member_names() -> st.SearchStrategy[bytes]:
    part = st.sampled_from([b"a", b"b", b"config", b"Config", b"..", b".", b"", b"x" * 256, b"y\0", b".cell-backup"])
    volume = st.just(b"services/mail/mailboxes")
    return st.lists(part | volume, max_size=4).map(b"/".join) | st.binary(max_size=8)


SPARSE = {b"GNU.sparse.size": b"9", b"GNU.sparse.numblocks": b"1", b"GNU.sparse.map": b"4,3"}
MEMBERS = st.lists(
    st.builds(
        Member,
        name=member_names(),
        kind=st.sampled_from(b"0000\0111122223455567S"),
        size=st.sampled_from([0, 0, 3, 600, 1 << 30]),
        mode=st.sampled_from([0o600, 0o4755, 0o2755, 0o777]),
        link=member_names(),
        records=st.sampled_from([{}, SPARSE, {b"path": b"../x"}]),
    ),
    max_size=7,
)


@settings(quick, max_examples=600)
@given(MEMBERS, st.booleans())
def test_whatever_members_come_a_receiver_is_given_only_what_may_be_unpacked(
    members: list[Member],
    with_header: bool,  # noqa: FBT001
) -> None:
    first = file_member(HEADER_NAME, dump_header(header())) if with_header else b""
    stream = b"".join(
        encode(member) + (b"z" * member.size + bytes(padding(member.size)) if member.size < BLOCK * 2 else b"")
        for member in members
    )
    shelf = Shelf()
    # the shelf itself looks at what it is given
    with suppress(ArchiveError):
        verify_tar([first + stream + END_OF_ARCHIVE], size=1, receiver=shelf)
        assert all(kept.end == "whole" for kept in shelf.kept.values() if kept.member.is_file)


@settings(quick, max_examples=400)
@given(st.lists(st.sampled_from([b"./a", b"./b", b"./a/b", b"./a/b/c", b"./l"]), max_size=9), st.data())
def test_whatever_names_a_container_sends_twice_the_archive_verifies(names: list[bytes], data: st.DataObject) -> None:
    kinds = st.sampled_from(b"001256")
    chosen = [Member(name, data.draw(kinds), link=b"./b") for name in names]
    stream = encode(Member(b"./", kind=DIRECTORY)) + b"".join(encode(member) for member in chosen)

    assert verify(BytesIO(archive_of_volume(stream + END_OF_ARCHIVE)), data_key=None).manifest is not None
