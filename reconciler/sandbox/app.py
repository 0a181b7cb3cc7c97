"""From an HTTP request to a handler and back: log, faults, gates, transaction, headers."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from reconciler.sandbox import control, faults, gates, settings
from reconciler.sandbox.errors import ApiError, invalid
from reconciler.sandbox.faults import Fault
from reconciler.sandbox.patterns import Target
from reconciler.sandbox.requestlog import UNKNOWN, Entry, RequestLog
from reconciler.sandbox.routes import JSON_MAX_BYTES, Route, match
from reconciler.sandbox.state import State
from reconciler.sandbox.wire import Call, Reply, error_reply, new_request_id, service_headers

PREFIX = "/api/projects/"
MAX_PROJECT = 128


class App:
    """The request handler of one server over one state file."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._log = RequestLog()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever is wrong with it ends as an envelope."""
        request_id = new_request_id()
        target = clean(request.raw_path)
        path, _, query = _below_host(target).partition("?")
        answer: Reply | None
        if control.owns(request.method, path):
            answer = await self._own(request, path, query, request_id)
        else:
            exchange = _Exchange(request, path, query, request_id)
            # The same few clients over and over: each name is kept once.
            client = sys.intern(clean(request.headers.get("User-Agent", "")))
            entry = Entry(exchange.project, request.method, target, time.time(), client=client)
            self._log.add(entry, exchange.template)
            answer = await self._project(exchange)
            entry.status, entry.ended_at = answer.status if answer else 0, time.time()
        if answer is None:
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        return respond(
            answer, service_headers(request_id, request.headers.get("x-ms-client-request-id")), request.method
        )

    async def _own(self, request: web.BaseRequest, path: str, query: str, request_id: str) -> Reply:
        try:
            body = await read_body(request, control.MAX_BYTES)
            asked = control.Request(parse_query(query).get("project"), body, self._state, self._log)
            return control.answer(request.method, path, asked)
        except ApiError as e:
            return error_reply(e, request_id)
        except sqlite3.DatabaseError as e:
            return error_reply(_unavailable(e), request_id)

    async def _project(self, exchange: _Exchange) -> Reply | None:
        """The answer, or None when the connection is to be dropped."""
        try:
            body = await read_body(exchange.request, exchange.max_bytes)
            fault, latency_s = self._admit(exchange)
            await asyncio.sleep(latency_s)
            if fault is not None and not fault.after_commit:
                await asyncio.sleep(fault.delay_s)
                if fault.drop:
                    return None
                if fault.status is not None:
                    return fault.reply(exchange.request_id)
            answer = self._handle(exchange, body)
        except ApiError as e:
            return error_reply(e, exchange.request_id)
        except sqlite3.DatabaseError as e:
            return error_reply(_unavailable(e), exchange.request_id)
        if fault is not None and fault.after_commit:
            await asyncio.sleep(fault.delay_s)
            if fault.drop:
                return None
            if fault.status is not None:
                return fault.reply(exchange.request_id)
        return answer

    def _admit(self, exchange: _Exchange) -> tuple[Fault | None, float]:
        """The fault that this request meets, and the latency that every request has, in seconds."""
        with self._state.transaction(write=False) as db:
            effective = settings.effective(db, exchange.project)
            scripted = faults.any_rules(db)
        fault = None
        if scripted:
            target = Target(
                exchange.request.method,
                exchange.project,
                exchange.below,
                exchange.template,
                tuple(parse_qsl(exchange.query, keep_blank_values=True)),
            )
            with self._state.transaction(write=True) as db:
                fault = faults.take(db, target)
        return fault, effective["latency_s"]

    def _handle(self, exchange: _Exchange, body: bytes) -> Reply:
        """The route's own answer, its write committed. An `ApiError` of it is an answer too."""
        request, now = exchange.request, time.time()
        try:
            self._check_gates(exchange, now)
            if exchange.route is None:
                raise exchange.problem or ApiError(404, f"No route {request.method} {exchange.below}.")
            with self._state.transaction(write=exchange.route.writes) as db:
                call = Call(
                    request.method,
                    exchange.project,
                    exchange.params,
                    exchange.parsed_query,
                    headers_of(request),
                    body,
                    settings.effective(db, exchange.project),
                    db,
                    now,
                )
                return exchange.route.handler(call)
        except ApiError as e:
            return error_reply(e, exchange.request_id)

    def _check_gates(self, exchange: _Exchange, now: float) -> None:
        with self._state.transaction(write=False) as db:
            effective = settings.effective(db, exchange.project)
        gates.check_signed_in(exchange.request.headers.get("Authorization", ""), effective)
        if effective["rate_limit.per_second"] is not None:
            with self._state.transaction(write=True) as db:
                refused = gates.take_token(db, exchange.project, effective, now)
            if refused is not None:
                raise refused
        exchange.parsed_query = parse_query(exchange.query)
        if exchange.route is not None and exchange.route.api_version:
            gates.check_api_version(exchange.parsed_query.get("api-version"))


