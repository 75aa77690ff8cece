"""Whether a generated file holds, where the program that reads it cannot be asked."""

import re
from collections.abc import Iterable

from app.cell.generated.blocks import Line, parse_blocks
from app.errors import Code, PartError

_HOST = r"[A-Za-z0-9*_](?:[A-Za-z0-9._*-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\]"
_ADDRESS = re.compile(rf"(?:https?://)?(?:(?:{_HOST})(?::[0-9]{{1,5}})?|:[0-9]{{1,5}})(?:/\S*)?", re.ASCII)
_ZONE = re.compile(
    r"(?:(?:dns|tls|grpc|https|quic)://)?(?:\.|[A-Za-z0-9_](?:[A-Za-z0-9._/-]*))(?::[0-9]{1,5})?", re.ASCII
)

# every plugin that a plain CoreDNS has, but `reload`
_PLUGINS = re.compile(
    "acl|any|auto|autopath|azure|bind|bufsize|cache|cancel|chaos|clouddns|debug|dns64|dnssec|dnstap|erratic|errors|etcd|"
    "file|forward|geoip|grpc|grpc_server|header|health|hosts|import|k8s_external|kubernetes|loadbalance|local|log|loop|"
    "metadata|minimal|multisocket|nomad|nsid|on|pprof|prometheus|quic|ready|rewrite|root|route53|secondary|sign|"
    "template|timeouts|tls|trace|transfer|tsig|view|whoami"
)


def check_caddyfile(text: str) -> None:
    """Look at a Caddyfile as far as this is possible without Caddy; PartError GENERATED_INVALID names the line."""
    try:
        blocks = parse_blocks(text)
        addresses: dict[str, int] = {}
        for index, block in enumerate(blocks):
            if block.words[:1] == ("import",) or _is_snippet(block) or (index == 0 and not block.words):
                continue
            _check_site(block, addresses)
    except ValueError as error:
        raise _invalid("Caddyfile", str(error)) from error
    if not addresses:
        raise _invalid("Caddyfile", "it has no site")


def _is_snippet(block: Line) -> bool:
    return len(block.words) == 1 and re.fullmatch(r"\([A-Za-z0-9_-]+\)", block.words[0]) is not None


def _check_site(block: Line, addresses: dict[str, int]) -> None:
    if not block.words:
        raise ValueError(f"line {block.number}: a site without an address")
    if not block.has_block:
        raise ValueError(f"line {block.number}: '{block.words[0]}' stands outside of every site")
    for address in filter(None, " ".join(block.words).replace(",", " ").split()):
        if not _ADDRESS.fullmatch(address) and not address.startswith("{$"):
            raise ValueError(f"line {block.number}: '{address}' is no address of a site")
        _once(address, block.number, addresses)
    if not any(line.words for line in block.lines):
        raise ValueError(f"line {block.number}: a site that does nothing")


def check_corefile(text: str) -> None:
    """Look at a Corefile: zones, blocks, plugins; PartError GENERATED_INVALID names the line.

    CoreDNS has no command that checks a file, and one that it cannot read keeps it from starting.
    """
    try:
        zones: dict[str, int] = {}
        for block in parse_blocks(text):
            if block.words[:1] != ("import",) and not _is_snippet(block):
                _check_zone_block(block, zones)
    except ValueError as error:
        raise _invalid("Corefile", str(error)) from error
    if not zones:
        raise _invalid("Corefile", "it has no zone")


def _check_zone_block(block: Line, zones: dict[str, int]) -> None:
    if not block.words or not block.has_block:
        raise ValueError(f"line {block.number}: a zone without a block, or a block without a zone")
    for zone in filter(None, " ".join(block.words).replace(",", " ").split()):
        if not _ZONE.fullmatch(zone):
            raise ValueError(f"line {block.number}: '{zone}' is no zone")
        _once(zone if zone == "." else zone.rstrip("."), block.number, zones)
    if not block.lines:
        raise ValueError(f"line {block.number}: a zone without a plugin")
    _check_plugins(block.lines)


def _check_plugins(lines: Iterable[Line]) -> None:
    for line in lines:
        name = line.words[0] if line.words else "{"
        if name == "reload":
            raise ValueError(f"line {line.number}: 'reload' makes CoreDNS 1.14.3 answer REFUSED")
        if not _PLUGINS.fullmatch(name):
            raise ValueError(f"line {line.number}: '{name}' is no plugin of CoreDNS")
        if name in {"file", "forward"} and len(line.words) < (2 if name == "file" else 3):
            raise ValueError(f"line {line.number}: '{name}' needs to know where to")


def _once(name: str, number: int, seen: dict[str, int]) -> None:
    if name in seen:
        raise ValueError(f"line {number}: '{name}' stands in line {seen[name]} already")
    seen[name] = number


def _invalid(file: str, why: str) -> PartError:
    return PartError(Code.GENERATED_INVALID, f"The generated {file} does not hold: {why}.")
