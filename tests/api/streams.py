"""Reads a stream of server-sent events as the standard says."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Told:
    """Hold one event of a stream."""

    name: str
    data: dict[str, Any]
    event_id: str | None


async def told(lines: AsyncIterator[str]) -> AsyncIterator[Told]:
    """Give each event of a stream; comments are passed over, what was cut off is dropped."""
    fields: dict[str, str] = {}
    async for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = fields[name] + "\n" + value.strip() if name in fields else value.strip()
        elif fields:
            yield Told(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}
