"""What a client's connection may take: no more of them than files can be opened, none for those who ask nothing."""

import asyncio
import resource
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
_UNLIMITED = 4096


def most_connections() -> int:
    """Leave half of the files that this process may open for everything else.

    Without a free one, asyncio logs an error for each place in the backlog, and serves nobody meanwhile.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if limit == resource.RLIM_INFINITY else max(1, limit // 2)


class TimelyRequests(H11Protocol):
    """Close a connection on which no whole head of a request comes in time, whatever trickles in."""

    _limit: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.abort()
        else:
            self._expect_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_head()

    def _expect_head(self) -> None:
        self._expect_nothing()
        self._limit = self.loop.call_later(HEAD_SECONDS, self._close_without, self.cycle)

    def _expect_nothing(self) -> None:
        if self._limit is not None:
            self._limit.cancel()

    def _close_without(self, before: Any) -> None:
        """Close where no request has come since that one, which is over."""
        if (before is None or before.response_complete) and self.cycle is before:
            self.transport.close()
