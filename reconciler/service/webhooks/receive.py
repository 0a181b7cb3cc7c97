"""Take a delivery: believe nothing, answer within a second, and give the engine a hint."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reconciler.service.config_spec import SourceSpec
from reconciler.service.deps import Deps
from reconciler.service.webhooks.answers import (
    MAX_BYTES,
    NOT_FOUND,
    UNREADABLE,
    Outcome,
    Result,
    limited,
    printable,
    refused,
)
from reconciler.service.webhooks.body import Held
from reconciler.service.webhooks.events import Decision, decide, followed
from reconciler.service.webhooks.hints import Hints, succeeded, within
from reconciler.service.webhooks.limits import Buckets, Room, peer
from reconciler.service.webhooks.payloads import parsed
from reconciler.service.webhooks.providers import PROVIDERS, Provider
from reconciler.service.webhooks.signatures import Signed

# Bodies of all requests together, before anybody knows whether they are signed. One peer gets through the
# default limit of calls with 30 MiB in the time that a body may take.
_MAX_HELD_BYTES: Final = 16 * MAX_BYTES
# With what the engine may take this leaves almost half a second for everything else.
STORE_TIMEOUT_S: Final = 0.2
# Questions to a stuck store that are under way at once; beyond them every delivery counts as new.
_MOST_QUESTIONS: Final = 32
# Who delivers again by hand does so within a day.
REPLAY_S: Final = 24 * 3600
# Without an id two honest deliveries may be equal; one swallowed is as late as one poll.
REPLAY_WITHOUT_ID_S: Final = 60
# Lines a minute about refused deliveries of one source: anybody can send those.
_REFUSALS_PER_MINUTE: Final = 10

_FORM: Final = "application/x-www-form-urlencoded"

log = structlog.get_logger()


@dataclass(frozen=True)
class _Hook:
    """A source that may be told, with what its deliveries are judged by."""

    source: SourceSpec
    provider: Provider
    secret: str
    header: str


@dataclass(frozen=True)
class _Told:
    """A believed delivery that makes us fetch. `key` stands for its id and every byte of it."""

    event: str
    delivery: str
    key: str

    def outcome(self, result: Result, status: int, detail: str) -> Outcome:
        return Outcome(result, status, detail, event=self.event, delivery=self.delivery)


class Receiver:
    """Takes deliveries for one process. It counts for itself; repeats are known to all replicas."""

    def __init__(self, deps: Deps, sources: Callable[[], Mapping[str, SourceSpec]]) -> None:
        self._deps = deps
        self._sources = sources
        self._hints = Hints(deps.engine)
        self._peers = Buckets()
        self._believed = Buckets()
        self._lines = Buckets()
        self._room = Room(_MAX_HELD_BYTES)
        self._late: set[asyncio.Task[bool]] = set()

    async def receive(self, request: Request) -> Response:
        """Answer one delivery, whatever it is."""
        hook = self._hook(request.path_params["source"])
        outcome = NOT_FOUND if hook is None else await self._outcome(hook, request)
        # Names that nobody configured share one label: anybody can make them up.
        self._deps.metrics.webhooks.labels(hook.source.name if hook else "unknown", outcome.result).inc()
        if hook is not None:
            self._log(hook.source.name, outcome)
        body = {"result": outcome.result, "detail": outcome.detail}
        return JSONResponse(body, outcome.status, headers=outcome.headers)

    def _hook(self, name: str) -> _Hook | None:
        source = self._sources().get(name)
        if source is None or source.webhook is None:
            return None
        secret = self._deps.configured.current.secrets.get(source.webhook.secret)
        if not secret:
            # Between two configurations. With an empty key everybody could sign.
            return None
        return _Hook(source, PROVIDERS[source.webhook.provider], secret, source.webhook.header or "")

    async def _outcome(self, hook: _Hook, request: Request) -> Outcome:
        caller, name = peer(request.client.host if request.client else ""), hook.source.name
        per_minute, now = self._deps.configured.current.spec.limits.webhooks_per_minute, self._deps.now()
        # Strangers use up their own calls only: those of the source count once the signature is right.
        wait_s = self._believed.wait_s(name, per_minute, now) or self._peers.take(caller, per_minute, now)
        if wait_s:
            return limited(wait_s)
        held = Held(self._room)
        try:
            body = await held.read(request)
            if isinstance(body, Outcome):
                return body
            signed = Signed(request.headers, body, hook.secret, self._deps.now(), hook.header)
            refusal = hook.provider.verify(signed)
            if refusal is not None:
                return refused(refusal, hook.header or hook.provider.signed_by)
            self._peers.give_back(caller, per_minute, now)
            if wait_s := self._believed.take(name, per_minute, now):
                return limited(wait_s)
            told = _told(hook, signed)
        finally:
            held.give_back()
        return told if isinstance(told, Outcome) else await self._hint(name, told)

    async def _hint(self, name: str, told: _Told) -> Outcome:
        if not await self._is_new(name, told):
            return told.outcome(Result.REPLAYED, 200, "This delivery was taken before.")
        if await self._hints.give(f"source/{name}"):
            return told.outcome(Result.ACCEPTED, 202, "The source will be looked at now.")
        return told.outcome(Result.REMEMBERED, 202, "The source will be looked at once the database answers.")

    async def _is_new(self, name: str, told: _Told) -> bool:
        """Whether nobody took this delivery before. A store that does not answer in time did not see it."""
        if len(self._late) >= _MOST_QUESTIONS:
            return True
        window_s = REPLAY_S if told.delivery else REPLAY_WITHOUT_ID_S
        asking = self._deps.store.first_time(
            f"hook/{name}", told.key, now=self._deps.now(), within_s=window_s
        )
        question = await within(asking, STORE_TIMEOUT_S)
        if not question.done():
            self._late.add(question)
            question.add_done_callback(self._late.discard)
        return question.result() if succeeded(question) else True

    def _log(self, name: str, outcome: Outcome) -> None:
        fields = {"source": name, "result": outcome.result.value}
        if outcome.status in (200, 202):
            log.info("webhook", **fields, event_name=outcome.event, delivery=outcome.delivery)
        elif outcome.status != 429 and not self._lines.take(name, _REFUSALS_PER_MINUTE, self._deps.now()):
            log.warning("webhook_refused", **fields, reason=outcome.reason)


def _told(hook: _Hook, signed: Signed) -> _Told | Outcome:
    """What a believed delivery asks for, or how it is answered where it asks for nothing."""
    provider, headers = hook.provider, signed.headers
    name = headers.get(provider.event, "") if provider.event else ""
    delivery = next((value for header in provider.deliveries if (value := headers.get(header))), "")
    if provider.read is not None:
        form = provider.form and headers.get("content-type", "").strip().lower().startswith(_FORM)
        body = parsed(signed.body, form=form)
        if body is None:
            return UNREADABLE
        event = provider.read(name, body)
        delivery = delivery or event.delivery
        decision = decide(event, followed(hook.source.url, hook.source.ref))
        if decision is not Decision.FETCH:
            ping = decision is Decision.PING
            result = Result.PING if ping else Result.IGNORED
            detail = "" if ping else f"Nothing is done: {decision}."
            return Outcome(result, 200, detail, event=printable(name), delivery=printable(delivery))
    # The id alone is not enough: GitLab gives one to several events of one push.
    key = hashlib.sha256(delivery.encode("utf-8", "replace") + b"\0")
    key.update(signed.body)
    return _Told(printable(name), printable(delivery), key.hexdigest())
