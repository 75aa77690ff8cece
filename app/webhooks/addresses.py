"""Which addresses of the network a webhook may go to: public ones, and what the operator allows."""

import ipaddress
from collections.abc import Sequence

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # leaves out IPv4-mapped, NAT64, unique and link-local addresses
_SPECIAL = (  # beyond what every Python that this runs on knows to be special
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("2002::/16"),  # 6to4 leads to any IPv4 address, private ones too
    ipaddress.ip_network("3fff::/20"),
)


class Networks:
    """Hold the networks that are not public and may get webhooks all the same."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = [ipaddress.ip_network(network) for network in allowed]

    def __bool__(self) -> bool:
        return bool(self._allowed)

    def refusal(self, address: str, *, encrypted: bool) -> str | None:
        """Say why nothing may be sent to this IP address, or None where it may; in the clear goes only to own networks.

        Raise ValueError where it is no IP address.
        """
        ip = ipaddress.ip_address(address)
        if any(ip in network for network in self._allowed):
            return None
        if not _public(ip):
            return f"{ip} is not a public address, and not in CELL_BACKUP_WEBHOOK_NETWORKS"
        if not encrypted:
            return f"{ip} is not in CELL_BACKUP_WEBHOOK_NETWORKS, and only what is may be called by http"
        return None


def _public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if ip.is_multicast or ip.is_reserved or not ip.is_global or any(ip in network for network in _SPECIAL):
        return False
    return ip.version == 4 or ip in _GLOBAL_UNICAST
