"""Where a webhook goes: an address that was checked, and the secret that signs."""

from dataclasses import dataclass, field
from ipaddress import ip_address

from yarl import URL

from app.errors import Code, InputError
from app.settings import Settings
from app.webhooks.addresses import Networks
from app.webhooks.signing import UnfitSecretError, key_of

MAX_URL = 2048
_NO_SECRET_HINT = "Send a 'secret' with the 'url', or have the operator set CELL_BACKUP_WEBHOOK_SECRET."  # noqa: S105
_SECRET_HINT = "A secret is 'whsec_' and the base64 of 24 bytes or more, or any text of 24 bytes or more."  # noqa: S105


@dataclass(frozen=True, slots=True)
class Target:
    """Hold a receiver; only `origin` may be shown, for the rest of an address is often a secret itself."""

    url: str = field(repr=False)
    secret: str = field(repr=False)

    @property
    def origin(self) -> str:
        """Give scheme, host and port."""
        return origin_of(self.url)


def origin_of(url: str) -> str:
    """Give what of a checked address may be shown: scheme, host and port."""
    return str(URL(url).origin())


def target_for(settings: Settings, url: str, secret: str | None) -> Target:
    """Check what a request names as its receiver; without a secret of its own, the operator's signs.

    Raise InputError INVALID_WEBHOOK.
    """
    _check_url(url, Networks(settings.webhook_networks))
    if secret is None and settings.webhook_secret is not None:
        secret = settings.webhook_secret.get_secret_value()
    if secret is None:
        raise InputError(Code.INVALID_WEBHOOK, "There is no secret to sign the webhook with.", hint=_NO_SECRET_HINT)
    try:
        key_of(secret)
    except UnfitSecretError as error:
        raise InputError(Code.INVALID_WEBHOOK, str(error), hint=_SECRET_HINT) from None
    return Target(url=url, secret=secret)


def default_target(settings: Settings) -> Target | None:
    """Give the receiver that the operator set for all jobs, if any; raise InputError INVALID_SETTING."""
    if settings.webhook_url is None:
        return None
    try:
        return target_for(settings, settings.webhook_url.get_secret_value(), None)
    except InputError as error:
        raise InputError(
            Code.INVALID_SETTING,
            f"CELL_BACKUP_WEBHOOK_URL cannot be used: {error.message}",
            hint="Correct CELL_BACKUP_WEBHOOK_URL, CELL_BACKUP_WEBHOOK_SECRET or CELL_BACKUP_WEBHOOK_NETWORKS.",
        ) from None


def _check_url(url: str, networks: Networks) -> None:
    """Refuse what can be told to be wrong from the text alone; where a name leads is checked at each connection."""
    if len(url) > MAX_URL:
        raise _refused(f"The address is longer than {MAX_URL} characters.")
    if not url.isprintable() or " " in url:
        raise _refused("The address has a blank or a control character in it.")
    try:
        parsed = URL(url)
        host, port = parsed.host, parsed.port
    except ValueError:
        raise _refused("The address cannot be read.") from None
    if parsed.scheme not in {"https", "http"} or not host or not port:
        raise _refused("The address does not begin with 'https://' and a host.")
    if parsed.user is not None or parsed.password is not None:
        raise _refused("The address has a user or a password in it; the signature is what proves the sender.")
    if "#" in url:
        raise _refused("The address has a fragment, which is never sent.")
    if parsed.scheme == "http" and not networks:
        raise _refused("The address is not https.")
    _check_literal(host, networks, encrypted=parsed.scheme == "https")


def _check_literal(host: str, networks: Networks, *, encrypted: bool) -> None:
    try:
        ip_address(host)
    except ValueError:
        return  # a name
    refusal = networks.refusal(host, encrypted=encrypted)
    if refusal is not None:
        raise _refused(f"{refusal}.")


def _refused(message: str) -> InputError:
    return InputError(Code.INVALID_WEBHOOK, message)
