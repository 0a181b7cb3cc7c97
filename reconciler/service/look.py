"""A look at one live agent with all its versions, for the page and the answer that show it."""

from __future__ import annotations

from typing import NoReturn

from reconciler.resource import Code, Live
from reconciler.service.connections import Connections
from reconciler.service.deps import Deps


class Looker:
    """Looks at single agents. `Looks` remembers what it saw, and says why where it could not."""

    def __init__(self, deps: Deps, connections: Connections) -> None:
        self._deps = deps
        self._connections = connections

    async def look(self, project: str, resource: str) -> Live | None:
        """The agent `Agent/NAME` with every version; None when it is not there.

        Raises:
            ReconcilerError: it cannot be read now.
        """
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
