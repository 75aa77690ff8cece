"""A realistic sample cell for demonstrations and tests: real keys, nothing of it secret to anyone."""

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from app.cell import sample_secrets as make
from app.cell.sample_secrets import WireGuardKeys
from app.cell.sample_services import DOMAIN, manifests

PRIVATE = 0o600
PUBLIC = 0o644
_PEERS = ("ada", "grace", "phone")
_EXITS = ("de-1", "nl-2")


@dataclass(frozen=True, slots=True)
class _Facts:
    """Hold what several files of one sample cell must agree on."""

    server: WireGuardKeys = field(default_factory=make.wireguard_keys)
    peers: dict[str, WireGuardKeys] = field(default_factory=lambda: {name: make.wireguard_keys() for name in _PEERS})
    exits: dict[str, str] = field(default_factory=lambda: {name: f"conn-{secrets.token_hex(4)}" for name in _EXITS})


def make_sample_cell(root: Path, *, container_prefix: str = "cell-") -> None:
    """Fill a new folder with a cell: about fifty files, two services with manifests, and things to leave out.

    The services' containers are the prefix and `mail` or `radicale`. Their data is not in it: `make_sample_volumes`
    makes that.
    """
    root.mkdir(parents=True, exist_ok=True)
    facts = _Facts()
    services = manifests(container_prefix)
    _top_files(root)
    _configuration(root, facts)
    _vault(root)
    _wireguard(root, facts)
    _caddy(root, services)
    _dns(root)
    _access(root, facts)
    _services(root, services)
    _left_out(root)
    _odd_things(root)


def _write(path: Path, content: str | bytes, mode: int = PUBLIC) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)


def _write_json(path: Path, content: Any, mode: int = PUBLIC) -> None:
    _write(path, json.dumps(content, indent=2) + "\n", mode)


def _top_files(root: Path) -> None:
    _write(root / ".env", f"CELL_DOMAIN={DOMAIN}\nTZ=Europe/Berlin\nADMIN_PASSWORD={make.password()}\n", PRIVATE)
    _write(root / "Makefile", "restart:\n\tdocker compose up -d --force-recreate\n")
    containers = ("caddy", "dns", "ntp", "wireguard", "api", "webui")
    services = "".join(f"  {name}:\n    container_name: cell-{name}\n    image: pic/{name}:2\n" for name in containers)
    networks = "networks:\n  default:\n    name: cell-network\n"
    _write(root / "docker-compose.yml", f"services:\n{services}{networks}")


def _configuration(root: Path, facts: _Facts) -> None:
    config = {
        "cell_name": "home",
        "domain": DOMAIN,
        "domain_mode": "lan",
        "domain_name": DOMAIN,
        "ip_range": "172.20.0.0/16",
        "image_verification": True,
        "logging": {"level": "INFO"},
        "egress_overrides": {"mail": facts.exits[_EXITS[0]]},
        "connections": _connections(facts),
    }
    _write_json(root / "config/api/cell_config.json", config)
    _write(root / "config/ntp/chrony.conf", "pool pool.ntp.org iburst\nallow 172.20.0.0/16\n")


def _connections(facts: _Facts) -> list[dict[str, Any]]:
    return [
        {
            "id": connection,
            "name": name,
            "type": "wireguard",
            "enabled": True,
            "status": "up",
            "config": {"endpoint": f"{name}.example.net:51820"},
            "secret_ref": f"connection/{connection}",
            "mark": 0x1000 + 0x10 * index,
            "table": 1000 + index,
            "iface": f"wg-exit{index}",
            "redirect_port": 9100 + index,
        }
        for index, (name, connection) in enumerate(facts.exits.items())
    ]


def _vault(root: Path) -> None:
    vault = root / "data/vault"
    authority = make.authority("Home cell authority")
    key, certificate = make.leaf(authority, DOMAIN)
    _write(vault / "ca/ca.key", authority.key_pem(), PRIVATE)
    _write(vault / "ca/ca.crt", authority.certificate_pem())
    _write(vault / f"certs/{DOMAIN}.key", key, PRIVATE)
    _write(vault / f"certs/{DOMAIN}.crt", certificate)
    _write(vault / "trust/friend.crt", make.authority("Friend's cell authority").certificate_pem())
    fernet_key = Fernet.generate_key()
    _write(vault / "vault.key", fernet_key, PRIVATE)
    kept = {f"service/{name}": make.password() for name in manifests()}
    _write(vault / "secrets.enc", Fernet(fernet_key).encrypt(json.dumps(kept).encode()), PRIVATE)
    vault.chmod(0o700)


