"""The two services of a sample cell, and what lies in their volumes."""

import secrets
from email.message import EmailMessage
from pathlib import Path
from typing import Any

DOMAIN = "home.cell"
_MAIL_BYTES = 16 * 1024
_PHOTO_BYTES = 512 * 1024
_EVENTS = 40


def manifests(container_prefix: str = "cell-") -> dict[str, dict[str, Any]]:
    """Describe the services, by id, as their manifests do; their containers' names begin with the prefix."""
    return {
        "mail": _manifest(
            "mail",
            "Email",
            f"{container_prefix}mail",
            {"name": "mailboxes", "path": "/var/mail", "exclude": ["*.tmp"]},
            backend=f"{container_prefix}mail:8080",
        ),
        "calendar": _manifest(
            "calendar",
            "Calendar and contacts",
            f"{container_prefix}radicale",
            {"name": "collections", "container": f"{container_prefix}radicale", "path": "/data", "quiesce": "pause"},
            backend=f"{container_prefix}radicale:5232",
        ),
    }


def _manifest(service_id: str, name: str, container: str, volume: dict[str, Any], *, backend: str) -> dict[str, Any]:
    return {
        "schema_version": 3,
        "kind": "store",
        "id": service_id,
        "name": name,
        "description": f"{name} for the whole household",
        "version": "1.4.2",
        "author": "PIC",
        "image": f"pic/{service_id}:1.4.2",
        "container_name": container,
        "capabilities": {
            "has_subdomain": True,
            "has_accounts": True,
            "has_admin_config": False,
            "has_storage": True,
            "has_egress": service_id == "mail",
            "has_api_hooks": False,
        },
        "subdomain": service_id,
        "backend": backend,
        "backup": {"volumes": [volume]},
    }


def make_sample_volumes(folder: Path, *, mail_bytes: int) -> dict[str, Path]:
    """Make what the services keep in their volumes, about `mail_bytes` of mail; give the folders by service id."""
    volumes = {"mail": folder / "mailboxes", "calendar": folder / "collections"}
    _fill_mailbox(volumes["mail"] / DOMAIN / "ada" / "Maildir", mail_bytes)
    _fill_collection(volumes["calendar"] / "collection-root" / "ada" / "family")
    return volumes


def _fill_mailbox(maildir: Path, total: int) -> None:
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    number = 0
    while total > 0:
        number += 1
        content = _mail(number, min(total, _PHOTO_BYTES if number % 20 == 0 else _MAIL_BYTES))
        (maildir / "cur" / f"{1_760_000_000 + number}.M{number}P1.cell-mail,S={len(content)}:2,S").write_bytes(content)
        total -= len(content)


def _mail(number: int, size: int) -> bytes:
    message = EmailMessage()
    message["From"] = f"Grace <grace@{DOMAIN}>"
    message["To"] = f"Ada <ada@{DOMAIN}>"
    message["Subject"] = f"Letter {number}"
    message.set_content(f"Dear Ada,\n\nthis is letter {number}.\n")
    message.add_attachment(secrets.token_bytes(size * 3 // 4), "image", "jpeg", filename=f"{number}.jpg")
    return message.as_bytes()


def _fill_collection(collection: Path) -> None:
    collection.mkdir(parents=True)
    (collection / ".Radicale.props").write_text('{"tag": "VCALENDAR", "D:displayname": "Family"}\n')
    for number in range(_EVENTS):
        event = (
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//sample//EN\r\nBEGIN:VEVENT\r\n"
            f"UID:event-{number}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:2026{number % 12 + 1:02}15T120000Z\r\n"
            f"SUMMARY:Lunch {number}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        )
        (collection / f"event-{number}.ics").write_text(event, newline="")
