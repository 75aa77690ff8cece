"""The two sides of one cell: every component and every volume differs between them, in content, names and facts."""

import os
import shutil
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from tests.support.trees import AS_ROOT, Tree, describe


class Side(StrEnum):
    """Name the two."""

    A = "a"
    B = "b"

    @property
    def other(self) -> "Side":
        return Side.B if self is Side.A else Side.A


def turn_to_b(root: Path) -> None:
    """Let a sample cell go on: in every component something is changed, lost, new or of another kind."""
    _write(root / "data/vault/vault.key", b"another key", 0o600)
    shutil.rmtree(root / "data/vault/trust")
    _write(root / ".env", b"CELL_DOMAIN=home.cell\nTZ=UTC\n", 0o640)
    _write(root / "data/wireguard/peers/late/key", b"came later", 0o600)
    (root / "docker-compose.yml").chmod(0o600)
    configuration = root / "config/api/cell_config.json"
    configuration.write_text(configuration.read_text().replace('"home"', '"elsewhere"'))
    _write(root / "data/dns/late.zone", b"@ IN A 10.0.0.99\n", 0o644)
    (root / "config/caddy/current").unlink()
    _write(root / "config/caddy/current/inside", b"a folder where a link was", 0o644)
    _write(root / "config/caddy/Caddyfile", b"# edited by hand\n", 0o644)
    _write(root / "data/ddns/token", b"another token", 0o600)
    (root / "data/auth/session.key").unlink()
    _write(root / "data/services/mail/accounts.json", b"[]\n", 0o600)
    shutil.rmtree(root / "data/notes")
    _write(root / "data/notes", b"a file where a folder was", 0o644)
    (root / "data/peers.json").unlink()
    (root / "data/peers.json").symlink_to("wireguard/server.pub")
    if AS_ROOT:
        os.chown(root / "data/dns/cell.zone", 1234, 4321)
    for number in range(200):
        _write(root / f"data/many/{number % 7}/{number}", os.urandom(2000), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def volume_of(folder: Path, *, exact: bool) -> Tree:
    """Describe a volume; a tar that is not `exact` does not set the times of folders."""
    found = describe(folder)
    return (
        found if exact else {path: facts if facts.names else replace(facts, mtime=0) for path, facts in found.items()}
    )
