"""The lines of SHA256SUMS: as coreutils writes them, and kept where nobody reads them."""

import hashlib
import os
import subprocess
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from app.archive.sums import SumsSpool, line
from app.errors import Code, JobError
from tests.support.trees import ODD_NAMES


def lines(number: int) -> list[bytes]:
    return [line(hashlib.sha256(b"%d" % n).hexdigest(), b"secret-name-%d" % n) for n in range(number)]


def test_a_line_is_what_sha256sum_writes(tmp_path: Path) -> None:
    for name in ODD_NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
        written = subprocess.run(["sha256sum", "--", name], cwd=tmp_path, capture_output=True, check=True).stdout

        assert line(hashlib.sha256(name).hexdigest(), name) == written


@pytest.mark.parametrize("number", [0, 1, 1000, 40_000])
def test_lines_come_back_as_they_were_added(tmp_path: Path, number: int) -> None:
    with closing(SumsSpool(tmp_path)) as spool:
        for entry in lines(number):
            spool.add(entry)

        assert spool.size == len(b"".join(lines(number)))
        assert b"".join(spool.pieces()) == b"".join(lines(number))
        assert all(not piece or piece.endswith(b"\n") for piece in spool.pieces())
        spool.add(b"one more\n")
        assert b"".join(spool.pieces()) == b"".join([*lines(number), b"one more\n"])
        for entry in lines(20_000):
            spool.add(entry)
        assert b"".join(spool.pieces()) == b"".join([*lines(number), b"one more\n", *lines(20_000)])
        assert list(tmp_path.iterdir()) == [], "no name stands in the directory"
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_on_disk_tells_no_name(tmp_path: Path) -> None:
    with closing(SumsSpool(tmp_path)) as spool:
        for entry in lines(40_000):
            spool.add(entry)
        (descriptor,) = open_files_below(tmp_path)
        content = Path(f"/proc/self/fd/{descriptor}").read_bytes()

        assert len(content) > 100_000
        with pytest.raises(zlib.error):
            zlib.decompressobj().decompress(content)
    assert open_files_below(tmp_path) == []


def test_lines_that_are_the_same_are_kept_differently(tmp_path: Path) -> None:
    with closing(SumsSpool(tmp_path)) as spool:
        spool.add(b"x" * (1 << 20))
        spool.add(b"x" * (1 << 20))
        (descriptor,) = open_files_below(tmp_path)
        content = Path(f"/proc/self/fd/{descriptor}").read_bytes()

    assert content[: len(content) // 2] != content[len(content) // 2 :]


def open_files_below(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = entry.readlink()
        except FileNotFoundError:
            continue  # the descriptor that lists this directory
        if str(target).startswith(str(folder)):
            found.append(int(entry.name))
    return found


def test_a_directory_that_takes_no_file_is_a_write_error(tmp_path: Path) -> None:
    with closing(SumsSpool(tmp_path / "missing")) as spool, pytest.raises(JobError) as caught:
        spool.add(b"x" * (2 << 20))

    assert caught.value.code == Code.WRITE_FAILED