class _Exchange:
    """One request to a project: what its target says, before anything is done."""

    def __init__(self, request: web.BaseRequest, path: str, query: str, request_id: str) -> None:
        self.request, self.query, self.request_id = request, query, request_id
        self.project, self.below = "", path
        self.route: Route | None = None
        self.params: Mapping[str, str] = {}
        self.parsed_query: Mapping[str, str] = {}
        self.problem: ApiError | None = None
        try:
            self.project, segments = split_path(path)
        except ApiError as e:
            self.problem = e
            return
        self.below = "/" + "/".join(segments)
        found = match("GET" if request.method == "HEAD" else request.method, segments)
        if found is not None:
            self.route, self.params = found

    @property
    def template(self) -> str:
        return UNKNOWN if self.route is None else self.route.template

    @property
    def max_bytes(self) -> int:
        if self.route is None:
            return JSON_MAX_BYTES
        form = self.request.content_type == "multipart/form-data"
        return self.route.max_form_bytes if form else self.route.max_bytes


def clean(text: str) -> str:
    """`text` as valid Unicode: the HTTP parser hands on bytes that are not UTF-8 as lone surrogates."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def headers_of(request: web.BaseRequest) -> dict[str, str]:
    """The headers by lower-case name; one that is sent twice is joined with a comma."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        found[key] = f"{found[key]}, {clean(value)}" if key in found else clean(value)
    return found


def _below_host(target: str) -> str:
    """The path of a request target; a proxy-style target names the host first."""
    if target.startswith("/") or "://" not in target:
        return target
    return "/" + target.partition("://")[2].partition("/")[2]


def split_path(path: str) -> tuple[str, list[str]]:
    """The project and the decoded segments below it.

    Raises:
        ApiError: 404, not below a project; 400, not UTF-8, or control characters.
    """
    if not path.startswith(PREFIX):
        raise ApiError(404, f"No route {path}. Projects are under {PREFIX}.")
    raw_project, _, rest = path[len(PREFIX) :].partition("/")
    try:
        project = unquote(raw_project, errors="strict")
        segments = [unquote(segment, errors="strict") for segment in rest.split("/")]
    except UnicodeDecodeError as e:
        raise invalid("The path is not valid UTF-8.") from e
    if not all(text.isprintable() for text in (project, *segments)):
        raise invalid("The path holds control characters.")
    if not project or len(project) > MAX_PROJECT:
        raise ApiError(404, "There is no such project.")
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


async def read_body(request: web.BaseRequest, max_bytes: int) -> bytes:
    """The whole body, decompressed.

    Raises:
        ApiError: 413 above `max_bytes`; 400 when it breaks off or its encoding is broken.
    """
    if not request.body_exists:
        return b""
    too_big = ApiError(413, f"The request body is larger than {max_bytes} bytes.")
    if (request.content_length or 0) > max_bytes:
        raise too_big
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    chunks, size = [], 0
    try:
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > max_bytes:
                raise too_big
            chunks.append(chunk)
    except (HttpProcessingError, web.RequestPayloadError, ConnectionError) as e:
        raise invalid("The request body could not be read.") from e
    return b"".join(chunks)


def respond(answer: Reply, headers: dict[str, str], method: str = "GET") -> web.Response:
    """`answer` with the service's headers; a fault's own headers win over them."""
    own = {name.lower() for name in answer.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in own} | dict(
        answer.headers
    )
    empty = not answer.body or method == "HEAD" or answer.status in (204, 304)
    if not empty and "content-type" not in own:
        headers["Content-Type"] = answer.content_type
    if answer.status >= 400:
        headers["x-ms-response-type"] = "error"
    return web.Response(status=answer.status, body=None if empty else answer.body, headers=headers)


def _unavailable(error: sqlite3.DatabaseError) -> ApiError:
    return ApiError(503, f"The state file is not available: {error}.")
