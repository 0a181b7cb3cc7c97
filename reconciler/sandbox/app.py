"""From an HTTP request to a handler and back: body, project, settings, transaction, headers."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from reconciler.sandbox import settings
from reconciler.sandbox.errors import ApiError, invalid
from reconciler.sandbox.routes import JSON_MAX_BYTES, Route, match
from reconciler.sandbox.state import State
from reconciler.sandbox.wire import Call, Reply, error_reply, new_request_id, service_headers

PREFIX = "/api/projects/"


class App:
    """The request handler of one server over one state file."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever is wrong with it ends as an envelope."""
        request_id = new_request_id()
        try:
            answer = await self._answer(request)
        except ApiError as e:
            answer = error_reply(e, request_id)
        except sqlite3.OperationalError as e:
            answer = error_reply(ApiError(503, f"The state file is not available: {e}."), request_id)
        headers = service_headers(request_id, request.headers.get("x-ms-client-request-id"))
        return _response(answer, headers)

    async def _answer(self, request: web.BaseRequest) -> Reply:
        path, _, query = request.raw_path.partition("?")
        project, segments = _split(path)
        found = match(request.method, segments)
        if found is None:
            raise ApiError(404, f"No route {request.method} {path}.")
        route, params = found
        body = await read_body(request, route.max_bytes)
        parsed = parse_query(query)
        with self._state.transaction(write=route.writes) as db:
            effective = settings.effective(db, project)
            if route.api_version and not parsed.get("api-version"):
                raise ApiError(400, "Missing required query parameter: api-version", param="api-version")
            headers = {name.lower(): value for name, value in request.headers.items()}
            return route.handler(
                Call(request.method, project, params, parsed, headers, body, effective, db, time.time())
            )


def _split(path: str) -> tuple[str, list[str]]:
    if not path.startswith(PREFIX):
        raise ApiError(404, f"No route {path}.")
    raw_project, _, rest = path[len(PREFIX) :].partition("/")
    try:
        project = unquote(raw_project, errors="strict")
        segments = [unquote(segment, errors="strict") for segment in rest.split("/")]
    except UnicodeDecodeError as e:
        raise invalid("The path is not valid UTF-8.") from e
    return project, segments


def parse_query(query: str) -> dict[str, str]:
    """The last value of each query parameter.

    Raises:
        ApiError: 400, not UTF-8 or absurdly many parameters.
    """
    try:
        return dict(parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100))
    except ValueError as e:
        raise invalid("The query string is not valid.") from e


async def read_body(request: web.BaseRequest, max_bytes: int = JSON_MAX_BYTES) -> bytes:
    """The whole body, decompressed.

    Raises:
        ApiError: 413 above `max_bytes`; 400 when it breaks off or its encoding is broken.
    """
    if not request.body_exists:
        return b""
    too_big = ApiError(413, f"The request body is larger than {max_bytes} bytes.")
    if (request.content_length or 0) > max_bytes:
        raise too_big
    chunks, size = [], 0
    try:
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > max_bytes:
                raise too_big
            chunks.append(chunk)
    except (HttpProcessingError, web.RequestPayloadError, ConnectionError, asyncio.IncompleteReadError) as e:
        raise invalid("The request body could not be read.") from e
    return b"".join(chunks)


def _response(answer: Reply, headers: dict[str, str]) -> web.Response:
    headers |= answer.headers
    if answer.body:
        headers.setdefault("Content-Type", answer.content_type)
    return web.Response(status=answer.status, body=answer.body or None, headers=headers)


__all__ = ["App", "Route", "parse_query", "read_body"]
