import json
from pathlib import Path

from app.cell.manifests import Quiesce, Volume, _BackupModel, _ManifestModel, _VolumeModel
from app.cell.services import SERVICE_LABEL, VOLUMES_LABEL, Services, find_services
from tests.docs.pages import blocks, literals, page, tables

PAGE = page("services.md")
EXAMPLES = [json.loads(block) for block in blocks(PAGE, "json")]


def found_in(root: Path) -> Services:
    """Install every example of the page and give what a backup finds."""
    for manifest in EXAMPLES:
        place = root / "data/services" / manifest["id"] / "manifest.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(manifest), encoding="utf-8")
    return find_services(root, {})


def test_our_own_reader_understands_every_example(tmp_path: Path) -> None:
    services = found_in(tmp_path)
    assert services.faults == ()
    assert [service.id for service in services.found] == ["calendar", "photos"]


def test_the_examples_mean_what_the_page_says(tmp_path: Path) -> None:
    calendar, photos = found_in(tmp_path).found
    assert calendar.volumes == (
        Volume(
            "calendar", "collections", "cell-radicale", "/data/collections",
            (".Radicale.cache", ".Radicale.lock"), Quiesce.PAUSE,
        ),
    )  # fmt: skip
    database, uploads = photos.volumes
    assert (database.container, uploads.container) == ("cell-photos-db", "cell-photos")
    assert database.pre[:2] == ("sh", "-c")
    assert database.post[-1].startswith(f"{database.path}/")
    assert database.post[-1] in database.pre[2]


def test_the_examples_have_no_key_that_a_backup_would_pass_over_in_silence() -> None:
    for manifest in EXAMPLES:
        assert set(manifest["backup"]) <= set(_BackupModel.model_fields)
        for volume in manifest["backup"]["volumes"]:
            assert set(volume) <= set(_VolumeModel.model_fields)


def test_the_page_has_every_key_and_no_other() -> None:
    manifest, volume = tables(PAGE)[:2]
    top = {literals(row["key"])[0].partition(".")[0] for row in manifest}
    assert top == set(_ManifestModel.model_fields) | {"capabilities"}
    assert {literals(row["key"])[0] for row in volume} == set(_VolumeModel.model_fields)


def test_the_page_says_which_keys_are_needed() -> None:
    manifest, volume = tables(PAGE)[:2]
    needed = {literals(row["key"])[0] for row in (*manifest, *volume) if row["needed"] == "yes"}
    required = {
        name for model in (_ManifestModel, _VolumeModel) for name, f in model.model_fields.items() if f.is_required()
    }
    assert needed == required | {"backup.volumes"}


def test_the_page_has_every_way_to_hold_still() -> None:
    (row,) = [row for row in tables(PAGE)[1] if row["key"] == "`quiesce`"]
    assert set(literals(row["what it is"])) == {str(way) for way in Quiesce}


def test_the_labels_of_the_page_name_a_service_and_its_volumes(tmp_path: Path) -> None:
    lines = [line.strip() for line in PAGE.splitlines() if line.startswith("    cell-backup.")]
    labels = dict(line.split("=", 1) for line in lines)
    assert set(labels) == {VOLUMES_LABEL, SERVICE_LABEL}
    (service,) = find_services(tmp_path, {"cell-filegator": labels}).found
    assert (service.id, [volume.path for volume in service.volumes]) == ("files", ["/data", "/config"])
