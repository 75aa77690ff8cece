"""What an archive is worth: as this project reads it, and as GNU tar and coreutils do."""

import io
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from app.archive.manifest import MANIFEST_NAME, SUMS_NAME, Manifest
from app.archive.parts import PartResult
from app.archive.verify import verify
from tests.faults.house import BACKUP_ID, House, writer_threads


@dataclass(frozen=True, slots=True)
class Proven:
    """Hold a plain archive that has been proven whole."""

    manifest: Manifest
    contents: dict[str, bytes]
    summed: frozenset[str]

    def part(self, label: str) -> PartResult:
        return next(result for result in self.manifest.parts if result.part.label == label)


def prove(house: House) -> Proven:
    """Check the one archive of a house with everything that can check it, and that nothing else was left."""
    path = house.archives / f"{BACKUP_ID}.tar.gz"
    assert sorted(item.name for item in house.archives.iterdir()) == [f"{BACKUP_ID}.json", path.name]
    assert writer_threads() == set()
    with path.open("rb") as file:
        report = verify(file, data_key=None)
    assert report.manifest is not None
    contents = _contents(path)
    with tempfile.TemporaryDirectory() as folder:
        summed = _by_coreutils(path, Path(folder))
    assert set(contents) - summed - {MANIFEST_NAME.decode(), SUMS_NAME.decode()} == {
        ".cell-backup/header.json",
        *(name for result in report.manifest.parts for name in result.damaged),
    }
    return Proven(report.manifest, contents, frozenset(summed))


def _contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {item.name: (tar.extractfile(item) or io.BytesIO()).read() for item in tar if item.isreg()}


def _by_coreutils(path: Path, folder: Path) -> set[str]:
    """Unpack with GNU tar, check with sha256sum, and give the names that have a line."""
    _run("tar", "-tzf", str(path))
    _run("tar", "-xzf", str(path), "-C", str(folder), "--no-same-owner")
    sums = folder / SUMS_NAME.decode()
    if sums.stat().st_size:
        _run("sha256sum", "--check", "--strict", "--quiet", str(sums), cwd=folder)
    return {line.partition("  ")[2] for line in sums.read_text().splitlines()}


def _run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), (command, done.stdout, done.stderr)
