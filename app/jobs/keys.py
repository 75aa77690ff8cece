"""The two data keys that a restore needs, as the one secret of its job."""

import json


def pack_keys(archive: bytes | None, safety: bytes | None) -> bytes:
    """Write the data key of the archive that is restored and that of the safety archive; None for a plain one."""
    return json.dumps({"archive": _text(archive), "safety": _text(safety)}).encode()


def unpack_keys(packed: bytes) -> tuple[bytes | None, bytes | None]:
    """Read what `pack_keys` wrote: the key of the archive that is restored, that of the safety archive."""
    keys: dict[str, str | None] = json.loads(packed)
    return _key(keys["archive"]), _key(keys["safety"])


# Latin-1 holds every byte: a key that came with a stranger's archive need not be text


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode("latin-1")


def _key(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")
