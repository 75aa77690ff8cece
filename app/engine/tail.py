"""The last bytes of an output of any length."""


class Tail:
    """Keep the last `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def add(self, data: bytes | memoryview) -> None:
        """Append the data, and forget what no longer fits."""
        self._kept += data[-self._limit :]
        del self._kept[: -self._limit]

    def __bytes__(self) -> bytes:
        return bytes(self._kept)

    @property
    def text(self) -> str:
        """Give what is kept as text, strange bytes escaped."""
        return self._kept.decode(errors="backslashreplace")
