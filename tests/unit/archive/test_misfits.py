"""Sparse members whose data is not what their map says: known after the first pass, and given to no tar as such."""

from io import BytesIO
from pathlib import Path

import pytest

from app.archive import verify as verifying
from app.archive.dialects import Dialect
from app.archive.headers import BLOCK, END_OF_ARCHIVE
from app.archive.outgoing import VolumeReader
from app.archive.reader import tar_stream
from app.archive.relay import Meter
from app.archive.verify import verify
from app.errors import ArchiveError, Code
from tests.support.tars import extract
from tests.unit.archive.archives import VOLUME, archive_of_volume
from tests.unit.archive.support import block, file_member, go_on, members, pax

HOLES, AFTER = VOLUME.prefix.encode() + b"holes", VOLUME.prefix.encode() + b"after"
MAPS = {
    "a map that says more than there is": b"1\n0\n1600\n",
    "a map that says less": b"1\n0\n1\n",
    "a map that never ends": b"9999\n0\n",
    "a map that is none": b"no map at all\n",
    "a map out of its order": b"2\n1000\n10\n0\n10\n",
}


def sparse(map_: bytes, name: bytes = b"./holes") -> bytes:
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"2000"}
    data = map_.ljust(BLOCK, b"\0") + b"contents".ljust(BLOCK, b".")
    head = pax({**records, b"GNU.sparse.name": name}) + block(b"./GNUSparseFile.1/holes", size=b"%011o" % len(data))
    return head + data


def torn(map_: bytes) -> bytes:
    return archive_of_volume(sparse(map_) + file_member(b"./after", b"whole") + END_OF_ARCHIVE)


@pytest.mark.parametrize("map_", MAPS.values(), ids=MAPS)
@pytest.mark.parametrize("dialect", list(Dialect))
def test_no_tar_is_given_a_map_that_does_not_fit(map_: bytes, dialect: Dialect, tmp_path: Path) -> None:
    archive = torn(map_)
    report = verify(BytesIO(archive), data_key=None)
    assert report.misfits == {HOLES}
    reader = VolumeReader(tar_stream(BytesIO(archive), None), meter=Meter(), keep_going=go_on, misfits=report.misfits)

    taken = b"".join(reader.volume(VOLUME.prefix, dialect))

    assert b"GNU.sparse" not in taken
    assert [(member.name, member.size) for member in members(taken)] == [(b"./holes", 2000), (b"./after", 5)]
    assert [warning.partition(" has zeros")[0] for warning in reader.warnings] == [HOLES.decode()]
    extract(taken, tmp_path)
    assert (tmp_path / "after").read_bytes() == b"whole"
    assert (tmp_path / "holes").stat().st_size == 2000


def test_a_map_that_fits_goes_as_it_is() -> None:
    archive = torn(b"1\n100\n512\n")
    report = verify(BytesIO(archive), data_key=None)
    assert report.misfits == frozenset()
    reader = VolumeReader(tar_stream(BytesIO(archive), None), meter=Meter(), keep_going=go_on, misfits=report.misfits)
    assert b"GNU.sparse.realsize" in b"".join(reader.volume(VOLUME.prefix, Dialect.PAX))
    assert reader.warnings == []


def test_there_are_not_more_of_them_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_MAX_MISFITS", 2)
    broken = MAPS["a map that is none"]
    for count in (2, 3):
        stream = b"".join(sparse(broken, b"./%d" % number) for number in range(count))
        archive = archive_of_volume(stream + END_OF_ARCHIVE)
        if count == 2:
            assert len(verify(BytesIO(archive), data_key=None).misfits) == 2
            continue
        with pytest.raises(ArchiveError) as caught:
            verify(BytesIO(archive), data_key=None)
        assert caught.value.code == Code.ARCHIVE_DAMAGED
