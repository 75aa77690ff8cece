"""The way by hand, `tar -xzf` and a restart, ends in the state that a restore makes."""

import subprocess
from pathlib import Path

from app.cell.generated.templates import FIRST_LINE
from tests.support.service import Place, running_service
from tests.support.waiting import eventually

CADDYFILE = "config/caddy/Caddyfile"
GENERATED = (CADDYFILE, "config/dns/Corefile")


def generated_in(cell: Path) -> dict[str, str]:
    return {name: (cell / name).read_text() for name in GENERATED}


def are_generated(cell: Path) -> bool:
    return all(text.startswith(FIRST_LINE) for text in generated_in(cell).values())


def test_what_tar_brought_back_is_generated_anew_at_the_next_start(place: Place, tmp_path: Path) -> None:
    config = place.cell / "config/api/cell_config.json"
    now = config.read_text()
    config.write_text(now.replace("home.cell", "old.cell"))
    for name in GENERATED:
        (place.cell / name).write_text("# older than the configuration beside it\n")
    archive = tmp_path / "cell-backup-20261101-020000.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", place.cell, "config", "data"], check=True)
    config.write_text(now)
    with running_service(place):
        eventually(lambda: are_generated(place.cell), what="step 8 is done for the cell as it is")
    assert "old.cell" not in generated_in(place.cell)[CADDYFILE]

    subprocess.run(["tar", "-xzf", archive, "-C", place.cell], check=True)
    assert not are_generated(place.cell)
    with running_service(place):
        eventually(lambda: are_generated(place.cell), what="step 8 is done for what was restored")
    by_hand = generated_in(place.cell)

    elsewhere = tmp_path / "elsewhere"
    done = place.cli("restore", archive, "--cell-root", elsewhere)
    assert done.returncode == 0, done
    assert generated_in(elsewhere) == by_hand
    assert "old.cell" in by_hand[CADDYFILE]
