"""The quick archive, as the line in a cell's crontab asks for it: no service, no Redis, no Docker."""

import os
import re
import stat
import subprocess
from pathlib import Path

from tests.support.service import PROJECT, Place, running_service
from tests.support.tars import extract
from tests.support.trees import Tree, describe, differences

OLD = "cell-backup-20260101-020000.tar.gz"  # the sample cell's own, which is not a real archive


def what_make_backup_saves(cell: Path) -> Tree:
    kept = {}
    for path, facts in describe(cell).items():
        parts = path.split(b"/")
        out = {b"logs", b"config_backups"} & set(parts) or path.endswith(b".log")
        if parts[0] in {b"config", b"data", b"Makefile", b"docker-compose.yml"} and not out:
            kept[path] = facts
    return kept


def made_by(place: Place) -> Path:
    (archive,) = (path for path in (place.cell / "backups").iterdir() if path.name != OLD)
    return archive


def test_it_holds_exactly_the_cells_files_and_restores_by_tar(place: Place, tmp_path: Path) -> None:
    done = place.cli("quick", "--cell-root", place.cell)
    assert (done.returncode, done.stderr) == (0, b"")
    archive = made_by(place)
    assert re.fullmatch(r"cell-backup-\d{8}-\d{6}\.tar\.gz", archive.name)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert done.stdout.decode().startswith(f"{archive}: ")
    plain = subprocess.run(["gzip", "--decompress", "--stdout", archive], check=True, capture_output=True).stdout
    found = describe(extract(plain, tmp_path))
    del found[b"."]
    assert differences(what_make_backup_saves(place.cell), found, ignoring=["map"]) == []
    assert not place.state.exists()


def test_it_shows_in_the_catalog_and_verifies(place: Place) -> None:
    assert place.cli("quick", "--cell-root", place.cell).returncode == 0
    backup_id = made_by(place).name.removesuffix(".tar.gz")
    with running_service(place, backup_dir=place.cell / "backups") as service:
        entry = service.get(f"/api/config/backups/{backup_id}")
        assert (entry["described"], entry["encrypted"], entry["verified"]) == (False, False, None)
        assert backup_id in [listed["backup_id"] for listed in service.get("/api/config/backups")["backups"]]
        members = service.get(f"/api/config/backups/{backup_id}/contents")["members"]
        assert "config/api/cell_config.json" in [member["path"] for member in members]
        assert service.verify(backup_id)["state"] == "succeeded"
        assert service.get(f"/api/config/backups/{backup_id}")["verified"]["ok"] is True
    assert place.cli("verify", place.cell / "backups" / f"{backup_id}.tar.gz").returncode == 0


def test_the_makefile_has_the_crontabs_line(place: Place) -> None:
    """Ask make what it would run: setting everything up is another test's."""
    done = subprocess.run(
        ["make", "--dry-run", "backup", f"CELL={place.cell}"],
        cwd=PROJECT,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == f".venv/bin/cell-backup quick --cell-root {place.cell}"
