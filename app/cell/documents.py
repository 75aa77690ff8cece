"""JSON documents that others wrote: read with a bound, checked by a pydantic model, refused with a reason."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from app.errors import BackupError

MAX_BYTES = 4 * 1024 * 1024

Model = TypeVar("Model", bound=BaseModel)


def printable(text: str) -> str:
    """Give a text (a path in surrogateescaped form, for example) that fits on one line of valid UTF-8."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def reason(error: OSError) -> str:
    """Give the system's own words for an error, without the path that they often repeat."""
    return error.strerror or type(error).__name__


def read_document(path: Path, model: type[Model], refuse: Callable[[str], BackupError]) -> Model:
    """Read and check one JSON file; raise what `refuse` makes of the reason where that is not possible."""
    try:
        return model.model_validate_json(_read(path))
    except OSError as error:
        raise refuse(reason(error)) from error
    except ValidationError as error:
        raise refuse(complaints(error)) from None  # its text repeats the input, which may hold secrets


def complaints(error: ValidationError) -> str:
    """Say in one line which fields are wrong, and how."""
    lines = [f"{_field(item['loc'])}: {item['msg']}" for item in error.errors(include_url=False, include_input=False)]
    return printable("; ".join(lines[:5]))


def _field(location: tuple[int | str, ...]) -> str:
    name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return name.removeprefix(".") or "document"


def _read(path: Path) -> bytes:
    # O_NONBLOCK: a FIFO in the place of a document must not hold up the process
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(0, f"larger than {MAX_BYTES} bytes")
    return content
