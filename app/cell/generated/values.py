"""What a value must look like before it may stand in a generated file or command: checked, never escaped."""

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_BACKEND = re.compile(r"(cell-[a-z0-9][a-z0-9-]{0,30}):([1-9][0-9]{0,4})", re.ASCII)
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", re.ASCII)
_ZONE_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_NUMBER = re.compile(r"0x[0-9A-Fa-f]{1,8}|[0-9]{1,10}", re.ASCII)


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"is no {what}")
        return value

    return check


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _number(value: Any) -> Any:
    """Give the number that a string such as `4112` or `0x1010` writes; leave everything else to the next check."""
    return int(value, 16 if value.startswith("0x") else 10) if _is_number(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _not_an_address(domain: str) -> str:
    if domain.rpartition(".")[2].isdigit():
        raise ValueError("is an address, not a domain")
    return domain


def _has_port(backend: str) -> str:
    if int(backend.rpartition(":")[2]) > 65535:
        raise ValueError("has no port between 1 and 65535")
    return backend


def host_address(value: str) -> str:
    """Give an IPv4 address, which may be written with `/32`; ValueError where it is none."""
    return str(ipaddress.IPv4Address(value.removesuffix("/32")))


def addresses_in(value: Any) -> tuple[str, ...]:
    """Give each IPv4 address of a host that a list, or a text with commas and prefix lengths, holds."""
    words = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else []
    found = []
    for word in words:
        try:
            address = ipaddress.IPv4Interface(word.strip()).ip if isinstance(word, str) else None
        except ValueError:
            continue
        if address is not None and not address.is_unspecified:
            found.append(str(address))
    return tuple(dict.fromkeys(found))


def network(value: str) -> str:
    """Give an IPv4 network such as `172.20.0.0/16`; the bits for the host may be set. ValueError where it is none."""
    return str(ipaddress.IPv4Network(value, strict=False))


def any_address(value: str) -> str:
    """Give an IPv4 or IPv6 address; ValueError where it is none, or has a scope."""
    address = ipaddress.ip_address(value)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError("is an address of one interface only")
    return str(address)


is_zone_file = _ZONE_FILE.fullmatch

Label = Annotated[
    str, BeforeValidator(_lower), AfterValidator(_matching(re.compile(_LABEL, re.ASCII), "name of one part"))
]
Domain = Annotated[
    str, BeforeValidator(_lower), AfterValidator(_matching(_DOMAIN, "domain")), AfterValidator(_not_an_address)
]
Name = Annotated[str, AfterValidator(_matching(_NAME, "name of letters, digits, '.', '_' and '-'"))]
Backend = Annotated[str, AfterValidator(_matching(_BACKEND, "'container:port'")), AfterValidator(_has_port)]
Interface = Annotated[str, AfterValidator(_matching(_INTERFACE, "name of an interface"))]
HostAddress = Annotated[str, AfterValidator(host_address)]
Network = Annotated[str, AfterValidator(network)]
AnyAddress = Annotated[str, AfterValidator(any_address)]
Mark = Annotated[int, BeforeValidator(_number), Field(ge=0x1000, le=0x1FFF)]
Table = Annotated[int, BeforeValidator(_number), Field(ge=1000, le=0xFFFF_FFFE)]
RedirectPort = Annotated[int, BeforeValidator(_number), Field(ge=9100, le=9199)]
