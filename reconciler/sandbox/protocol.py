"""HTTP below the handlers: what cannot be parsed, and our own mistakes, get the service's envelope too."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from reconciler.sandbox.app import respond
from reconciler.sandbox.errors import ApiError
from reconciler.sandbox.wire import error_reply, new_request_id, service_headers

SILENT = logging.Logger("sandbox.access", logging.CRITICAL)
"""Requests are in the request log; an embedding program that logs at INFO is not flooded with them."""

LINGER_S = 1.0
"""How long the rest of a body that was refused is read, so that the client sees the answer and no reset."""


class Protocol(RequestHandler):
    """A connection whose parse errors are answered in JSON."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that no handler saw, or that broke one; the connection closes after it."""
        if status >= 500:
            self.log_exception("cannot answer %s", request.rel_url, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("The answer is half sent.")
        request_id = new_request_id()
        text = "The server had an error." if status >= 500 else "The request is not valid HTTP."
        answer = respond(error_reply(ApiError(status, text), request_id), service_headers(request_id, None))
        answer.force_close()
        return answer


class Server(web.Server):
    """A low-level server whose connections are `Protocol`s."""

    def __call__(self) -> RequestHandler:
        """A new connection's protocol."""
        return Protocol(self, loop=self._loop, access_log=SILENT, lingering_time=LINGER_S)
