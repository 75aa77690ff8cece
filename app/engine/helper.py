"""Helper containers: beside one that is stopped, paused or has no tar, another that shares its mounts.

A helper is named so that nobody takes it for a container of the cell, sees no network, and removes itself in the end
even if nobody else does.
"""

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Sequence

from app.engine.client import Client
from app.engine.hands import Hands, look_for_hands
from app.engine.owner import lives
from app.engine.shield import see_through
from app.engine.tar_command import USER
from app.engine.target import Target
from app.errors import Code, PartError

logger = logging.getLogger(__name__)

LABEL = "cell-backup.helper"
_PREFIX = "helper-cell-backup-"
_LIFE_SECONDS = 86_400
_GONE_SECONDS = 30.0
_POLL_SECONDS = 0.05


@contextlib.asynccontextmanager
async def helping(
    client: Client, target: Target, path: str, images: Sequence[str], owner: str
) -> AsyncIterator[Hands | None]:
    """Start a helper of the first image that has all it takes, and remove it at the end; None where no image has.

    Raises PartError ENGINE_UNREACHABLE; whatever else hinders a helper only means that there is none.
    """
    async with contextlib.AsyncExitStack() as undo:
        for image in images:
            name = f"{_PREFIX}{secrets.token_hex(6)}"
            async with contextlib.AsyncExitStack() as attempt:
                attempt.push_async_callback(_remove, client, name)
                if hands := await _try(client, name, _wanted(target, image, owner), path, target=target.name):
                    undo.push_async_exit(attempt.pop_all())
                    break
        else:
            hands = None
        yield hands


async def sweep(client: Client) -> list[str]:
    """Remove the helpers whose owners are no more and give their names; raises PartError."""
    filters = json.dumps({"label": [LABEL]})
    found = await client.request("containers/json", params={"all": "true", "filters": filters})
    # an engine behind a proxy may ignore the filter: what has no such label is nobody's helper
    owners = {str(one["Names"][0]).lstrip("/"): (one["Labels"] or {}).get(LABEL) for one in found}
    names = [name for name, owner in owners.items() if owner is not None and not lives(owner)]
    for name in names:
        await see_through(_force_away(client, name))
    return names


async def _try(client: Client, name: str, wanted: dict[str, object], path: str, *, target: str) -> Hands | None:
    try:
        # Seen through, so that what a cancellation leaves behind is known to be there, and removed.
        await see_through(client.request("containers/create", "POST", data=wanted, params={"name": name}))
        await see_through(client.send(f"containers/{name}/start", "POST"))
        return await look_for_hands(client, name, path, target=target)
    except PartError as error:
        if error.code is Code.ENGINE_UNREACHABLE:
            raise
        logger.info("No helper for %s can be made of %s: %s", target, wanted["Image"], error.message)
        return None


def _wanted(target: Target, image: str, owner: str) -> dict[str, object]:
    return {
        "Image": image,
        "Entrypoint": ["sh", "-c", f"exec sleep {_LIFE_SECONDS}"],
        "Cmd": [],
        "User": USER,
        "WorkingDir": "/",
        "Labels": {LABEL: owner},
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "VolumesFrom": [target.name],
            "NetworkMode": "none",
            "AutoRemove": True,
            "UsernsMode": target.userns,
            # What it writes must get the labels of the directory, not those of a container that soon is no more.
            "SecurityOpt": ["label=disable"],
        },
    }


async def _remove(client: Client, name: str) -> None:
    """Remove a helper; one that can't be removed now is left to `sweep`, or to its own end."""
    try:
        await see_through(_force_away(client, name))
    except PartError as error:
        logger.warning("The helper container %s may be left behind: %s", name, error.message)


async def _force_away(client: Client, name: str) -> None:
    """Remove a container and wait until it is gone: one that removes itself may already be about to."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GONE_SECONDS):
            while True:
                try:
                    params = {"force": "true", "v": "true"}
                    await client.send(f"containers/{name}", "DELETE", container=name, params=params)
                except PartError as error:
                    if error.code is Code.CONTAINER_MISSING:
                        return
                    if error.code is not Code.ENGINE_ERROR:
                        raise
                await asyncio.sleep(_POLL_SECONDS)
    raise PartError(Code.ENGINE_ERROR, f"The container {name} did not go away within {_GONE_SECONDS:g} seconds")
