"""The cell's configuration: tolerant of what is unknown, strict about what goes into a file or a command."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.cell.generated.configuration import DomainMode, read_configuration
from app.cell.generated.values import Backend, Domain, Interface, Label, Mark, Name, RedirectPort, Table
from app.errors import Code, PartError
from tests.unit.cell.generated.support import configure, write_json


@pytest.mark.parametrize(
    ("mode", "domain"),
    [
        ("lan", "home.cell"),
        ("pic_ngo", "home.pic.example"),
        ("cloudflare", "home.pic.example"),
        ("duckdns", "home.pic.example"),
        ("http01", "home.pic.example"),
    ],
)
def test_the_mode_decides_which_domain_the_cell_is_known_by(bare: Path, mode: str, domain: str) -> None:
    found = configure(bare, domain_mode=mode)

    assert (found.mode, found.domain, found.warnings) == (DomainMode(mode), domain, ())


def test_a_missing_domain_is_stood_in_for_by_the_other(bare: Path) -> None:
    assert configure(bare, domain=None).domain == "home.pic.example"
    assert configure(bare, domain_name=None, domain_mode="http01").domain == "home.cell"


def test_unknown_keys_do_no_harm(bare: Path) -> None:
    assert configure(bare, something={"new": [1, 2]}).domain == "home.cell"


def test_an_unknown_mode_asks_nobody_outside(bare: Path) -> None:
    found = configure(bare, domain_mode="letsencrypt")

    assert found.mode is DomainMode.LAN
    assert "domain_mode" in found.warnings[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"domain": "home.cell {\n\timport /etc/*\n}"},
        {"domain": "home.cell\n"},
        {"domain": "a;b"},
        {"domain": "10.0.0.1"},
        {"domain": "x" * 64},
        {"domain": 5},
        {"ip_range": "172.20.0.0/16 -j ACCEPT"},
        {"domain": None, "domain_name": None},
        {"connections": {}},
        {"egress_overrides": ["mail"]},
    ],
)
def test_a_configuration_that_cannot_be_trusted_is_refused(bare: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(PartError) as raised:
        configure(bare, **changes)
    assert raised.value.code is Code.FILE_UNREADABLE
    assert "\n" not in raised.value.message


def test_a_configuration_that_is_missing_or_no_json_is_refused(bare: Path) -> None:
    with pytest.raises(PartError, match="No such file"):
        read_configuration(bare)
    write_json(bare, "config/api/cell_config.json", [])
    with pytest.raises(PartError, match=r"cell_config\.json"):
        read_configuration(bare)


TEXTS = [
    (Domain, ["home.cell", "cell", "a-b.c1", "Home.Cell"], ["", "-a", "a-", "a..b", "a b", "a.1", "ä.b", "a.b."]),
    (Label, ["mail", "a1"], ["a.b", "", "-a", "*"]),
    (Name, ["de-1", "conn.x_Y"], ["", "-x", "a b", "a'b", "x" * 64]),
    (Backend, ["cell-mail:8080", "cell-mail:65535"], ["mail:80", "cell-mail", "cell-mail:0", "cell-mail:65536"]),
    (Interface, ["wg-exit0", "tun0.1"], ["", "-x", "x" * 16, "a b", "a;b", "a/b"]),
]


@pytest.mark.parametrize(("kind", "good", "bad"), TEXTS)
def test_a_text_is_taken_or_refused(kind: Any, good: list[str], bad: list[str]) -> None:
    adapter = TypeAdapter[str](kind)

    for value in good:
        assert adapter.validate_python(value) == (value.lower() if kind is Domain else value)
    for value in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


@pytest.mark.parametrize("kind", [kind for kind, _, _ in TEXTS])
@settings(deadline=None)
@given(st.text())
def test_no_text_with_a_meaning_of_its_own_gets_through(kind: Any, text: str) -> None:
    for value in (text, f"cell{text}", f"cell-mail:80{text}", f"a{text}b"):
        try:
            taken = TypeAdapter[str](kind).validate_python(value)
        except ValidationError:
            continue
        assert set(taken) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:")
        assert not taken.startswith("-")


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Mark, {4112: 4112, "0x1010": 4112, "4112": 4112, 0x1FFF: 0x1FFF}, [0xFFF, 0x2000, "0x10 ", "٤١١٢", True, 1e3]),
        (Table, {1000: 1000, "1001": 1001}, [999, 253, 2**32, "1_000", "main", None]),
        (RedirectPort, {9100: 9100, "9199": 9199}, [9099, 9200, "", -9100, [9100]]),
    ],
)
def test_a_number_may_be_written_as_a_text_and_stays_in_its_range(kind: Any, good: dict[Any, int], bad: Any) -> None:
    adapter = TypeAdapter[int](kind)

    for value, number in good.items():
        assert adapter.validate_python(value, strict=True) == number
    for value in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(value, strict=True)
