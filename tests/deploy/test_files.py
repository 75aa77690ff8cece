"""Files for those who deploy: each is read by the program that it is for."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from app import keeping, processes
from app.jobs import embedded
from app.settings import Settings
from tests.support.debian import needed
from tests.support.service import PROJECT

UNIT = PROJECT / "deploy/systemd/cell-backup.service"
# what the stack decides itself
OF_THE_STACK = {"cell_root", "state_dir", "redis_url", "host", "port"}
_ANALYZE = "systemd-analyze"
_WORST_EXPOSURE = 30  # of 100, as `systemd-analyze security` counts


def test_every_setting_reaches_the_containers() -> None:
    text = (PROJECT / "docker-compose.yml").read_text()
    passed_on = set(re.findall(r"^  CELL_BACKUP_(\w+):$", text, re.MULTILINE))
    assert passed_on == {name.upper() for name in Settings.model_fields.keys() - OF_THE_STACK}
    decided = set(re.findall(r"^  CELL_BACKUP_(\w+): ", text, re.MULTILINE))
    assert decided == {name.upper() for name in OF_THE_STACK}


def composed(compose: str, *files: str, **variables: str) -> str:
    options = [f"--file={PROJECT / file}" for file in files]
    env = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run([compose, *options, "config"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_compose_understands_the_stack(compose: str) -> None:
    said = composed(compose, "docker-compose.yml", CELL_BACKUP_CELL_ROOT="/srv/cell", CELL_BACKUP_SAFETY_DAYS="3")
    assert said.count("source: /srv/cell") == said.count("target: /srv/cell") == 2
    assert len(re.findall(r"CELL_BACKUP_SAFETY_DAYS: ['\"]?3", said)) == 2
    assert "external" not in said


def test_the_stack_can_join_the_cells_own_network(compose: str) -> None:
    said = composed(compose, "docker-compose.yml", "deploy/cell-network.yml", CELL_NETWORK="my-cell")
    assert re.search(r"cell:\n +external: true\n +name: my-cell|cell:\n +name: my-cell\n +external: true", said)
    assert len(re.findall(r"FORWARDED_ALLOW_IPS: ['\"]?172\.20\.0\.0/16", said)) == 1
    assert said.count("network_mode: none") == 1


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    needed(None if shutil.which(_ANALYZE) else f"there is no {_ANALYZE}")
    program = re.search(r"^ExecStart=(\S+)", UNIT.read_text(), re.MULTILINE)
    assert program is not None
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace(program[1], sys.executable))
    done = subprocess.run([_ANALYZE, "verify", "--man=no", here], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_systemd_finds_the_unit_little_exposed() -> None:
    needed(None if shutil.which(_ANALYZE) else f"there is no {_ANALYZE}")
    options = ("--offline=true", f"--threshold={_WORST_EXPOSURE}", "--no-pager")
    done = subprocess.run([_ANALYZE, "security", *options, UNIT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_the_unit_gives_the_service_the_rights_and_the_time_it_needs() -> None:
    settings = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    rights = set(settings["CapabilityBoundingSet"].split())
    assert rights == {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID"}
    assert "RestrictSUIDSGID" not in settings
    assert settings["KillMode"] == "mixed"
    assert int(settings["TimeoutStopSec"]) > keeping._GRACE + processes._OPEN_CONNECTIONS_LIMIT + embedded.STOP_LIMIT
