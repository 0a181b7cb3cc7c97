"""Take in the body of a stranger's request: bounded in size, in time, and over all requests together."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from starlette.requests import ClientDisconnect, Request

from reconciler.service.webhooks.answers import (
    BODY_TIMEOUT_S,
    DISCONNECTED,
    MAX_BYTES,
    TOO_LARGE,
    TOO_SLOW,
    Outcome,
    limited,
)
from reconciler.service.webhooks.limits import Room

_LENGTH: Final = re.compile(r"[0-9]{1,15}")


class Held:
    """The body of one request, as long as it is needed; `room` is shared by all."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._count = 0

    async def read(self, request: Request) -> bytes | Outcome:
        """The body, or how to answer instead. Counts what comes: what was declared may be a lie."""
        declared = request.headers.get("content-length", "")
        if _LENGTH.fullmatch(declared) and int(declared) > MAX_BYTES:
            return TOO_LARGE
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > MAX_BYTES:
                        return TOO_LARGE
                    if not self._room.take(len(chunk)):
                        return limited(round(BODY_TIMEOUT_S))
                    self._count += len(chunk)
                    body += chunk
        except TimeoutError:
            return TOO_SLOW
        except ClientDisconnect:
            return DISCONNECTED
        return bytes(body)

    def give_back(self) -> None:
        """The body is not needed any more."""
        self._room.give_back(self._count)
        self._count = 0
