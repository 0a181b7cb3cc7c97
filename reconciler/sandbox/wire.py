"""One request as a handler sees it, one answer as it gives it, and the service's headers and envelopes."""

from __future__ import annotations

import secrets
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from reconciler.sandbox.errors import ApiError, invalid
from reconciler.sandbox.settings import Settings

Json = dict[str, Any]

MAX_DEPTH = 128
"""Nesting of JSON that is accepted. The serialiser ends at 254, and what is stored is sent in an envelope."""

JSON_TYPE = "application/json; charset=utf-8"
SUPPORTED_VERSIONS = "1.0,2025-05-15-preview,2025-11-15-preview"


def parse_json(content: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ApiError: 400, it is not JSON, or nested more than `MAX_DEPTH` deep.
    """
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as e:
        raise invalid(f"The request body is not valid JSON: {e}.") from e
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return value
    raise invalid(f"The request body is nested more than {MAX_DEPTH} deep.")


@dataclass(frozen=True)
class Call:
    """A request whose route is known and whose body is read.

    `params` are the decoded segments of the route, `query` the last value of each parameter, `headers` has
    lower-case names, `now` is Unix seconds. `db` is inside the transaction of this request.
    """

    method: str
    project: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    settings: Settings
    db: sqlite3.Connection
    now: float

    def json(self) -> Json:
        """The body as a JSON object.

        Raises:
            ApiError: 400, the body is not JSON or not an object.
        """
        value = parse_json(self.body)
        if not isinstance(value, dict):
            raise invalid("The request body must be a JSON object.")
        return value

    def json_or_empty(self) -> Json:
        """The body as a JSON object; an absent body counts as an empty one."""
        return self.json() if self.body.strip() else {}

    def flag(self, name: str) -> bool:
        """A boolean query parameter, false when absent.

        Raises:
            ApiError: 400, neither `true` nor `false` in any case.
        """
        text = self.query.get(name, "false").lower()
        if text not in ("true", "false"):
            raise invalid(f"Query parameter '{name}' must be true or false.", name)
        return text == "true"


@dataclass(frozen=True)
class Reply:
    """Status, bytes and headers of an answer; `content_type` is not sent when there is no body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


Handler = Callable[[Call], Reply]


def dumps(value: object) -> bytes:
    """Compact JSON in the order of insertion."""
    return orjson.dumps(value)


def reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer with `value` as JSON."""
    return Reply(status, dumps(value), headers or {})


def error_reply(error: ApiError, request_id: str) -> Reply:
    """The envelope of `error`, with the request id where the service repeats it."""
    return Reply(error.status, dumps(envelope(error, request_id)), error.headers)


def envelope(error: ApiError, request_id: str) -> Json:
    """The service's error body.

    Source: recorded 400, 403 and 404 answers of the agents and toolboxes routes.
    """
    inner: Json = {
        "code": error.code,
        "message": f"{error.message} [Request ID: {request_id}]",
        "type": "invalid_request_error" if error.status in (400, 403, 413, 415) else "error",
    }
    if error.param is not None:
        inner["param"] = error.param
    inner |= {"details": [], "additionalInfo": {"request_id": request_id}}
    return {"error": inner}


def new_request_id() -> str:
    """32 lower-case hex digits, as in X-Request-ID and `error.additionalInfo.request_id`."""
    return secrets.token_hex(16)


def service_headers(request_id: str, client_request_id: str | None) -> dict[str, str]:
    """What the real service sends with every answer.

    Source: recorded responses; the region is made up.
    """
    headers = {
        "apim-request-id": str(uuid.uuid4()),
        "X-Request-ID": request_id,
        "x-ms-region": "Sandbox",
        "x-ms-response-type": "standard",
        "api-supported-versions": SUPPORTED_VERSIONS,
        "Access-Control-Expose-Headers": "X-Request-ID,apim-request-id,x-ms-region,x-ms-response-type",
    }
    # A header value with line breaks would end the header block; such a value is not echoed.
    if client_request_id and client_request_id.isprintable() and client_request_id.isascii():
        headers["x-ms-client-request-id"] = client_request_id
    return headers
