"""What a receiver answered, fit for people; many a one repeats the address it was called by, which may be a secret."""

from collections.abc import Iterator

from yarl import URL

from app.archive.shown import readable
from app.webhooks.targets import Target

_SHORTEST_SECRET = 8
_HIDDEN = "***"


def shown(answer: bytes, target: Target) -> str:
    """Give the answer on one line, control characters visible, path and query of the address and its secret hidden."""
    text = readable(answer)
    for hidden in sorted(_hidden(target), key=len, reverse=True):
        text = text.replace(hidden, _HIDDEN)
        text = _without_cut_end(text, hidden)
    return text


def _hidden(target: Target) -> set[str]:
    return {piece for piece in _pieces(URL(target.url), target.secret) if len(piece) >= _SHORTEST_SECRET}


def _pieces(url: URL, secret: str) -> Iterator[str]:
    yield secret
    yield from (url.raw_path, url.path, url.raw_query_string, url.query_string)
    yield from (*url.raw_parts, *url.parts)
    for raw in url.raw_query_string.split("&"):
        yield raw.partition("=")[2]
    yield from url.query.values()


def _without_cut_end(text: str, hidden: str) -> str:
    """Hide the beginning of a secret that the answer ends in the midst of."""
    for length in range(min(len(hidden), len(text)) - 1, _SHORTEST_SECRET - 1, -1):
        if text.endswith(hidden[:length]):
            return text[:-length] + _HIDDEN
    return text