def _wireguard(root: Path, facts: _Facts) -> None:
    _write(root / "data/wireguard/server.key", facts.server.private + "\n", PRIVATE)
    _write(root / "data/wireguard/server.pub", facts.server.public + "\n")
    lines = ["[Interface]", "Address = 10.0.0.1/24", "ListenPort = 51820", f"PrivateKey = {facts.server.private}"]
    peers = []
    for number, (name, keys) in enumerate(facts.peers.items(), start=2):
        address = f"10.0.0.{number}"
        lines += ["", "[Peer]", f"# {name}", f"PublicKey = {keys.public}", f"AllowedIPs = {address}/32"]
        peers.append({"name": name, "ip": address, "public_key": keys.public, "private_key": keys.private})
    _write(root / "config/wireguard/wg0.conf", "\n".join(lines) + "\n", PRIVATE)
    peers[0] |= {"exit_via": facts.exits[_EXITS[0]]}
    peers[1] |= {"exit_via": "default", "route_via": "friend"}
    _write_json(root / "data/peers.json", peers, PRIVATE)
    link = {"name": "friend", "endpoint": "friend.example.net:51820", "public_key": make.wireguard_keys().public}
    link |= {"domain": "friend.cell", "dns_ip": "10.0.1.1"}
    _write_json(root / "data/cell_links.json", [link], PRIVATE)


def _caddy(root: Path, services: dict[str, dict[str, Any]]) -> None:
    backends = {"api": "cell-api:3000"} | {item["subdomain"]: item["backend"] for item in services.values()}
    blocks = [f"{name}.{DOMAIN} {{\n\treverse_proxy {backend}\n}}\n" for name, backend in backends.items()]
    _write(root / "config/caddy/Caddyfile", "\n".join(blocks))
    acme = root / "data/caddy/caddy"
    host = "acme-v02.api.letsencrypt.org-directory"
    account = make.authority("account")
    _write(acme / f"acme/{host}/users/default/default.key", account.key_pem(), PRIVATE)
    _write_json(acme / f"acme/{host}/users/default/default.json", {"status": "valid"}, PRIVATE)
    public = "home.pic.example"
    key, certificate = make.leaf(make.authority("Public authority"), public)
    _write(acme / f"certificates/{host}/{public}/{public}.key", key, PRIVATE)
    _write(acme / f"certificates/{host}/{public}/{public}.crt", certificate, PRIVATE)
    _write_json(acme / f"certificates/{host}/{public}/{public}.json", {"sans": [public]}, PRIVATE)


def _dns(root: Path) -> None:
    _write(root / "config/dns/Corefile", f"{DOMAIN} {{\n\tfile /data/cell.zone\n}}\n. {{\n\tforward . 9.9.9.9\n}}\n")
    names = ["@", "api", *(manifest["subdomain"] for manifest in manifests().values())]
    records = "".join(f"{name}\tIN A 10.0.0.1\n" for name in names)
    start = f"$ORIGIN {DOMAIN}.\n$TTL 300\n@\tIN SOA ns admin 1 3600 600 86400 300\n@\tIN NS ns\nns\tIN A 10.0.0.1\n"
    _write(root / "data/dns/cell.zone", start + records)


def _access(root: Path, facts: _Facts) -> None:
    for name, connection in facts.exits.items():
        keys = make.wireguard_keys()
        text = f"[Interface]\nPrivateKey = {keys.private}\n\n[Peer]\nEndpoint = {name}.example.net:51820\n"
        _write(root / f"data/connectivity/{connection}.conf", text, PRIVATE)
    _write_json(root / "data/connectivity_state.json", {"active": list(facts.exits.values())})
    users = [
        {"username": name, "role": role, "password_hash": make.password_hash(make.password())}
        for name, role in (("admin", "admin"), ("ada", "peer"))
    ]
    _write_json(root / "data/auth_users.json", users, PRIVATE)
    _write(root / "data/auth/session.key", secrets.token_hex(32), PRIVATE)
    _write(root / "data/ddns/token", make.password() + "\n", PRIVATE)


def _services(root: Path, services: dict[str, dict[str, Any]]) -> None:
    for service_id, manifest in services.items():
        folder = root / "data/services" / service_id
        _write_json(folder / "manifest.json", manifest)
        _write(folder / "settings.json", "{}\n")
        accounts = [{"peer": name, "username": name, "password": make.password()} for name in _PEERS[:2]]
        _write_json(folder / "accounts.json", accounts, PRIVATE)


def _left_out(root: Path) -> None:
    _write(root / "data/logs/api.txt", "GET /health 200\n" * 1000)
    _write(root / "data/caddy/access.log", "GET / 200\n" * 1000)
    _write_json(root / "data/api/config_backups/backup_20260101/cell_config.json", {"cell_name": "old"})
    _write(root / "backups/cell-backup-20260101-020000.tar.gz", secrets.token_bytes(4096), PRIVATE)
    _write(root / "api/app.py", 'print("the cell\'s own program, not its data")\n')


def _odd_things(root: Path) -> None:
    (root / "data/services/mail/outbox").mkdir()
    (root / "config/caddy/current").symlink_to("Caddyfile")
    os.link(root / f"data/vault/certs/{DOMAIN}.crt", root / "data/caddy/internal.crt")
    _write(root / "data/notes/Grüße an alle.txt", "A name with umlauts and spaces.\n")
