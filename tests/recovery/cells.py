"""A cell that lives on an old machine: one service with a volume, all of it of odd owners and times."""

import re

from tests.recovery.machine import Machine
from tests.support.docker_engine import gnu_root

PASSPHRASE = "Grüße aus dem Keller"
ARCHIVE = "/root/recovery/cell.tar.gz.age"
_COMPOSE = """\
services:
  notes:
    container_name: cell-notes
    build: ./config/notes
    volumes: ["notes:/data"]
volumes:
  notes:
networks:
  default:
    name: cell-network
"""
_IMAGE = """\
FROM scratch
ADD root.tar /
STOPSIGNAL KILL
CMD ["/bin/sleep", "infinity"]
"""
_MANIFEST = """\
{"id": "notes", "capabilities": {"has_storage": true},
 "backup": {"volumes": [{"name": "texts", "container": "cell-notes", "path": "/data"}]}}
"""
_MAKE = """
import shutil
from pathlib import Path
from app.cell.sample import make_sample_cell
make_sample_cell(Path("/opt/pic"))
for service in ("mail", "calendar"):
    shutil.rmtree(f"/opt/pic/data/services/{service}")
"""
_FILL = """
docker exec -i cell-notes sh -e <<'END'
mkdir -p /data/ada/drafts
echo 'a text' >/data/ada/first
head -c 300000 /dev/urandom >/data/ada/drafts/long
ln -s first /data/ada/newest
chown -R 33:44 /data/ada
chown 5000:6000 /data/ada/drafts/long
chmod 2750 /data/ada/drafts
chmod 640 /data/ada/first
touch -d '2020-01-02 03:04:05' /data/ada/first
touch -d '2021-01-02 03:04:05' /data/ada/drafts/long
touch -d '2022-01-02 03:04:05' /data/ada/drafts
END
"""
_FILES = ("/opt/pic", "config data .env Makefile docker-compose.yml")
_VOLUME = ("/var/lib/docker/volumes/pic_notes/_data", "ada")
# kind, mode, owner, group, seconds, name and target of everything; then what is in each file
_LOOK = r"""
cd {folder}
find {names} ! -type d -printf '%y %m %U %G %Ts %p %l\n' -o -printf '%y %m %U %G {time} %p\n'
find {names} -type f -exec sha256sum {{}} +
"""
# in no archive, or made anew by every restore
_OTHERWISE = re.compile(r" data/logs\b|\.log\b|config_backups| config/(caddy/Caddyfile|dns/Corefile)\b")


def make_cell(machine: Machine) -> None:
    """Install our software, make a cell beside it, start it and fill its volume."""
    machine.copy_software()
    machine.sh("make -C /opt/cell-backup setup")
    machine.sh(f"/opt/cell-backup/.venv/bin/python - <<'END'\n{_MAKE}END")
    machine.sh("mkdir -p /opt/pic/config/notes /opt/pic/data/services/notes")
    for path, content in (
        ("docker-compose.yml", _COMPOSE),
        ("Makefile", "restart:\n\tdocker compose up --detach --build --force-recreate\n"),
        ("config/notes/Dockerfile", _IMAGE),
        ("data/services/notes/manifest.json", _MANIFEST),
    ):
        machine.put(f"/opt/pic/{path}", content.encode())
    machine.put("/opt/pic/config/notes/root.tar", gnu_root())
    machine.sh("chown -R 1000:1000 /opt/pic; chown 1001:1002 /opt/pic/.env")
    machine.sh("make -C /opt/pic restart")
    machine.sh(_FILL)


def back_up(machine: Machine) -> bytes:
    """Make an encrypted archive and give its content."""
    command = "/opt/cell-backup/.venv/bin/cell-backup backup --alone --cell-root /opt/pic --passphrase-file /dev/stdin"
    name = machine.sh(f"{command} <<'END' | tail -n 1\n{PASSPHRASE}\nEND").strip()
    return machine.get(name)


def look(machine: Machine) -> set[str]:
    """Describe the cell's files and its volume: kind, mode, owners, time and content of each."""
    lines: list[str] = []
    # several components share a folder of the cell's files, so that its time is that of the restore
    for (folder, names), time in ((_FILES, "-"), (_VOLUME, "%Ts")):
        lines += machine.sh(_LOOK.format(folder=folder, names=names, time=time)).splitlines()
    return {line for line in lines if not _OTHERWISE.search(line)}
