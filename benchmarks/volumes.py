"""What the benchmarks save: mail and photos, and very many small mails. The same bytes on every run."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20
MB = 1_000_000

_WORDS = 5_000
_POOL = 8 * MIB
_MAIL_SHARE = 300 / 550
_SMALL_MAIL = (500, 4_000)
_LARGE_MAIL = (2 * KIB, 4 * MIB)
_PHOTO = (1 * MIB, 5 * MIB)
_FOLDERS = 100
_USERS = 20


@dataclass(frozen=True, slots=True)
class Volume:
    """Describe one generated volume; its speed is told in files where these are what costs, else in bytes."""

    key: str
    title: str
    folder: Path
    files: int
    bytes: int
    counts_files: bool = False

    def rate(self, seconds: float) -> str:
        """Tell how fast a step was that took this long."""
        return f"{self.files / seconds:,.0f} files/s" if self.counts_files else f"{self.bytes / MB / seconds:,.0f} MB/s"


class _Writer:
    """Write files of chosen sizes and count them."""

    def __init__(self, folder: Path) -> None:
        self.random = random.Random(2_026)
        self.folder = folder
        self.files = self.bytes = 0
        self._pool = _pool(self.random)

    def mail(self, name: str, size: int) -> None:
        """Write text that compresses as text does, put together so that no large piece comes twice."""
        pieces = []
        while size > 0:
            start = self.random.randrange(_POOL)
            piece = self._pool[start : start + min(size, self.random.randint(1 * KIB, 16 * KIB))]
            pieces.append(piece)
            size -= len(piece)
        self._write(name, b"".join(pieces))

    def photo(self, name: str) -> None:
        """Write what no program makes smaller."""
        self._write(name, self.random.randbytes(self.random.randint(*_PHOTO)))

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.files += 1
        self.bytes += len(content)


def _pool(source: random.Random) -> bytes:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(source.choices(letters, k=source.randint(2, 10))) for _ in range(_WORDS)]
    return " ".join(source.choices(words, k=_POOL // 6)).encode()[:_POOL].ljust(_POOL)


def mail_and_photos(folder: Path, megabytes: int) -> Volume:
    """Make a volume of so many megabytes: a good half of mails of 2 KB to 4 MB, the rest photos of 1 to 5 MB."""
    writer = _Writer(folder)
    while writer.bytes < megabytes * MB * _MAIL_SHARE:
        size = round(writer.random.lognormvariate(10, 1.2))
        name = f"user{writer.files % _USERS}/cur/{writer.files}.eml"
        writer.mail(name, min(max(size, _LARGE_MAIL[0]), _LARGE_MAIL[1]))
    while writer.bytes < megabytes * MB:
        writer.photo(f"photos/album{writer.files % _USERS}/{writer.files}.jpg")
    return Volume("mail", "mail and photos", folder, writer.files, writer.bytes)


def small_mails(folder: Path, files: int) -> Volume:
    """Make a volume of so many mails of 0.5 to 4 KB."""
    writer = _Writer(folder)
    for number in range(files):
        name = f"user{number * _FOLDERS // files}/cur/{1_760_000_000 + number}.M{number}P1.cell-mail:2,S"
        writer.mail(name, writer.random.randint(*_SMALL_MAIL))
    return Volume("small", "small mails", folder, writer.files, writer.bytes, counts_files=True)


def make_volumes(folder: Path, *, megabytes: int, small_files: int, say: Callable[[str], None]) -> list[Volume]:
    """Make both volumes, on disk when this returns; a size of 0 leaves one out."""
    volumes = []
    if megabytes:
        say(f"generating {megabytes} MB of mail and photos")
        volumes.append(mail_and_photos(folder / "mail", megabytes))
    if small_files:
        say(f"generating {small_files} small mails")
        volumes.append(small_mails(folder / "small", small_files))
    os.sync()
    return volumes


def space_needed(*, megabytes: int, small_files: int, restored: int) -> int:
    """Tell the bytes on disk that all takes together.

    That is the volumes, an archive of one, the largest result of a step, and one volume as often as it is restored.
    """
    large, small = megabytes * MB, small_files * 4 * KIB
    return 4 * (large + small) + restored * max(large, small) + 200 * MB
