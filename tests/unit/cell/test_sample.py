import base64
import json
import re
import stat
from pathlib import Path

from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from app.cell.sample import make_sample_cell
from app.cell.sample_services import make_sample_volumes
from app.cell.services import find_services


def test_the_wireguard_keys_are_a_pair_and_the_configuration_has_the_private_one(cell: Path) -> None:
    private = (cell / "data/wireguard/server.key").read_text().strip()
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private))

    public = base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    assert (cell / "data/wireguard/server.pub").read_text().strip() == public
    assert f"PrivateKey = {private}\n" in (cell / "config/wireguard/wg0.conf").read_text()


def test_the_host_s_certificate_is_signed_by_the_cell_s_authority(cell: Path) -> None:
    vault = cell / "data/vault"
    authority = x509.load_pem_x509_certificate((vault / "ca/ca.crt").read_bytes())
    leaf = x509.load_pem_x509_certificate((vault / "certs/home.cell.crt").read_bytes())
    key = load_pem_private_key((vault / "certs/home.cell.key").read_bytes(), password=None)

    leaf.verify_directly_issued_by(authority)
    assert key.public_key() == leaf.public_key()


def test_the_vault_opens_with_its_key(cell: Path) -> None:
    vault = Fernet((cell / "data/vault/vault.key").read_bytes())

    assert set(json.loads(vault.decrypt((cell / "data/vault/secrets.enc").read_bytes()))) == {
        "service/calendar",
        "service/mail",
    }


def test_connections_have_their_marks_tables_and_ports(cell: Path) -> None:
    config = json.loads((cell / "config/api/cell_config.json").read_text())
    ids = {connection["id"] for connection in config["connections"]}

    facts = [(item["mark"], item["table"], item["redirect_port"]) for item in config["connections"]]
    assert facts == [(0x1000, 1000, 9100), (0x1010, 1001, 9101)]
    assert set(config["egress_overrides"].values()) <= ids
    assert {peer["exit_via"] for peer in json.loads((cell / "data/peers.json").read_text()) if "exit_via" in peer} <= {
        *ids,
        "default",
    }


def test_both_services_are_found_by_their_manifests(cell: Path) -> None:
    services = find_services(cell, {})

    assert not services.faults
    assert [(v.container, v.name, v.path) for service in services.found for v in service.volumes] == [
        ("cell-radicale", "collections", "/data"),
        ("cell-mail", "mailboxes", "/var/mail"),
    ]


def test_secrets_are_new_in_every_cell_and_for_their_owner_only(cell: Path, tmp_path: Path) -> None:
    make_sample_cell(tmp_path / "other")
    private = [path for path in cell.rglob("*") if path.is_file() and not path.is_symlink() and secret(path)]

    assert len(private) > 15
    for path in private:
        assert not path.name.endswith((".key", ".enc")) or path.read_bytes() != twin(path, cell, tmp_path).read_bytes()


def secret(path: Path) -> bool:
    return stat.S_IMODE(path.stat().st_mode) == 0o600


def twin(path: Path, cell: Path, tmp_path: Path) -> Path:
    return tmp_path / "other" / path.relative_to(cell)


def test_the_sample_has_a_link_a_hard_link_and_an_empty_directory(cell: Path) -> None:
    assert (cell / "config/caddy/current").readlink() == Path("Caddyfile")
    assert (cell / "data/caddy/internal.crt").samefile(cell / "data/vault/certs/home.cell.crt")
    assert not list((cell / "data/services/mail/outbox").iterdir())


def test_the_corefile_serves_the_zone_and_does_not_reload(cell: Path) -> None:
    corefile = (cell / "config/dns/Corefile").read_text()

    assert re.search(r"file /data/cell\.zone", corefile)
    assert "reload" not in corefile


def test_volumes_have_about_the_bytes_that_were_asked_for(tmp_path: Path) -> None:
    volumes = make_sample_volumes(tmp_path, mail_bytes=1_000_000)

    size = sum(path.stat().st_size for path in volumes["mail"].rglob("*") if path.is_file())
    assert 950_000 < size < 1_100_000
    assert len(list(volumes["calendar"].rglob("*.ics"))) == 40
