"""A request's own webhook, as a secret beside that of its job."""

import json


def webhook_id(job_id: str) -> str:
    """Give the id that a job's webhook is sealed under."""
    return f"{job_id}.webhook"


def pack_webhook(url: str, secret: str) -> bytes:
    """Write the address and the secret that signs."""
    return json.dumps({"url": url, "secret": secret}).encode()


def unpack_webhook(packed: bytes) -> tuple[str, str]:
    """Read what `pack_webhook` wrote: the address, the secret that signs."""
    webhook: dict[str, str] = json.loads(packed)
    return webhook["url"], webhook["secret"]
