"""Texts out of an archive, made fit for people: of one line, of a bounded length, without a terminal's commands."""

from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from app.archive.manifest import Header, Manifest

_MOST_CHARACTERS = 1000
_MOST_ENTRIES = 1000
_Document = TypeVar("_Document", Header, Manifest)


def printable(text: str) -> str:
    """Give a text that fits on one line of valid UTF-8; what is not printable shows as an escape."""
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def readable(name: bytes) -> str:
    """Give a member's name for a message."""
    return printable(name.decode("utf-8", "backslashreplace"))


def fit_for_people(document: _Document) -> _Document:
    """Cut every text of a document to 1000 characters and every list to 1000 entries, and make them printable."""
    fit: _Document = _fit(document)
    return fit


def _fit(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return printable(value[:_MOST_CHARACTERS])[:_MOST_CHARACTERS]
    if isinstance(value, tuple):
        return tuple(_fit(entry) for entry in value[:_MOST_ENTRIES])
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{item.name: _fit(getattr(value, item.name)) for item in fields(value)})
    return value
