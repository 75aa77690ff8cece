import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.cell.services import Quiesce, Services, Volume, find_services
from app.errors import Code
from tests.unit.cell.support import closed, write

NO_LABELS: Mapping[str, Mapping[str, str]] = {}


def manifest(service_id: str = "mail", **changes: Any) -> dict[str, Any]:
    return {
        "schema_version": 3,
        "kind": "store",
        "id": service_id,
        "name": "Email",
        "version": "1.2",
        "container_name": f"cell-{service_id}",
        "capabilities": {"has_storage": True, "has_egress": "nobody asks"},
        "backup": {"volumes": [{"path": "/var/mail"}], "later": 1},
    } | changes


def one_volume(**fields: Any) -> dict[str, Any]:
    return manifest(backup={"volumes": [{"path": "/var/mail"} | fields]})


def install(root: Path, content: Any, folder: str = "mail") -> None:
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    write(root / "data/services" / folder / "manifest.json", text)


def only_fault(services: Services) -> str:
    (fault,) = services.faults
    assert fault.error.code == Code.INVALID_MANIFEST
    return f"{fault.service_id} | {fault.error.message}"


def test_a_manifest_with_nothing_but_a_path_gets_the_defaults(bare: Path) -> None:
    install(bare, manifest())

    services = find_services(bare, NO_LABELS)

    (mail,) = services.found
    assert (mail.id, mail.name, mail.version) == ("mail", "Email", "1.2")
    assert mail.volumes == (Volume("mail", "mail", "cell-mail", "/var/mail", (), Quiesce.NONE, (), ()),)
    assert services.faults == ()


def test_a_manifest_can_say_everything(bare: Path) -> None:
    says = {
        "name": "mailboxes", "container": "cell-dovecot", "path": "/var//mail/.", "exclude": ["*.tmp"],
        "quiesce": "pause", "pre": ["doveadm", "sync", ""], "post": ["true"],
    }  # fmt: skip
    install(bare, one_volume(**says))

    (mail,) = find_services(bare, NO_LABELS).found

    assert mail.volumes == (
        Volume("mail", "mailboxes", "cell-dovecot", "/var/mail", ("*.tmp",), Quiesce.PAUSE,
               ("doveadm", "sync", ""), ("true",)),
    )  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        manifest(capabilities={"has_storage": False}),
        manifest(capabilities={}, backup="nobody reads this"),
        {"id": "mail"},
    ],
)
def test_a_service_without_storage_is_none(bare: Path, content: dict[str, Any]) -> None:
    install(bare, content)

    assert find_services(bare, NO_LABELS) == Services((), ())


def test_volumes_are_not_missed_where_nothing_is_said_of_storage(bare: Path) -> None:
    content = one_volume()
    del content["capabilities"]
    install(bare, content)

    (mail,) = find_services(bare, NO_LABELS).found

    assert len(mail.volumes) == 1


def test_a_cell_without_services_has_none(bare: Path) -> None:
    assert find_services(bare, NO_LABELS) == Services((), ())


def test_a_folder_without_a_manifest_is_no_service(bare: Path) -> None:
    write(bare / "data/services/old/accounts.json", "[]")
    write(bare / "data/services/README", "a file")

    assert find_services(bare, NO_LABELS) == Services((), ())


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("{", "document"),
        (b"\xff", "document"),
        ("[" * 100_000, "document"),
        ([], "document"),
        (manifest(id="Mail!"), "id"),
        (manifest(id="other"), "id: is 'other', but its folder is 'mail'"),
        (manifest(capabilities={"has_storage": "yes"}), "capabilities.has_storage"),
        (manifest(container_name="mail"), "container_name"),
        (manifest(container_name=None), "backup.volumes[0]: has no 'container'"),
        (manifest(backup={"volumes": {}}), "backup.volumes"),
        (manifest(backup={"volumes": [{}]}), "backup.volumes[0].path"),
        (manifest(backup={"volumes": [{"path": "/a/x"}, {"path": "/b/x"}]}), "more than one is called x"),
        (one_volume(path="var/mail"), "backup.volumes[0].path"),
        (one_volume(path="/var/../etc"), "backup.volumes[0].path"),
        (one_volume(path="//."), "backup.volumes[0].path"),
        (one_volume(path="/a\0b"), "backup.volumes[0].path"),
        (one_volume(path="/a\nb"), "backup.volumes[0].path"),
        (one_volume(path="/srv/Mail"), "backup.volumes[0]: Value error, the last part of '/srv/Mail'"),
        (one_volume(name="../x"), "backup.volumes[0].name"),
        (one_volume(name="x\n"), "backup.volumes[0].name"),
        (one_volume(name="x" * 64), "backup.volumes[0].name"),
        (one_volume(container="cell-Mail"), "backup.volumes[0].container"),
        (one_volume(container="cell-" + "m" * 32), "backup.volumes[0].container"),
        (one_volume(container="cell-mail\n"), "backup.volumes[0].container"),
        (one_volume(quiesce="freeze"), "backup.volumes[0].quiesce"),
        (one_volume(pre="doveadm sync"), "backup.volumes[0].pre"),
        (one_volume(post=["a\0b"]), "backup.volumes[0].post[0]"),
        (one_volume(exclude=[""]), "backup.volumes[0].exclude[0]"),
    ],
)
def test_a_broken_manifest_is_a_fault_that_names_the_field_and_other_services_go_on(
    bare: Path, content: Any, where: str
) -> None:
    install(bare, content)
    install(bare, manifest("files"), folder="files")

    services = find_services(bare, NO_LABELS)

    assert [service.id for service in services.found] == ["files"]
    message = only_fault(services)
    assert message.startswith("mail | data/services/mail/manifest.json: ")
    assert where in message
    assert services.known == ("files", "mail")


