"""Every event as a CloudEvent 1.0 to one webhook, in order, each at least once, signed where a secret is set.

Sources: CloudEvents 1.0.2 (core, JSON format, HTTP binding in structured mode); Standard Webhooks 1.0.0.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import orjson
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout

from reconciler.service.notify.caller import USER_AGENT, retry_after
from reconciler.service.notify.channel import NotSent, Settled
from reconciler.service.notify.telling import page
from reconciler.service.records import EventRecord

log = structlog.get_logger("reconciler")

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
# Given up after a day: who was away that long reads the history.
MOST_AGE_S: Final = 86_400.0
_TIMEOUT: Final = ClientTimeout(total=10, connect=5)
_LONGEST_PAUSE_S: Final = 3600.0
# The receiver is there and will say the same of this event for ever.
_NEVER: Final = frozenset({400, 406, 409, 410, 411, 413, 414, 415, 422, 431})
_HINT: Final = "Check `cloud_events.url`, and that its receiver answers 2xx within 10 s."


class CloudEvents:
    """The webhook.

    Args:
        link: the service's own address, from which events get their `source`; "" makes it a path.
        clock: the time of sending in Unix seconds, which is part of the signature.
    """

    name = "cloudevents"

    def __init__(
        self,
        url: str,
        secret: str,
        link: str,
        session: ClientSession,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._key = signing_key(secret) if secret else b""
        self._link = link
        self._session = session
        self._clock = clock

    async def tell(self, events: Sequence[EventRecord], now: float) -> AsyncIterator[Settled]:
        """Send one after the other; yields each once it was taken, refused for good, or given up."""
        for event in events:
            if now - event.at > MOST_AGE_S:
                log.warning("cloud_event_given_up", id=event.id, age_s=int(now - event.at))
                yield Settled(event.id, 0)
            else:
                yield Settled(event.id, int(await self._send(event)))

    async def _send(self, event: EventRecord) -> bool:
        """Whether it was taken; False when it never will be."""
        value = cloud_event(event, self._link)
        body = orjson.dumps(value)
        headers = {"Content-Type": CONTENT_TYPE, "User-Agent": USER_AGENT}
        if self._key:
            headers |= signature(self._key, value["id"], int(self._clock()), body)
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False, timeout=_TIMEOUT
            ) as answer:
                status, later = answer.status, answer.headers.get("Retry-After", "")
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            # The address may hold a token, and the cause holds the address.
            raise NotSent(f"the webhook does not answer: {type(error).__name__}", hint=_HINT) from None
        if 200 <= status < 300:
            return True
        if status in _NEVER:
            log.warning("cloud_event_refused", id=event.id, status=status, hint=_HINT)
            return False
        pause_s = min(retry_after(later, self._clock()) or 0.0, _LONGEST_PAUSE_S)
        raise NotSent(f"the webhook answered {status}", retry_after_s=pause_s, hint=_HINT)


def cloud_event(event: EventRecord, link: str) -> dict[str, Any]:
    """The event as a JSON value; `source` and `id` together name it for ever."""
    data = {
        "type": event.type,
        "severity": event.severity,
        "project": event.project,
        "resource": event.resource,
        "message": event.message,
        "hint": event.hint,
        "source": event.source,
        "run": event.run,
        "commit": event.commit,
    }
    value: dict[str, Any] = {
        "specversion": "1.0",
        # The time beside the number: a store that was made anew counts from 1 again.
        "id": f"{event.id}-{int(event.at)}",
        "source": _source(event, link),
        "type": f"dev.reconciler.{event.type}",
        "time": datetime.fromtimestamp(event.at, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {name: text for name, text in data.items() if text},
    }
    if event.resource:
        value["subject"] = event.resource
    return value


def _source(event: EventRecord, link: str) -> str:
    if event.project:
        return page(link, event.project)
    base = link.rstrip("/")
    return f"{base}/sources/{quote(event.source, safe='')}" if event.source else f"{base}/"


def signing_key(secret: str) -> bytes:
    """The key in a secret: what `whsec_` holds in base64, else the text itself."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            pass
    return secret.encode()


def signature(key: bytes, id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks over these bytes."""
    signed = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
