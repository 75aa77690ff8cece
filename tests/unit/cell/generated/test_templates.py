"""Templates that an operator puts in the place of the shipped ones."""

from pathlib import Path

import pytest

from app.cell.generated.fingerprint import fingerprint
from app.cell.generated.templates import FIRST_LINE, render
from app.errors import Code, InputError
from tests.unit.cell.generated.support import caddyfile, web_of


def template(tmp_path: Path, text: str, name: str = "Caddyfile.j2") -> Path:
    folder = tmp_path / "templates"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_the_first_line_says_where_a_file_comes_from_whatever_the_template_says(bare: Path, tmp_path: Path) -> None:
    folder = template(tmp_path, "{{ domain }} {\n\trespond {{ sites | length }}\n}\n\n\n")

    assert caddyfile(web_of(bare)).startswith(FIRST_LINE)
    assert caddyfile(web_of(bare), template_dir=folder) == FIRST_LINE + "home.cell {\n\trespond 2\n}\n"


def test_a_folder_without_the_template_leaves_the_shipped_one_in_force(bare: Path, tmp_path: Path) -> None:
    folder = template(tmp_path, "x", "Corefile.j2")

    assert caddyfile(web_of(bare), template_dir=folder) == caddyfile(web_of(bare))


def test_a_template_may_include_another(bare: Path, tmp_path: Path) -> None:
    folder = template(tmp_path, "{% include 'own.j2' %}")
    template(tmp_path, "x {\n\trespond {{ domain }}\n}\n", "own.j2")

    assert "respond home.cell" in caddyfile(web_of(bare), template_dir=folder)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n{% if %}\n", 2),
        ("a\nb\n{{ nowhere }}\n", 3),
        ("a\n{{ sites[0].nothing }}\n", 2),
        ("{{ 1 / 0 }}", 1),
        ("\n\n\n{{ domain + 1 }}", 4),
        ("{{ domain.__class__.__mro__ }}", 1),
        ("{{ sites.append(1) }}", 1),
        ("x\n{% include 'nowhere.j2' %}", 2),
        ("x\n{% include '../../../etc/passwd' %}", 2),
    ],
)
def test_a_template_that_does_not_work_is_named_with_its_line(bare: Path, tmp_path: Path, text: str, line: int) -> None:
    folder = template(tmp_path, text)

    with pytest.raises(InputError) as raised:
        caddyfile(web_of(bare), template_dir=folder)
    assert raised.value.code is Code.INVALID_TEMPLATE
    assert f"{folder}/Caddyfile.j2, line {line}: " in raised.value.message


def test_a_template_that_is_no_text_is_refused(bare: Path, tmp_path: Path) -> None:
    folder = template(tmp_path, "")
    (folder / "Caddyfile.j2").write_bytes(b"\xff\xfe")

    with pytest.raises(InputError, match=r"Caddyfile\.j2"):
        caddyfile(web_of(bare), template_dir=folder)


def test_a_template_cannot_reach_out_of_its_sandbox() -> None:
    with pytest.raises(InputError):
        render("Nothing", None, {})


def test_the_fingerprint_follows_what_is_made_use_of_and_nothing_else(cell: Path, tmp_path: Path) -> None:
    before = fingerprint(cell, None)

    (cell / "data/services/mail/accounts.json").write_text("[]")
    (cell / "config/caddy/Caddyfile").write_text("changed by hand\n")
    assert fingerprint(cell, None) == before

    seen = {before}
    for change in (
        (cell / "data/services/mail/manifest.json").unlink,
        (cell / "data/cell_links.json").unlink,
        lambda: (cell / "data/peers.json").write_text("[]"),
        (cell / "data/dns/cell.zone").unlink,
        lambda: (cell / "config/api/cell_config.json").write_text("{}"),
        lambda: template(tmp_path, "own"),
    ):
        change()
        seen.add(fingerprint(cell, tmp_path / "templates"))
    assert len(seen) == 7
