"""A look at one live agent with all its versions, for the page and the answer that show it."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

from reconciler.masking import Masker
from reconciler.resource import Code, Failure, Live, Version
from reconciler.service.checkouts import Checkouts
from reconciler.service.connections import Connections
from reconciler.service.deps import Deps
from reconciler.service.records import ProjectRecord


class Looker:
    """Looks at single agents. `Looks` remembers what it saw, and says why where it could not."""

    def __init__(self, deps: Deps, connections: Connections, checkouts: Checkouts) -> None:
        self._deps = deps
        self._connections = connections
        self._checkouts = checkouts

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
            live = live and await ports[kind].deepen(live, None)
        return live and masked(live, self._masker(row))

    def _masker(self, row: ProjectRecord) -> Masker:
        """Hides what the configuration keeps secret, and what the Project takes from the environment.

        A process that has not read the source itself does not know the latter.
        """
        secrets = set(self._deps.configured.current.secrets.values())
        known = self._checkouts.newest(row.source) if row.source in self._checkouts else None
        good = self._checkouts.last_good(row.name)
        for project in (*(known.loaded.projects if known else ()), *(good[1:] if good else ())):
            if project.project.name == row.name:
                secrets |= project.masked
        return Masker(secrets)


def masked(live: Live, masker: Masker) -> Live:
    """The agent with what is said of failed versions masked: it may repeat an agent's environment."""

    def shown(version: Version) -> Version:
        failure = version.failure
        if failure is None:
            return version
        return replace(version, failure=Failure(masker.text(failure.code), masker.text(failure.message)))

    return replace(live, latest=live.latest and shown(live.latest), versions=tuple(map(shown, live.versions)))


def _never(code: Code) -> NoReturn:
    raise AssertionError("looking uploads nothing")
