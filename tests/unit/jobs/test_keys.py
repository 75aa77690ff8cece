import itertools

import pytest

from app.jobs.keys import pack_keys, unpack_keys

KEYS = [None, b"a data key", bytes(range(256))]


@pytest.mark.parametrize(("archive", "safety"), list(itertools.product(KEYS, KEYS)))
def test_both_keys_come_back_as_they_were(archive: bytes | None, safety: bytes | None) -> None:
    assert unpack_keys(pack_keys(archive, safety)) == (archive, safety)
