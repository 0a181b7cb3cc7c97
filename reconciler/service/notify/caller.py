"""One way to call a forge: time limits, pauses that it asks for, no redirect, no token in any message."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from yarl import URL

from reconciler.masking import Masker
from reconciler.service.notify.forges import ForgeDown, ForgeError

USER_AGENT: Final = "reconciler"
_TIMEOUT: Final = ClientTimeout(total=20, connect=10)
_ATTEMPTS: Final = 3
# Asked to wait longer, the caller comes back at its next turn instead of holding this one.
_LONGEST_PAUSE_S: Final = 15.0
_FIRST_PAUSE_S: Final = 0.5
# A page of 100 comments, each as long as GitHub allows.
_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_SAID: Final = 200


@dataclass(frozen=True)
class Answer:
    """What a forge answered: status, headers, and its JSON, None where there was none."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Caller:
    """Calls one repository's API. `headers` carry the token; `hints` say what to do about a status."""

    forge: str
    address: str
    headers: Mapping[str, str] = field(repr=False)
    token: str = field(repr=False)
    session: ClientSession = field(repr=False)
    hints: Mapping[int, str] = field(default_factory=dict)
    pause: Callable[[float], Any] = asyncio.sleep

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        once: bool = False,
    ) -> Answer:
        """One answer 2xx. What the forge certainly did not do is tried again, up to three times in all.

        Args:
            path: below the address, its parts already quoted.
            once: the call makes something anew each time, so nothing is repeated whose outcome is unknown.

        Raises:
            ForgeDown: no answer, 5xx, or asked to come back later.
            ForgeError: refused.
        """
        url = URL(f"{self.address}{path}", encoded=True).update_query(dict(query or {}))
        what = f"cannot {method} {url.path} of {self.forge} at {url.host}"
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                answer = await self._sent(method, url, body)
            except (ClientError, TimeoutError, OSError, ValueError) as error:
                if last or once:
                    # The cause may hold the whole request with its headers: only its kind is told.
                    raise ForgeDown(
                        f"{what}: {type(error).__name__}",
                        hint="Check the address, the network and the proxy.",
                    ) from None
                await self.pause(_pause_s(attempt))
                continue
            asked_s = pause_asked_for(answer, time.time())
            # Somebody else held what was to be changed, for example another status of the same commit.
            conflict = answer.status == HTTPStatus.CONFLICT
            if asked_s is None and answer.status < 500 and not conflict:
                return self._good(answer, what)
            unknown = asked_s is None and once and not conflict
            if last or unknown or (asked_s or 0.0) > _LONGEST_PAUSE_S:
                raise self._down(answer, what, asked_s or 0.0)
            await self.pause(_pause_s(attempt) if asked_s is None else asked_s)
        raise AssertionError("the last attempt returns or raises")

    async def _sent(self, method: str, url: URL, body: Any) -> Answer:
        async with self.session.request(
            method, url, headers=self.headers, json=body, allow_redirects=False, timeout=_TIMEOUT
        ) as response:
            raw = await _limited(response)
            kind = response.headers.get("Content-Type", "")
            return Answer(
                response.status, response.headers, json.loads(raw) if raw and "json" in kind else None
            )

    def _good(self, answer: Answer, what: str) -> Answer:
        """The answer if it is a good one. Sign-in pages are not: Azure DevOps sends them as 203 and 302."""
        status = answer.status
        if status in (200, 201, 202, 204) and (answer.body is not None or status == HTTPStatus.NO_CONTENT):
            return answer
        if 300 <= status < 400:
            hint = self.hints.get(302, "The repository may have moved: correct `forge.repository` and `url`.")
            raise ForgeError(f"{what}: redirected, which a token does not follow", status=status, hint=hint)
        if 200 <= status < 300:
            hint = self.hints.get(401, "Check `forge.url`: it is the address of the API.")
            raise ForgeError(f"{what}: answered with something that is no JSON", status=status, hint=hint)
        raise ForgeError(
            f"{what}: {self._said(answer)}", status=status, hint=self.hints.get(status, "Check the `forge`.")
        )

    def _down(self, answer: Answer, what: str, asked_s: float) -> ForgeDown:
        return ForgeDown(
            f"{what}: {self._said(answer)}",
            status=answer.status,
            retry_after_s=asked_s,
            hint="It is tried again by itself.",
        )

    def _said(self, answer: Answer) -> str:
        """The status, and the forge's own words without our token and without line ends."""
        words = answer.body.get("message") if isinstance(answer.body, dict) else None
        if not isinstance(words, str):
            words = json.dumps(words)[:_MOST_SAID] if words else ""
        words = Masker((self.token, *self.headers.values())).text(" ".join(words.split()))[:_MOST_SAID]
        return f"HTTP {answer.status}" + (f", {words}" if words else "")


async def _limited(response: ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        raw += chunk
        if len(raw) > _MOST_BYTES:
            raise ValueError("the answer is too long")
    return bytes(raw)


def _pause_s(attempt: int) -> float:
    return _FIRST_PAUSE_S * 2.0**attempt * random.uniform(0.5, 1.0)


def pause_asked_for(answer: Answer, now: float) -> float | None:
    """How long the forge wants to be left alone, in seconds; None when it does not ask for it.

    Source: GitHub says 403 or 429 with `Retry-After`, or with `X-RateLimit-Remaining: 0` and
    `X-RateLimit-Reset` in Unix seconds; GitLab 429 with `Retry-After` and `RateLimit-Reset`; Azure DevOps
    429 or 503 with `Retry-After`. GitHub's secondary limits may be told by the message of a 403 alone.
    """
    headers = answer.headers
    given = retry_after(headers.get("Retry-After", ""), now)
    used_up = headers.get("X-RateLimit-Remaining", headers.get("RateLimit-Remaining", "")) == "0"
    if answer.status == 503 and given is not None:
        return given
    if answer.status != 429 and not (
        answer.status == 403 and (given is not None or used_up or _says(answer))
    ):
        return None
    if given is not None:
        return given
    reset = headers.get("X-RateLimit-Reset", headers.get("RateLimit-Reset", ""))
    if used_up and reset.isdecimal() and len(reset) < 12:
        return max(1.0, int(reset) - now)
    return 60.0


def _says(answer: Answer) -> bool:
    words = answer.body.get("message") if isinstance(answer.body, dict) else ""
    return "rate limit" in str(words).lower()


def retry_after(text: str, now: float) -> float | None:
    """Seconds, from a number or a date; None where the header says nothing."""
    text = text.strip()
    if text.isdecimal() and len(text) < 9:
        return float(text)
    try:
        at: datetime = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now)
