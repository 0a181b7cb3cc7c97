"""Everything the service tells others, in one turn: what was stored goes out, and what went out is stored.

The turn `outbox` is exclusive over all replicas, so no two processes send the same. A crash repeats at most
what was on its way.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import ClientSession, DummyCookieJar

from reconciler.errors import InvalidInput
from reconciler.service.config import Config
from reconciler.service.deps import Deps
from reconciler.service.engine import Again
from reconciler.service.notify.beside_commits import BesideCommits
from reconciler.service.notify.channel import Channel, NotSent
from reconciler.service.notify.cloudevents import CloudEvents
from reconciler.service.notify.forges import Forge, open_forge
from reconciler.service.notify.notices import Notices
from reconciler.service.records import Page, RunRecord

log = structlog.get_logger("reconciler")

# A turn holds one of the service's slots; what is left over comes with the next one.
_BUDGET_S: Final = 20.0
_AT_ONCE: Final = Page(limit=500)
_FIRST_PAUSE_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 300.0
_CATCH_UP_S: Final = 60.0
_GRACE_S: Final = 3.0


@dataclass
class _Line:
    """One channel, and how its last tries went."""

    channel: Channel
    failures: int = 0
    due_at: float = 0.0


@dataclass(frozen=True)
class _Open:
    """What belongs to one configuration."""

    config: Config
    lines: tuple[_Line, ...] = ()
    forges: Mapping[str, Forge] = field(default_factory=dict)


class Outbox:
    """The way out of one process. Make it inside the running loop, and `close` it."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._session = ClientSession(cookie_jar=DummyCookieJar())
        self._opened: _Open | None = None
        self._statuses = BesideCommits(deps, self.forge, self._link)

    async def close(self) -> None:
        """Wait shortly for what is on its way, and end all connections."""
        await self._statuses.close(_GRACE_S)
        await self._session.close()

    def forge(self, source: str) -> Forge | None:
        """The forge of a source, None where it has none."""
        return self._open().forges.get(source)

    async def tell_run(self, run: RunRecord) -> None:
        """Show a run that began or ended beside its commit; returns at once, and never fails."""
        self._statuses.tell(run)

    async def flush(self, now: float) -> Again | None:
        """Send what is due, every channel at the same time, for 20 s at most.

        Returns:
            When the next turn should come for what is left; None when nothing is.

        Raises:
            StoreDown: the store does not answer; nothing is lost.
        """
        opened = self._open()
        ended = await asyncio.gather(
            *(self._advance(line, now) for line in opened.lines), return_exceptions=True
        )
        for failure in ended:
            if isinstance(failure, BaseException):
                raise failure
        left = [pause for pause in ended if isinstance(pause, float)]
        if opened.forges and await self._statuses.catch_up(now):
            left.append(_CATCH_UP_S)
        return Again(min(left), "outbox") if left else None

    async def _advance(self, line: _Line, now: float) -> float | None:
        """Send what is due on one channel; in how many seconds there is more to do, None for nothing."""
        if now < line.due_at:
            return line.due_at - now
        name, store = line.channel.name, self._deps.store
        # With 0 the store would give the newest events first.
        after = await store.cursor(name) or -1
        events, _ = await store.events(after_id=after, page=_AT_ONCE)
        if not events:
            return None
        try:
            async with asyncio.timeout(_BUDGET_S):
                async for settled in line.channel.tell(events, now):
                    await store.move_cursor(name, settled.id)
                    self._deps.metrics.reports.labels(name, "sent").inc(settled.sent)
        except TimeoutError:
            return 0.0
        except NotSent as error:
            return self._failed(line, error, now)
        if line.failures:
            log.info("report_recovered", channel=name, after=line.failures)
        line.failures = 0
        return 0.0 if len(events) == _AT_ONCE.limit else None

    def _failed(self, line: _Line, error: NotSent, now: float) -> float:
        line.failures += 1
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(line.failures - 1, 10))
        pause_s = max(error.retry_after_s, pause_s * random.uniform(0.5, 1.0))
        line.due_at = now + pause_s
        name = line.channel.name
        self._deps.metrics.reports.labels(name, "failed").inc()
        log.warning(
            "report_not_sent", channel=name, error=str(error), hint=error.hint, again_in_s=round(pause_s, 1)
        )
        return pause_s

    def _link(self) -> str:
        return self._deps.configured.current.spec.public_url or ""

    def _open(self) -> _Open:
        """Channels and forges of the configuration in force; what cannot be used is logged and left out."""
        config = self._deps.configured.current
        if self._opened is not None and self._opened.config is config:
            return self._opened
        before = {line.channel.name: line for line in self._opened.lines} if self._opened else {}
        lines = [_Line(channel) for channel in self._channels(config)]
        for line in lines:
            old = before.get(line.channel.name)
            line.failures, line.due_at = (old.failures, 0.0) if old else (0, 0.0)
        self._opened = _Open(config, tuple(lines), self._forges(config))
        return self._opened

    def _channels(self, config: Config) -> list[Channel]:
        found: list[Channel] = []
        link = config.spec.public_url or ""
        for spec in config.spec.notify:
            try:
                found.append(Notices(spec, config.secret(spec.url), self._deps.store, link))
            except InvalidInput as error:
                log.error("report_unusable", channel=f"notify/{spec.name}", error=str(error), hint=error.hint)
        events = config.spec.cloud_events
        if events is not None:
            secret = config.secret(events.secret) if events.secret else ""
            found.append(CloudEvents(events.url, secret, link, self._session, self._deps.now))
        return found

    def _forges(self, config: Config) -> dict[str, Forge]:
        found: dict[str, Forge] = {}
        for source in config.spec.sources:
            if source.forge is None:
                continue
            token = config.secret(source.forge.token)
            try:
                found[source.name] = open_forge(source.forge, token, source.url, self._session)
            except InvalidInput as error:
                log.error("forge_unusable", source=source.name, error=str(error), hint=error.hint)
        return found
