"""A cell's configuration in few words, for tests of what is generated from it."""

import json
from pathlib import Path
from typing import Any

from app.cell.generated.configuration import Configuration, read_configuration
from app.cell.generated.names import Names, read_names, upstreams
from app.cell.generated.routes import Routing, read_routing
from app.cell.generated.templates import render
from app.cell.generated.web import Web, read_web


def write_json(root: Path, relative: str, content: Any) -> None:
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def configure(root: Path, **changes: Any) -> Configuration:
    """Write a configuration with these changes to what works, and read it."""
    config = {"cell_name": "home", "domain": "home.cell", "domain_mode": "lan", "domain_name": "home.pic.example"}
    write_json(root, "config/api/cell_config.json", config | changes)
    return read_configuration(root)


def connection(number: int, **changes: Any) -> dict[str, Any]:
    """Describe a connection that works, with these changes."""
    return {
        "id": f"conn-{number}",
        "name": f"exit {number}",
        "type": "wireguard",
        "enabled": True,
        "mark": 0x1000 + 0x10 * number,
        "table": 1000 + number,
        "iface": f"wg-exit{number}",
        "redirect_port": 9100 + number,
    } | changes


def install(root: Path, service: str, **changes: Any) -> None:
    """Write the manifest of a service that has a subdomain, with these changes."""
    manifest = {
        "id": service,
        "container_name": f"cell-{service}",
        "capabilities": {"has_subdomain": True},
        "subdomain": service,
        "backend": f"cell-{service}:8080",
    }
    write_json(root, f"data/services/{service}/manifest.json", manifest | changes)


def web_of(root: Path, **changes: Any) -> Web:
    return read_web(root, configure(root, **changes))


def names_of(root: Path, **changes: Any) -> Names:
    return read_names(root, configure(root, **changes))


def routing_of(root: Path, **changes: Any) -> Routing:
    return read_routing(root, configure(root, **changes))


def caddyfile(web: Web, *, tls: str = "internal", template_dir: Path | None = None, **given: Any) -> str:
    context = {"domain": web.domain, "mode": web.mode, "tls": tls, "sites": web.sites, "certificate": None, "key": None}
    return render("Caddyfile", template_dir, context | given)


def corefile(root: Path, names: Names, template_dir: Path | None = None) -> str:
    given = {"zones": names.zones, "forwards": names.forwards, "upstreams": upstreams(root)}
    return render("Corefile", template_dir, given)
