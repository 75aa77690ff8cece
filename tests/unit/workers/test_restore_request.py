"""What was asked of a restore, as its job's record holds it."""

from typing import Any

import pytest

from workers.restoring.request import RestoreRequest


def test_an_empty_request_is_a_whole_restore() -> None:
    request = RestoreRequest.of({}, "builtin")
    assert request == RestoreRequest(
        components=None,
        services=None,
        dry_run=False,
        safety="full",
        mode="equal",
        accept_damaged=False,
        regenerate="builtin",
    )
    assert request.takes_component("vault")
    assert request.takes_service("mail")


def test_none_is_as_absent() -> None:
    absent: dict[str, Any] = dict.fromkeys(("components", "services", "safety", "mode", "damaged", "regenerate"))
    assert RestoreRequest.of(absent, "off") == RestoreRequest.of({}, "off")


def test_every_choice() -> None:
    wanted = {
        "components": ["web"],
        "services": ["mail"],
        "dry_run": True,
        "safety": "none",
        "mode": "overlay",
        "damaged": "accept",
        "regenerate": "hook",
    }
    request = RestoreRequest.of(wanted, "builtin")
    assert request == RestoreRequest(("web",), ("mail",), True, "none", "overlay", True, "hook")
    assert [name for name in ("vault", "web") if request.takes_component(name)] == ["web"]
    assert [name for name in ("mail", "site") if request.takes_service(name)] == ["mail"]


@pytest.mark.parametrize("key", ["components", "services"])
def test_an_empty_choice_takes_nothing(key: str) -> None:
    request = RestoreRequest.of({key: []}, "builtin")
    assert request.takes_component("vault") is (key != "components")
    assert request.takes_service("mail") is (key != "services")


def test_refusing_damage_is_not_accepting_it() -> None:
    assert not RestoreRequest.of({"damaged": "refuse"}, "builtin").accept_damaged