def test_a_manifest_that_cannot_be_opened_is_a_fault(bare: Path) -> None:
    (bare / "data/services/pipe").mkdir(parents=True)
    os.mkfifo(bare / "data/services/pipe/manifest.json")

    assert "not a regular file" in only_fault(find_services(bare, NO_LABELS))


def test_a_service_s_closed_folder_is_a_fault_not_an_absence(bare: Path) -> None:
    install(bare, manifest())

    with closed(bare / "data/services/mail"):
        services = find_services(bare, NO_LABELS)

    assert "Permission denied" in only_fault(services)


def test_a_closed_folder_of_services_is_a_fault_not_an_absence(bare: Path) -> None:
    install(bare, manifest())

    with closed(bare / "data/services"):
        (fault,) = find_services(bare, NO_LABELS).faults

    assert fault.error.code == Code.FILE_UNREADABLE


@pytest.mark.parametrize("backup", [None, {}, {"volumes": []}])
def test_a_service_with_storage_and_no_volume_is_a_fault_because_its_data_would_be_missed(
    bare: Path, backup: dict[str, Any] | None
) -> None:
    install(bare, manifest(backup=backup))

    services = find_services(bare, NO_LABELS)

    assert services.found == ()
    assert "names no volume" in only_fault(services)


def test_labels_help_out_where_a_manifest_names_no_volume(bare: Path) -> None:
    install(bare, manifest(backup=None))

    services = find_services(bare, {"cell-mail": {"cell-backup.volumes": "/var/mail"}})

    (mail,) = services.found
    assert (mail.name, [volume.path for volume in mail.volumes]) == ("Email", ["/var/mail"])
    assert services.faults == ()


def test_labels_alone_make_a_service(bare: Path) -> None:
    labels = {
        "cell-files": {"cell-backup.volumes": " /data, /config/ ,,/data"},
        "cell-web-2": {"cell-backup.volumes": "/srv", "cell-backup.service": "site"},
        "cell-plain": {"other": "label", "cell-backup.service": "unused"},
    }

    files, site = find_services(bare, labels).found

    assert (files.id, files.name, files.version) == ("files", "files", None)
    assert [(volume.name, volume.path) for volume in files.volumes] == [("data", "/data"), ("config", "/config")]
    assert site.volumes == (Volume("site", "srv", "cell-web-2", "/srv"),)


def test_a_label_adds_to_a_manifest_and_never_overrides_it(bare: Path) -> None:
    install(bare, one_volume(quiesce="stop", name="mailboxes"))
    labels = {"cell-mail": {"cell-backup.volumes": "/var/mail/,/etc/dovecot", "cell-backup.service": "mail"}}

    (mail,) = find_services(bare, labels).found

    assert [(volume.name, volume.quiesce) for volume in mail.volumes] == [
        ("mailboxes", Quiesce.STOP),
        ("dovecot", Quiesce.NONE),
    ]


def test_a_label_does_not_save_a_described_volume_again_under_another_service(bare: Path) -> None:
    install(bare, manifest())
    labels = {"cell-mail": {"cell-backup.volumes": "/var/mail", "cell-backup.service": "again"}}

    assert [service.id for service in find_services(bare, labels).found] == ["mail"]


@pytest.mark.parametrize(
    ("container", "labels", "where"),
    [
        ("cell-x", {"cell-backup.volumes": "data"}, "x | Labels of cell-x: path"),
        ("cell-x", {"cell-backup.volumes": "/data", "cell-backup.service": "../x"}, "../x | Labels of cell-x: service"),
        ("cell-X_1", {"cell-backup.volumes": "/data", "cell-backup.service": "x"}, "x | Labels of cell-X_1: container"),
        ("cell-x", {"cell-backup.volumes": "/a/mail", "cell-backup.service": "mail"}, "another volume called 'mail'"),
    ],
)
def test_a_broken_label_is_a_fault_and_what_is_described_well_goes_on(
    bare: Path, container: str, labels: dict[str, str], where: str
) -> None:
    install(bare, manifest())

    services = find_services(bare, {container: labels})

    assert [volume.path for service in services.found for volume in service.volumes] == ["/var/mail"]
    assert where in only_fault(services)
    assert "label" in services.faults[0].error.hint
