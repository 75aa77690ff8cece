import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.webhooks.signing import UnfitSecretError, key_of, signed_headers

KEY = bytes(range(32))
ENCODED = "whsec_" + base64.b64encode(KEY).decode()
TEXT = "a plain text of more than 24 bytes, with an ü"
BODY = '{"job_id": "1", "label": "für alle"}'.encode()


def test_a_receivers_library_takes_what_is_signed() -> None:
    now = datetime.now(UTC)
    assert Webhook(ENCODED).verify(BODY, dict(signed_headers(key_of(ENCODED), "msg_1", now, BODY)))["job_id"] == "1"
    assert Webhook(TEXT.encode()).verify(BODY, dict(signed_headers(key_of(TEXT), "msg_1", now, BODY)))["job_id"] == "1"


@pytest.mark.parametrize(
    "changed", [{"webhook-id": "msg_2"}, {"webhook-timestamp": str(int(datetime.now(UTC).timestamp()) + 60)}]
)
def test_id_and_time_are_signed_too(changed: dict[str, str]) -> None:
    headers = dict(signed_headers(KEY, "msg_1", datetime.now(UTC), BODY)) | changed
    with pytest.raises(WebhookVerificationError):
        Webhook(KEY).verify(BODY, headers)


def test_base64_without_its_padding_is_the_same_secret() -> None:
    assert key_of(ENCODED.rstrip("=")) == key_of(ENCODED) == KEY


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "too short",
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + "*" * 40,
        "whsec_" + "ü" * 40,
        "whsec_" + "A" * 41,
        "x" * 513,
        "\udcff" * 30,
    ],
)
def test_an_unfit_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(UnfitSecretError) as caught:
        key_of(secret)
    assert len(secret) < 8 or secret[-8:] not in str(caught.value)
