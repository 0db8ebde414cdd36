"""How many connections there may be, and who goes when there are more. Probes and scrapes are answered beyond that."""

from asyncio import Transport
from collections import Counter
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.core.errors import ServiceUnavailable
from app.core.http.client_address import network_of

BEYOND = 16  # connections more than there may be, of which one may be a probe's; `cli/serve.py` reserves descriptors
PROBES = frozenset((b"/health", b"/health/live", b"/health/ready", b"/metrics"))
# By server the connections beyond the limit, oldest first.
_BEYOND: WeakKeyDictionary[ServerState, dict["LimitedProtocol", None]] = WeakKeyDictionary()


class LimitedProtocol(HttpToolsProtocol):
    """One of at most so many connections, which is uvicorn's `limit_concurrency`."""

    idle_seconds = 1.0  # before a connection may have to make room for another

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn counts a connection once its head has come, and its 503 has neither our shape nor Retry-After.
        self.max_connections, self.limit_concurrency = self.limit_concurrency, None
        self._refused = False
        self._last_used = 0.0
        self._network = ""
        self._beyond: dict[LimitedProtocol, None] | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._network = network_of(self.client[0]) if self.client else ""
        self._last_used = self.loop.time()
        if self._too_many() > BEYOND or (self._too_many() > 0 and not self._make_room()):
            self._stay_beyond()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._beyond is not None:
            self._beyond.pop(self, None)

    def _too_many(self) -> int:
        """Return how many connections there are beyond the limit, below 0 if there is room."""
        return -1 if self.max_connections is None else len(self.connections) - self.max_connections

    def _stay_beyond(self) -> None:
        """Be there to be asked by a probe."""
        self._beyond = _BEYOND.setdefault(self.server_state, {})
        self._beyond[self] = None
        if len(self._beyond) > BEYOND:
            self._end_one_beyond(self._beyond)

    def _end_one_beyond(self, beyond: "Iterable[LimitedProtocol]") -> None:
        """Abort the oldest that is not being answered: a probe sends its request at once, others may say nothing."""
        oldest = next(one for one in beyond if not (one._is_answering() or one.transport.is_closing()))
        if not oldest._refused:
            self._count_refused(ServiceUnavailable.code)
        oldest.transport.abort()

    def _make_room(self) -> bool:
        """Close the longest idle connection of the address that has most, and return whether there is one."""
        connections = [one for one in self.connections if isinstance(one, LimitedProtocol)]
        count = Counter(one._network for one in connections)
        idle = [one for one in connections if one._is_idle()]
        if not idle:
            return False
        min(idle, key=lambda one: (-count[one._network], one._last_used)).transport.close()
        return True

    def _is_idle(self) -> bool:
        is_new = self.loop.time() < self._last_used + self.idle_seconds
        return not (self._is_answering() or is_new or self._refused or self.transport.is_closing())

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count_refused(self, code: str) -> None:
        """Count what no middleware sees."""
        if metrics := getattr(getattr(self.app, "state", None), "metrics", None):
            metrics.count_refused(code)
