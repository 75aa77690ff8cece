"""Time zones by name."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.errors import Code, InputError


def zone_of(name: str) -> ZoneInfo:
    """Give the time zone of a name such as `Europe/Berlin`; InputError UNKNOWN_TIMEZONE."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # no such file, no name of one, or a folder
        shown = name[:64].encode("unicode_escape").decode()
        raise InputError(Code.UNKNOWN_TIMEZONE, f"There is no time zone '{shown}'.") from error
