"""The cell's own API: asked to read its files again, or to do step 8 itself."""

import aiohttp

from app.errors import Code, PartError
from app.settings import Settings

_LIMIT = aiohttp.ClientTimeout(total=120, connect=10)


async def call_cell_api(settings: Settings, path: str) -> None:
    """POST to the cell's API; PartError CELL_API_FAILED where it has no address set or doesn't answer with a 2xx.

    The token is a bearer token, so that no CSRF token is needed; no redirect is followed, for it would get the token.
    """
    if settings.cell_api_url is None:
        raise PartError(Code.CELL_API_FAILED, "CELL_BACKUP_CELL_API_URL is not set.")
    address = settings.cell_api_url.rstrip("/") + path
    token = settings.cell_api_token
    headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=_LIMIT) as session,
            session.post(address, headers=headers, allow_redirects=False) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        # its words may hold the address, and that a password
        message = f"POST {path}: the cell's API did not answer ({type(error).__name__})."
        raise PartError(Code.CELL_API_FAILED, message) from error
    if not 200 <= status < 300:
        raise PartError(Code.CELL_API_FAILED, f"POST {path}: the cell's API answered {status}.")
