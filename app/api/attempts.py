"""Failed attempts to show a token: each is answered later than the one before, and what is told of them is bounded."""

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from app.errors import Code, InputError

_FIRST = 0.25
_LONGEST = 4.0
_HALF_LIFE = 60.0
_PEERS = 1024
_MOST_WAITING = 32
# a proxy gives all its clients one address, and an attacker may have many: what all do together counts too, but less
_OF_ALL = 1 / 16
_WINDOW = 60.0
_TOLD_APART = 64


@dataclass(slots=True)
class _Tally:
    """Count what happens, and forget half of it every minute."""

    level: float = 0.0
    at: float = -math.inf

    def add(self, now: float) -> float:
        self.level = self.level * 0.5 ** ((now - self.at) / _HALF_LIFE) + 1
        self.at = now
        return self.level


@dataclass(slots=True)
class Attempts:
    """Slow down whoever tries tokens; who has a right one never comes here."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _peers: OrderedDict[str, _Tally] = field(default_factory=OrderedDict)
    _all: _Tally = field(default_factory=_Tally)
    _waiting: int = 0

    async def failed(self, peer: str) -> None:
        """Wait, longer after each failure, 4 seconds at most; raise InputError TOO_MANY_ATTEMPTS where many wait."""
        pause = self._pause(network_of(peer))
        if self._waiting >= _MOST_WAITING:
            raise InputError(Code.TOO_MANY_ATTEMPTS, "Too many requests with a wrong token wait for their answer.")
        self._waiting += 1
        try:
            await self.sleep(pause)
        finally:
            self._waiting -= 1

    def _pause(self, peer: str) -> float:
        now = self.clock()
        tally = self._peers.pop(peer, None) or _Tally()
        self._peers[peer] = tally  # the last one is the newest
        if len(self._peers) > _PEERS:
            self._peers.popitem(last=False)
        doublings = max(tally.add(now) - 1, (self._all.add(now) - 1) * _OF_ALL)
        return _FIRST * 2 ** min(doublings, math.log2(_LONGEST / _FIRST))


def network_of(peer: str) -> str:
    """Give what stands for one client: an address, or the network of 64 bits that an IPv6 client has for itself."""
    with suppress(ValueError):
        address = ipaddress.ip_address(peer.partition("%")[0])
        if address.version == 6:
            return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return peer


@dataclass(frozen=True, slots=True)
class Refusal:
    """Say who was refused what, and why; `by` is the token's name, where it was one."""

    code: Code
    peer: str
    by: str | None = None
    what: str | None = None


@dataclass(slots=True)
class _Since:
    at: float
    more: int = 0


@dataclass(slots=True)
class Refusals:
    """Count refusals, so that nobody can fill log and disk: the first is told at once, others once a minute."""

    clock: Callable[[], float] = time.monotonic
    _open: dict[Refusal, _Since] = field(default_factory=dict)

    def note(self, refusal: Refusal) -> list[tuple[Refusal, int]]:
        """Count one, and give what is to be told now: refusals, and how often."""
        told = self.due()
        if refusal not in self._open and len(self._open) >= _TOLD_APART:
            refusal = Refusal(refusal.code, "others")
        if refusal in self._open:
            self._open[refusal].more += 1
        else:
            self._open[refusal] = _Since(self.clock())
            told.append((refusal, 1))
        return told

    def due(self) -> list[tuple[Refusal, int]]:
        """Give what came after the first within a minute that is over."""
        now = self.clock()
        over = [refusal for refusal, since in self._open.items() if now - since.at >= _WINDOW]
        return self._closed(over)

    def rest(self) -> list[tuple[Refusal, int]]:
        """Give what has not been told yet."""
        return self._closed(list(self._open))

    def _closed(self, refusals: list[Refusal]) -> list[tuple[Refusal, int]]:
        counts = [(refusal, self._open.pop(refusal).more) for refusal in refusals]
        return [(refusal, more) for refusal, more in counts if more]
