"""The Corefile: the cell's zones, forwards for linked cells, whom to ask for the rest, and never `reload`."""

from pathlib import Path
from typing import Any

import pytest

from app.cell.generated.blocks import parse_blocks
from app.cell.generated.checks import check_corefile
from app.cell.generated.names import DEFAULT_UPSTREAMS, upstreams
from app.errors import Code, PartError
from tests.unit.cell.generated.support import configure, corefile, names_of, write_json

ZONE = "$ORIGIN {name}.\n$TTL 300\n@ IN SOA ns admin 1 3600 600 86400 300\n@ IN NS ns\n"


def zone_file(root: Path, name: str, text: str) -> None:
    (root / "data/dns").mkdir(exist_ok=True)
    (root / "data/dns" / name).write_text(text)


def blocks(text: str) -> dict[str, list[str]]:
    return {block.words[0]: [" ".join(line.words) for line in block.lines] for block in parse_blocks(text)}


def test_the_sample_cell_has_its_zone_its_link_and_no_warning(cell: Path) -> None:
    names = names_of(cell)

    assert names.warnings == ()
    assert blocks(corefile(cell, names)) == {
        "home.cell": ["file /data/cell.zone", "errors"],
        "friend.cell": ["forward . 10.0.1.1", "cache 30", "errors"],
        ".": ["forward . 9.9.9.9", "cache 30", "errors"],
    }


def test_what_is_generated_passes_the_check_and_has_no_reload(cell: Path) -> None:
    text = corefile(cell, names_of(cell))

    check_corefile(text)
    assert "reload" not in text


@pytest.mark.parametrize(
    ("name", "text", "zone"),
    [
        ("cell.zone", ZONE.format(name="home.cell"), "home.cell"),
        ("home.cell.zone", "@ IN SOA ns admin 1 1 1 1 1\n", "home.cell"),
        ("home.cell.db", "@ IN SOA ns admin 1 1 1 1 1\n", "home.cell"),
        ("x.zone", "home.cell. 300 IN SOA ns. admin. 1 1 1 1 1\n", "home.cell"),
    ],
)
def test_a_zone_file_says_itself_which_zone_it_is(bare: Path, name: str, text: str, zone: str) -> None:
    zone_file(bare, name, text)

    found = names_of(bare)
    assert [(item.name, item.file) for item in found.zones] == [(zone, name)]
    assert found.warnings == ()


def test_a_leftover_zone_file_does_not_double_records(bare: Path) -> None:
    zone_file(bare, "cell.zone", ZONE.format(name="home.cell"))
    zone_file(bare, "home.cell.zone", ZONE.format(name="home.cell"))

    found = names_of(bare)
    assert [item.file for item in found.zones] == ["home.cell.zone"]
    assert "data/dns/cell.zone is left out" in found.warnings[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a b.zone", ZONE.format(name="b.cell")),
        ("a\n}.zone", ZONE.format(name="b.cell")),
        ("-x.zone", ZONE.format(name="b.cell")),
        ("b.zone", ZONE.format(name="b{cell")),
        ("b.zone", "no zone at all\n"),
        ("ä.zone", "@ IN SOA ns admin 1 1 1 1 1\n"),
    ],
)
def test_a_zone_file_that_cannot_be_named_or_used_is_left_out_with_a_warning(bare: Path, name: str, text: str) -> None:
    zone_file(bare, "home.cell.zone", ZONE.format(name="home.cell"))
    zone_file(bare, name, text)

    found = names_of(bare)
    assert [item.name for item in found.zones] == ["home.cell"]
    assert len(found.warnings) == 1
    assert "\n" not in found.warnings[0]


def test_other_files_beside_the_zones_are_none_of_its_business(bare: Path) -> None:
    zone_file(bare, "home.cell.zone", ZONE.format(name="home.cell"))
    zone_file(bare, "hosts", "10.0.0.1 x\n")

    assert names_of(bare).warnings == ()


def test_a_cell_without_a_zone_for_its_domain_is_told(bare: Path) -> None:
    assert "no zone file for the cell's domain 'home.cell'" in names_of(bare).warnings[0]


