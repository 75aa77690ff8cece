"""The Caddyfile: the cell's own sites, one route a service with a subdomain, certificates by the domain's mode."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.cell.generated.checks import check_caddyfile
from app.cell.generated.web import told_folder
from app.errors import Code, PartError
from tests.unit.cell.generated.support import caddyfile, install, web_of


def routes(text: str, tmp_path: Path) -> dict[str, str]:
    """Ask the real Caddy which backend each host name leads to."""
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("there is no caddy command")
    file = tmp_path / "Caddyfile.adapted"
    file.write_text(text)
    command = [caddy, "adapt", "--config", str(file), "--adapter", "caddyfile"]
    adapted = json.loads(subprocess.run(command, capture_output=True, check=True, env={"HOME": str(tmp_path)}).stdout)
    found: dict[str, str] = {}
    for server in adapted["apps"]["http"]["servers"].values():
        for route in server["routes"]:
            dial = route["handle"][0]["routes"][0]["handle"][0]["upstreams"][0]["dial"]
            found |= dict.fromkeys(route["match"][0]["host"], dial)
    return found


def test_the_sample_cell_has_a_route_for_each_service_and_no_warning(cell: Path, tmp_path: Path) -> None:
    web = web_of(cell)

    assert web.warnings == ()
    assert web.has_certificate
    assert routes(caddyfile(web), tmp_path) == {
        "api.home.cell": "cell-api:3000",
        "webui.home.cell": "cell-webui:8081",
        "admin.home.cell": "cell-webui:8081",
        "mail.home.cell": "cell-mail:8080",
        "calendar.home.cell": "cell-radicale:5232",
    }


@pytest.mark.parametrize(
    "backends", [{"webmail": "cell-rainloop:8888"}, ["cell-rainloop:8888"]], ids=["by name", "in order"]
)
def test_further_subdomains_have_their_own_backends(bare: Path, tmp_path: Path, backends: Any) -> None:
    install(bare, "mail", extra_subdomains=["webmail", "autoconfig"], extra_backends=backends)

    found = routes(caddyfile(web_of(bare)), tmp_path)
    assert found["mail.home.cell"] == found["autoconfig.home.cell"] == "cell-mail:8080"
    assert found["webmail.home.cell"] == "cell-rainloop:8888"


def test_a_service_without_a_subdomain_has_no_route(bare: Path) -> None:
    install(bare, "ntp", capabilities={"has_subdomain": False})
    install(bare, "dlna", subdomain=None)

    web = web_of(bare)
    assert [site.name for site in web.sites] == ["api", "webui"]
    assert web.warnings == ()


@pytest.mark.parametrize("taken", ["api", "webui", "admin", "API"])
def test_a_reserved_subdomain_is_refused_for_that_service_only(bare: Path, taken: str) -> None:
    install(bare, "evil", subdomain=taken)
    install(bare, "mail", extra_subdomains=["imap"])

    web = web_of(bare)
    assert [site.name for site in web.sites] == ["api", "webui", "mail"]
    assert len(web.warnings) == 1
    assert "'evil'" in web.warnings[0]
    assert "reserved" in web.warnings[0]


def test_a_subdomain_that_another_service_has_is_refused(bare: Path) -> None:
    install(bare, "mail")
    install(bare, "post", subdomain="mail")

    web = web_of(bare)
    assert [site.name for site in web.sites] == ["api", "webui", "mail"]
    assert "the service 'mail' has it" in web.warnings[0]


@pytest.mark.parametrize(
    "hostile",
    [
        {"subdomain": "x {\n\trespond 1\n}\ny"},
        {"subdomain": "x, y"},
        {"subdomain": "*"},
        {"backend": "cell-mail:80\n}\nevil {"},
        {"backend": "cell-mail:80 {"},
        {"backend": "host.docker.internal:80"},
        {"backend": "169.254.169.254:80"},
        {"backend": None},
        {"extra_subdomains": ["a;b"]},
        {"extra_subdomains": ["a"], "extra_backends": {"b}": "cell-a:1"}},
        {"subdomain": 7},
    ],
)
def test_a_hostile_manifest_gets_no_word_into_the_file(bare: Path, hostile: dict[str, Any]) -> None:
    install(bare, "mail", **hostile)
    without = web_of(bare / "nowhere").sites

    web = web_of(bare)
    assert web.sites == without
    assert len(web.warnings) == 1
    assert "\n" not in web.warnings[0]


def test_a_service_s_folder_cannot_write_into_a_comment(bare: Path) -> None:
    install(bare, "mail\nevil.cell {\n}")

    check_caddyfile(caddyfile(web_of(bare)))
    assert "\nevil" not in caddyfile(web_of(bare))


def test_a_broken_manifest_is_a_warning_and_the_rest_goes_on(bare: Path) -> None:
    install(bare, "mail")
    install(bare, "broken")
    (bare / "data/services/broken/manifest.json").write_text("{")

    web = web_of(bare)
    assert [site.name for site in web.sites] == ["api", "webui", "mail"]
    assert "data/services/broken/manifest.json" in web.warnings[0]


def test_only_a_cell_at_home_uses_the_vault_s_certificate(cell: Path) -> None:
    assert web_of(cell).has_certificate
    assert not web_of(cell, domain="other.cell").has_certificate
    assert not web_of(cell, domain_mode="http01", domain_name="home.cell").has_certificate


def test_certificates_come_by_the_way_that_was_chosen(bare: Path) -> None:
    web = web_of(bare)
    files = caddyfile(web, tls="files", certificate="/vault/certs/home.cell.crt", key="/vault/certs/home.cell.key")

    assert caddyfile(web).count("tls internal") == len(web.sites)
    assert files.count("tls /vault/certs/home.cell.crt /vault/certs/home.cell.key\n") == len(web.sites)
    assert "tls" not in caddyfile(web, tls="automatic")


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ("\ttls /vault/certs/home.cell.crt /vault/certs/home.cell.key", "/vault/certs"),
        ("tls /certs/home.cell.crt /elsewhere/home.cell.key", None),
        ("tls /a b/home.cell.crt /a b/home.cell.key", None),
        ("tls /a{/home.cell.crt /a{/home.cell.key", None),
        ("tls internal", None),
    ],
)
def test_the_present_caddyfile_tells_where_caddy_sees_the_certificate(
    bare: Path, line: str, folder: str | None
) -> None:
    (bare / "config/caddy").mkdir()
    (bare / "config/caddy/Caddyfile").write_text(f"api.home.cell {{\n{line}\n}}\n")

    assert told_folder(bare, "home.cell") == folder


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a.test {\n\trespond ok\n", "line 1: a block that is not closed"),
        ("a.test {\n\trespond ok\n}\n}\n", "line 4: a closing brace"),
        ('a.test {\n\trespond "ok\n}\n', "line 2: a quote"),
        ("{\n}\n{\n\trespond ok\n}\n", "line 3: a site without an address"),
        ("a.test {\n}\n", "line 1: a site that does nothing"),
        ("a.test {\n\trespond 1\n}\na.test {\n\trespond 2\n}\n", "line 4: 'a.test' stands in line 1"),
        ("a.test, b;c {\n\trespond 1\n}\n", "line 1: 'b;c' is no address"),
        ("respond ok\n", "line 1: 'respond' stands outside"),
        ("# nothing\n", "no site"),
        ("a {\n" * 40 + "}\n" * 40, "too deep"),
    ],
)
def test_a_caddyfile_that_does_not_hold_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(PartError) as raised:
        check_caddyfile(text)
    assert raised.value.code is Code.GENERATED_INVALID
    assert why in raised.value.message


@pytest.mark.parametrize(
    "text",
    [
        "{\n\temail a@b.test\n}\nimport sites/*\n(common) {\n\tencode gzip\n}\na.test {\n\timport common\n}\n",
        'https://a.test:8443, :80,\nb.test {\n\trespond `{"a": 1}` 200\n\theader {\n\t\tX "{$ENV}"\n\t}\n}\n',
        'http://[::1]:80 {\n\trespond "a { } b"  # }\n}\n*.a.test {\n\trespond {host}\n}\n',
    ],
)
def test_what_an_operator_s_template_may_make_is_accepted(text: str) -> None:
    check_caddyfile(text)
