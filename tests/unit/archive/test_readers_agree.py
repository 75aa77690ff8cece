"""What readers of a tar could take differently is refused, by the archive's reader and by the relay."""

import gzip
from collections.abc import Mapping
from io import BytesIO

import pytest

from app.archive.headers import END_OF_ARCHIVE
from app.archive.verify import verify
from app.errors import ArchiveError, Code
from tests.unit.archive.support import block, file_member, pax, relay

SMUGGLED = block(b"./smuggled")
BODY = file_member(b"x", SMUGGLED)
LONG = block(b"L", kind=b"L", size=b"%011o" % 4) + b"y/z\0".ljust(512, b"\0")
RECORDS: Mapping[str, dict[bytes, bytes]] = {
    "size behind a blank": {b" size": b"0"},
    "size behind a tab": {b"\tsize": b"0"},
    "path behind a blank": {b" path": b"./else/where"},
    "key with a NUL": {b"size\0x": b"0"},
    "sparse size alone": {b"GNU.sparse.size": b"0"},
    "real size alone": {b"GNU.sparse.realsize": b"0"},
    "sparse name alone": {b"GNU.sparse.name": b"./y"},
    "map without its count": {b"GNU.sparse.size": b"512", b"GNU.sparse.map": b"0,512"},
    "map with another count": {
        b"GNU.sparse.size": b"512",
        b"GNU.sparse.numblocks": b"2",
        b"GNU.sparse.map": b"0,512",
    },
    "count behind its map": {b"GNU.sparse.size": b"512", b"GNU.sparse.map": b"0,512", b"GNU.sparse.numblocks": b"1"},
    "two notations": {b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"0", b"GNU.sparse.size": b"0"},
    "version 2": {b"GNU.sparse.major": b"2", b"GNU.sparse.realsize": b"0"},
    "multi-volume": {b"GNU.volume.size": b"0"},
}
STREAMS = {
    **{name: pax(records) + BODY for name, records in RECORDS.items()},
    "two extended headers": pax({b"mtime": b"1"}) + pax({b"size": b"512"}) + BODY,
    "a long name and a path": pax({b"path": b"./y"}) + LONG + BODY,
    "an empty long name": block(b"L", kind=b"L", size=b"%011o" % 4) + bytes(512) + BODY,
    "a size that only its record tells well": pax({b"size": b"512"}) + block(size=b"\xff" * 12) + SMUGGLED,
    "a size without digits": pax({b"size": b"512"}) + block(size=b" " * 12) + SMUGGLED,
    "a size behind two NULs": block(size=b"\0\0000001000\0") + SMUGGLED,
    "size of a link": pax({b"size": b"0"}) + block(kind=b"2", link=b"y"),
    "sparse folder": pax({b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"512"}) + block(kind=b"5"),
    "old sparse in another format": block(kind=b"S"),
    "prefix under another version": block(magic=b"ustar\x0001", prefix=b"door"),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_what_readers_take_differently_is_refused(stream: bytes) -> None:
    with pytest.raises(ArchiveError) as caught:
        verify(BytesIO(gzip.compress(stream + END_OF_ARCHIVE, 1)), data_key=None)
    assert caught.value.code == Code.ARCHIVE_DAMAGED

    assert relay(stream + END_OF_ARCHIVE).error is not None