@pytest.mark.parametrize("shape", [lambda links: links, lambda links: {"links": links}], ids=["list", "object"])
def test_links_are_a_list_or_an_object_with_one(bare: Path, shape: Any) -> None:
    links = [
        {"name": "friend", "domain": "friend.cell", "dns_ip": "10.0.1.1"},
        {"name": "six", "domain": "Six.Cell", "address": "fd00::1"},
    ]
    write_json(bare, "data/cell_links.json", shape(links))

    found = names_of(bare)
    assert [(item.domain, item.address) for item in found.forwards] == [
        ("friend.cell", "10.0.1.1"),
        ("six.cell", "fd00::1"),
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        {"domain": "x {\n}\n. {\n"},
        {"domain": "."},
        {"dns_ip": "10.0.1.1\n}"},
        {"dns_ip": "10.0.1.1 {"},
        {"dns_ip": "dns.evil.example"},
        {"dns_ip": "fe80::1%eth0"},
        {"name": "x\n}"},
        {"name": None},
    ],
)
def test_a_hostile_link_gets_no_word_into_the_file(bare: Path, hostile: dict[str, Any]) -> None:
    zone_file(bare, "home.cell.zone", ZONE.format(name="home.cell"))
    write_json(bare, "data/cell_links.json", [{"name": "x", "domain": "x.cell", "dns_ip": "10.0.1.1"} | hostile])

    found = names_of(bare)
    assert found.forwards == ()
    assert len(found.warnings) == 1


def test_a_link_cannot_take_a_domain_that_is_taken(bare: Path) -> None:
    zone_file(bare, "home.cell.zone", ZONE.format(name="home.cell"))
    links = [{"name": f"l{n}", "domain": d, "dns_ip": "10.0.1.1"} for n, d in enumerate(["home.cell", "a.b", "a.b"])]
    write_json(bare, "data/cell_links.json", links)

    found = names_of(bare)
    assert [item.link for item in found.forwards] == ["l1"]
    assert len(found.warnings) == 2
    check_corefile(corefile(bare, found))


def test_links_that_cannot_be_read_leave_the_corefile_as_it_is(bare: Path) -> None:
    configure(bare)
    (bare / "data/cell_links.json").write_text("{}")

    with pytest.raises(PartError) as raised:
        names_of(bare)
    assert raised.value.code is Code.FILE_UNREADABLE


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (". {\n\tforward . 1.1.1.1 fd00::1\n}\n", ("1.1.1.1", "fd00::1")),
        (".:53 {\n\terrors\n\tforward . 10.9.8.7 {\n\t\tmax_fails 1\n\t}\n}\n", ("10.9.8.7",)),
        ("a.cell {\n\tforward . 1.1.1.1\n}\n", DEFAULT_UPSTREAMS),
        (". {\n\tforward . dns.example\n}\n", DEFAULT_UPSTREAMS),
        (". {\n", DEFAULT_UPSTREAMS),
    ],
)
def test_the_operator_s_choice_whom_to_ask_is_kept(bare: Path, text: str, asked: tuple[str, ...]) -> None:
    (bare / "config/dns").mkdir()
    (bare / "config/dns/Corefile").write_text(text)

    assert upstreams(bare) == asked


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (". {\n\treload\n}\n", "line 2: 'reload' makes"),
        (". {\n\tfrobnicate\n}\n", "line 2: 'frobnicate' is no plugin"),
        (". {\n\tforward .\n}\n", "line 2: 'forward' needs"),
        ("a.cell {\n\tfile\n}\n", "line 2: 'file' needs"),
        ("a.cell\n", "line 1: a zone without a block"),
        ("{\n\terrors\n}\n", "line 1: a zone without a block"),
        ("a.cell {\n}\n", "line 1: a zone without a plugin"),
        ("a.cell {\n\terrors\n", "line 1: a block that is not closed"),
        ("a;b {\n\terrors\n}\n", "line 1: 'a;b' is no zone"),
        ("a.cell {\n\terrors\n}\na.cell. {\n\terrors\n}\n", "line 4: 'a.cell' stands in line 1"),
        ("", "it has no zone"),
    ],
)
def test_a_corefile_that_does_not_hold_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(PartError) as raised:
        check_corefile(text)
    assert raised.value.code is Code.GENERATED_INVALID
    assert why in raised.value.message
