"""The HTTP server of the service: uvicorn, for strangers who send slowly or never finish what they began.

Imports uvicorn, so whoever imports this is about to serve.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

import h11
from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

# How long a connection is kept for the next request.
_KEEP_ALIVE_S: Final = 15


class BoundedProtocol(H11Protocol):
    """One connection. Whoever owes us the rest of a request for too long is hung up on.

    `headers_s` is how long they may take from the connection, or the last answer, to their last line;
    `body_s` is for the whole body, whoever reads it. Webhooks and forms want theirs sooner and say so.
    """

    # uvicorn itself waits for ever.
    headers_s: ClassVar[float] = 20.0
    body_s: ClassVar[float] = 30.0

    _owes: type[h11.SEND_BODY] | type[h11.IDLE] | None = None
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Somebody connected: the headers are due."""
        super().connection_made(transport)
        self._watch()

    def handle_events(self) -> None:
        """Something came in, or an answer is out and the next request begins."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """An answer is out."""
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """What came in is no HTTP, which ends the connection: who works on an answer works for nobody."""
        if self.cycle is not None:
            # Or it would write into a connection that is over, and fail with a traceback.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        super().connection_lost(exc)
        self._expect(None)

    def _watch(self) -> None:
        state = self.conn.their_state
        if self.transport.is_closing() or state not in (h11.IDLE, h11.SEND_BODY):
            self._expect(None)
        elif state is not self._owes:
            self._expect(state)

    def _expect(self, state: type[h11.SEND_BODY] | type[h11.IDLE] | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._owes, self._patience = state, None
        if state is not None:
            after_s = self.headers_s if state is h11.IDLE else self.body_s
            # Not closed in order: that waits for somebody who does not read either.
            self._patience = self.loop.call_later(after_s, self.transport.abort)


def server_of(app: ASGIApp) -> Server:
    """A server for the application; it listens where its `serve` is told to."""
    return Server(
        Config(
            app,
            http=BoundedProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=5,
            lifespan="off",
        )
    )
