from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.errors import Code, InputError
from app.settings import Settings
from app.webhooks.targets import MAX_URL, Target, default_target, target_for
from tests.support.webhook_receiver import SECRET

OTHER = "another secret that is long enough"


def settings_with(**values: Any) -> Settings:
    return Settings(cell_root=Path("/nowhere"), state_dir=Path("/nowhere"), **values)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://hooks.example/services/T0/secret", "https://hooks.example"),
        ("https://hooks.example:8443?key=secret", "https://hooks.example:8443"),
        ("HTTPS://Hooks.Example./x", "https://hooks.example."),
        ("https://bücher.example/secret", "https://xn--bcher-kva.example"),
        ("https://[2606:4700:4700::1111]/secret", "https://[2606:4700:4700::1111]"),
    ],
)
def test_only_the_origin_of_an_address_is_shown(url: str, origin: str) -> None:
    target = target_for(settings_with(), url, SECRET)
    assert target.origin == origin
    assert "secret" not in repr(target)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "hooks.example",
            "//hooks.example",
            "https://",
            "https:///x",
            "ftp://hooks.example",
            "file:///etc/passwd",
        ),
        *("http://hooks.example/", "https://user@hooks.example", "https://:pass@hooks.example", "javascript:alert(1)"),
        *("https://hooks.example/#x", "https://hooks.example:0", "https://hooks.example:65536", "https://[::1"),
        *("https://hooks.example/\n", "https://hooks.exa\tmple/", "https://hooks.example/a b", "https://hooks\u202e.x"),
        *("https://127.0.0.1/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest", "https://10.0.0.1"),
        "https://hooks.example/" + "x" * MAX_URL,
    ],
)
def test_an_address_that_cannot_be_called_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InputError) as caught:
        target_for(settings_with(), url, SECRET)
    assert caught.value.code is Code.INVALID_WEBHOOK
    assert "hooks" not in caught.value.message


def test_http_is_for_networks_that_the_operator_allows() -> None:
    settings = settings_with(webhook_networks=("172.20.0.0/16",))
    assert target_for(settings, "http://172.20.0.7:8080/x", SECRET).origin == "http://172.20.0.7:8080"
    assert target_for(settings, "http://cell-api/x", SECRET).origin == "http://cell-api"  # checked where it leads
    with pytest.raises(InputError):
        target_for(settings, "http://8.8.8.8/x", SECRET)
    with pytest.raises(InputError):
        target_for(settings, "http://127.0.0.1/x", SECRET)


def test_the_operators_secret_signs_where_a_request_has_none() -> None:
    settings = settings_with(webhook_secret=SecretStr(OTHER))
    assert target_for(settings, "https://hooks.example", None) == Target("https://hooks.example", OTHER)
    assert target_for(settings, "https://hooks.example", SECRET) == Target("https://hooks.example", SECRET)


@pytest.mark.parametrize("secret", [None, "short", "whsec_notbase64!"])
def test_no_message_goes_out_unsigned(secret: str | None) -> None:
    with pytest.raises(InputError) as caught:
        target_for(settings_with(), "https://hooks.example", secret)
    assert caught.value.code is Code.INVALID_WEBHOOK
    assert "secret" in caught.value.hint


def test_the_operators_receiver_is_checked_like_others() -> None:
    assert default_target(settings_with()) is None
    url = SecretStr("https://hooks.example/x")
    assert default_target(settings_with(webhook_url=url, webhook_secret=SecretStr(OTHER))) == Target(
        "https://hooks.example/x", OTHER
    )
    for wrong in ({}, {"webhook_secret": SecretStr("short")}):
        with pytest.raises(InputError) as caught:
            default_target(settings_with(webhook_url=url, **wrong))
        assert caught.value.code is Code.INVALID_SETTING
        assert "CELL_BACKUP_WEBHOOK" in caught.value.message
        assert "hooks" not in caught.value.message
