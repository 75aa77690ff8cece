"""ACLs on their way back: in words for tars, in the kernel's own form for the engine."""

import struct

import pytest

from app.archive.acls import acl_records, attribute_records
from app.archive.dialects import Dialect
from app.archive.headers import END_OF_ARCHIVE
from tests.unit.archive.archives import VOLUME
from tests.unit.archive.support import block, members, pax
from tests.unit.archive.volumes import take

INSIDE = VOLUME.prefix.encode()
NOBODY = 2**32 - 1
ANYONES = ((1, 6, NOBODY), (2, 4, 1234), (4, 4, NOBODY), (8, 5, 5678), (16, 5, NOBODY), (32, 4, NOBODY))


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def test_acls_name_their_owners_by_number_where_the_archive_knows_it() -> None:
    records = {
        b"SCHILY.acl.access": b"user::rw-\nuser:daemon:r--\ngroup::r--\nmask::r--\nother::---\n",
        b"SCHILY.xattr.system.posix_acl_access": acl(
            (1, 6, NOBODY), (2, 4, 1), (4, 4, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY)
        ),
    }
    tar = pax(records) + block(INSIDE + b"x") + END_OF_ARCHIVE

    [member] = members(take(tar).tar)

    assert member.records[b"SCHILY.acl.access"] == b"user::rw-\nuser:1:r--\ngroup::r--\nmask::r--\nother::---\n"


def test_an_acl_in_words_reaches_the_engine_as_an_attribute() -> None:
    words = b"user::rw-\nuser:1234:r--\ngroup::r--\ngroup:5678:r-x\nmask::r-x\nother::r--\n"
    tar = pax({b"SCHILY.acl.access": words}) + block(INSIDE + b"x") + END_OF_ARCHIVE

    taken = take(tar, Dialect.GO)

    [member] = members(taken.tar)
    assert member.records[b"SCHILY.xattr.system.posix_acl_access"] == acl(*ANYONES)
    assert taken.warnings == ()


def test_an_acl_with_names_is_lost_to_the_engine_and_that_is_said() -> None:
    tar = pax({b"SCHILY.acl.access": b"user::rw-,user:daemon:r--,group::r--,mask::r--,other::---"}) + block(
        INSIDE + b"x"
    )

    taken = take(tar + END_OF_ARCHIVE, Dialect.GO)

    assert taken.warnings == (f"{VOLUME.prefix}x lost what stands in SCHILY.acl.access",)


@pytest.mark.parametrize(
    "text",
    [
        b"user::rw-\nuser:1234:r--\ngroup::r--\ngroup:5678:r-x\nmask::r-x\nother::r--\n",
        b"u::rw,u:1234:r,g::r,g:5678:rx,m:r-x,o:r",
        b"other::r--\nmask::r-x\t#effective:r-x\n\nuser:joe:r--:1234\ngroup:staff:r-x:5678\ngroup::r--\nuser::rw-\n",
    ],
)
def test_an_acl_in_words_becomes_the_kernels(text: bytes) -> None:
    assert attribute_records({b"SCHILY.acl.default": text}) == (
        {b"SCHILY.xattr.system.posix_acl_default": acl(*ANYONES)},
        [],
    )


@pytest.mark.parametrize(
    "text",
    [
        b"user::rw-\ngroup::r--\n",
        b"user::rw-\nuser:1:r--\ngroup::r--\nother::r--\n",
        b"user::rw-\nuser::r--\ngroup::r--\nother::r--\n",
        b"user::rwX\ngroup::r--\nother::r--\n",
        b"user::rw-\ngroup::r--\nother:1:r--\n",
        b"user::rw-\nuser:4294967295:r--\ngroup::r--\nmask::r--\nother::r--\n",
        b"owner::rw-\ngroup::r--\nother::r--\n",
        b"user\ngroup::r--\nother::r--\n",
    ],
)
def test_what_the_kernel_would_refuse_is_no_acl(text: bytes) -> None:
    assert attribute_records({b"SCHILY.acl.access": text}) == ({}, ["SCHILY.acl.access"])


def test_an_acl_goes_into_words_and_back() -> None:
    given_ = {"system.posix_acl_access": acl(*ANYONES)}

    assert attribute_records(acl_records(given_)) == ({b"SCHILY.xattr.system.posix_acl_access": acl(*ANYONES)}, [])
