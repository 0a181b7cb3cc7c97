"""A look at one live agent with all its versions, for the page and the answer that show it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Final, NoReturn

from reconciler.errors import ReconcilerError
from reconciler.resource import Code, Live
from reconciler.service.connections import Connections
from reconciler.service.deps import Deps

# People reload pages; the service is asked once in this time.
_FRESH_S: Final = 15.0
_LONGEST_S: Final = 5.0
_MOST: Final = 256


class Looker:
    """Looks at single agents, remembers them shortly, and says nothing where it cannot."""

    def __init__(self, deps: Deps, connections: Connections) -> None:
        self._deps = deps
        self._connections = connections
        self._seen: OrderedDict[tuple[str, str], tuple[float, Live | None]] = OrderedDict()

    async def look(self, project: str, resource: str) -> Live | None:
        """The agent `Agent/NAME` with every version; None when it is not there or cannot be read now."""
        at, live = self._seen.get((project, resource), (-_FRESH_S, None))
        if time.monotonic() - at < _FRESH_S:
            return live
        try:
            live = await asyncio.wait_for(self._read(project, resource), _LONGEST_S)
        except (ReconcilerError, TimeoutError):
            return None
        self._seen[project, resource] = (time.monotonic(), live)
        self._seen.move_to_end((project, resource))
        while len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        return live

    async def _read(self, project: str, resource: str) -> Live | None:
        row = await self._deps.store.project(project)
        kind, _, name = resource.partition("/")
        if row is None or not name:
            return None
        async with self._connections.ports(project, row.endpoint, _never) as ports:
            if kind not in ports:
                return None
            live: Live | None = await ports[kind].read(name)
            return live and await ports[kind].deepen(live, None)


def _never(code: Code) -> NoReturn:
    raise AssertionError("looking uploads nothing")
