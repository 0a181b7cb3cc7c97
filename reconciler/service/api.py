"""The JSON API under `/api/v1`: requests are checked against the table and answered with views."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from reconciler.errors import ReconcilerError, explain
from reconciler.model_findings import findings
from reconciler.service.actions import Actions
from reconciler.service.api_handlers import Handlers
from reconciler.service.api_openapi import PREFIX, document
from reconciler.service.api_operations import MOST_ITEMS, OPERATIONS, Asked, Handle, Operation, Problem
from reconciler.service.auth.authenticator import Authenticator
from reconciler.service.auth.forms import body_of
from reconciler.service.deps import Deps
from reconciler.service.records import Page
from reconciler.service.refusals import Refusal, SignInNeeded, TooMany
from reconciler.service.store import StoreDown
from reconciler.service.views import Views
from reconciler.suggest import did_you_mean, listed

log = structlog.get_logger("reconciler")

_ITEMS: Final = 50
_MOST_OFFSET: Final = 10**9
_MOST_CHARS: Final = 300


def routes(deps: Deps, views: Views, actions: Actions, auth: Authenticator) -> list[Mount]:
    """The API as routes of the service's application."""
    handlers = Handlers(views, actions)
    masked = _Masked(deps)
    inner = [
        Route(
            operation.path,
            _endpoint(operation, getattr(handlers, operation.handler), auth),
            methods=[operation.method],
        )
        for operation in OPERATIONS
    ]
    app = Starlette(
        routes=[*inner, Route("/openapi.json", _openapi)],
        exception_handlers={
            ReconcilerError: masked.refused,
            HTTPException: _no_such_route,
            500: _broken,
        },
    )
    return [Mount(PREFIX, app)]


def _endpoint(operation: Operation, handle: Handle, auth: Authenticator) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        caller = await auth.caller(request)
        query, page = _query(operation, request)
        body = await _body(operation, request)
        path = {name: str(value) for name, value in request.path_params.items()}
        answer = await handle(Asked(caller.identity, path, query, page, body))
        headers = {"Link": _links(request, page, answer.total)} if operation.paged else {}
        return _json(_adapter(operation.handler).dump_json(answer), headers=headers)

    return endpoint


@cache
def _adapter(handler: str) -> TypeAdapter[Any]:
    """Writes the answers of an operation; building one takes milliseconds."""
    return TypeAdapter(next(each.answer for each in OPERATIONS if each.handler == handler))


# What was asked


def _query(operation: Operation, request: Request) -> tuple[dict[str, str], Page]:
    """The parameters of a request and its page.

    Raises:
        Refusal: a parameter is unknown, repeated, or has a value that it cannot have.
    """
    params = {param.name: param for param in operation.params}
    known = [*params, *(("limit", "offset") if operation.paged else ())]
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            otherwise = f"There are {listed(known)}." if known else "It takes none."
            raise Refusal(
                f"there is no parameter {name[:60]!r}", hint=did_you_mean(name[:60], known, otherwise)
            )
        if name in found:
            raise Refusal(f"`{name}` is there twice", hint="Send it once.")
        if len(value) > _MOST_CHARS:
            raise Refusal(f"`{name}` has more than {_MOST_CHARS} characters", hint="Send less.")
        choices = params[name].choices if name in params else ()
        if choices and value not in choices:
            hint = did_you_mean(value, choices, f"It is one of {listed(choices, 20)}.")
            raise Refusal(f"`{name}` cannot be {value[:60]!r}", hint=hint)
        if name in params and params[name].number:
            _number(value, name, 0, _MOST_OFFSET)
        found[name] = value
    limit = _number(found.pop("limit", str(_ITEMS)), "limit", 1, MOST_ITEMS)
    offset = _number(found.pop("offset", "0"), "offset", 0, _MOST_OFFSET)
    return found, Page(limit, offset)


def _number(text: str, name: str, least: int, most: int) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= most:
        return int(text)
    raise Refusal(f"`{name}` cannot be {text[:60]!r}", hint=f"Write a number from {least} to {most}.")


async def _body(operation: Operation, request: Request) -> Any:
    """The body as its model, None where the operation takes none.

    Raises:
        Refusal: it is no JSON, or has not the right fields; each problem is named.
    """
    if operation.body is None:
        return None
    required = any(field.is_required() for field in operation.body.model_fields.values())
    if not required and request.headers.get("content-length", "0") == "0" and not _chunked(request):
        return operation.body()
    content = await body_of(request, "application/json")
    try:
        value = orjson.loads(content or b"{}")
        if not isinstance(value, dict):
            raise Refusal("the body is no JSON object", hint="Send a JSON object, in braces.")
        return operation.body.model_validate(value)
    except orjson.JSONDecodeError as error:
        raise Refusal(
            f"the body is no JSON: line {error.lineno}, column {error.colno}", hint="Send a JSON object."
        ) from None
    except ValidationError as error:
        found = findings(error, operation.body)
        said = "; ".join(f"`{'.'.join(map(str, f.path)) or 'body'}`: {f.message}" for f in found)
        hint = next((f.hint for f in found if f.hint), "The fields are in /api/v1/openapi.json.")
        raise Refusal(f"the body cannot be used: {said}", hint=hint) from None


def _chunked(request: Request) -> bool:
    return "transfer-encoding" in request.headers


def _links(request: Request, page: Page, total: int) -> str:
    """Where the other parts of a list are, relative to this address, so that they hold behind any proxy."""
    others = [(k, v) for k, v in request.query_params.multi_items() if k not in ("limit", "offset")]
    last = max(0, (total - 1) // page.limit * page.limit)
    places = {"first": 0, "last": last}
    if page.offset > 0:
        places["prev"] = max(0, min(page.offset - page.limit, last))
    if page.offset + page.limit < total:
        places["next"] = page.offset + page.limit
    return ", ".join(
        f'<?{urlencode([*others, ("limit", page.limit), ("offset", offset)])}>; rel="{rel}"'
        for rel, offset in places.items()
    )


# How it is answered


class _Masked:
    """Answers to what could not be done. What others told us may hold a secret of the configuration."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ReconcilerError)
        status = error.status if isinstance(error, Refusal) else 503 if error.retryable else 500
        if not isinstance(error, Refusal):
            log.error("api_failed", path=request.scope["path"], error=explain(error))
        headers = {}
        if isinstance(error, SignInNeeded):
            headers["WWW-Authenticate"] = 'Bearer realm="reconciler"'
        if isinstance(error, TooMany):
            headers["Retry-After"] = str(error.retry_after_s)
        if isinstance(error, StoreDown):
            headers["Retry-After"] = "5"
        masker = self._deps.configured.current.masker()
        return problem(status, masker.text(str(error)), masker.text(error.hint), headers)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hint = f"{PREFIX}/openapi.json lists what there is."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return problem(405, f"{request.method} is not possible here", hint, dict(error.headers or {}))
    return problem(error.status_code, "there is no such address", hint)


async def _broken(request: Request, error: Exception) -> Response:
    return problem(500, "the service failed", "The service's log says why.")


def problem(status: int, detail: str, hint: str, headers: dict[str, str] | None = None) -> Response:
    """An answer by RFC 9457."""
    body = Problem(HTTPStatus(status).phrase, status, detail, hint)
    content = orjson.dumps(body)
    return Response(content, status, headers, media_type="application/problem+json")


def _json(content: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(content, 200, headers, media_type="application/json")


@cache
def _document() -> bytes:
    return orjson.dumps(document())


async def _openapi(request: Request) -> Response:
    return _json(_document())
