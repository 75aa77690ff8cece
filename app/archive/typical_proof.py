"""The short way to prove a volume's typical files: name, size and digest of each that lies whole in the buffer."""

from typing import NamedTuple

from app.archive.guard import Guard
from app.archive.sums import SumsSpool, line
from app.archive.typical_file import digest, typical_file

_ATTRIBUTES = b"SCHILY."


class Proven(NamedTuple):
    """Tell how many files were proven, and their bytes; `after` is the offset behind them, `last` the last name.

    `plain` says that none of them has attributes or ACLs.
    """

    after: int
    last: bytes
    files: int
    bytes: int
    plain: bool


def prove_typical(buffer: bytes, at: int, guard: Guard, sums: SumsSpool) -> Proven:
    """Look at the files that begin at `at` and note their checksums, up to the first that has to go the long way.

    Raises ArchiveError as the guard does.
    """
    view, end = memoryview(buffer), len(buffer)
    files = size = 0
    last = b""
    lines: list[bytes] = []
    plain = True
    while (file := typical_file(buffer, at)) is not None:
        data_end = file.data + file.size
        after = data_end + (-file.size % 512)
        if after > end or not guard.look_at_neighbour(file.path, file.size):
            break
        lines.append(line(digest(view[file.data : data_end]), file.path))
        files += 1
        size += file.size
        plain = plain and (file.is_timed or buffer.find(_ATTRIBUTES, at, file.own) < 0)
        last, at = file.path, after
    if lines:
        sums.add(b"".join(lines))
    return Proven(at, last, files, size, plain)
