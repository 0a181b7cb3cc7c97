"""What can go wrong: starting the server (`SandboxError`) and answering a request (`ApiError`)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class SandboxError(Exception):
    """The sandbox cannot start: its port, host or state file will not do.

    Args:
        message: what was tried, on which address or file.
        hint: what to do next; one sentence.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


CODES: Mapping[int, str] = MappingProxyType(
    {
        400: "invalid_payload",
        401: "unauthorized",
        403: "forbidden",
        404: "not_found",
        408: "request_timeout",
        409: "conflict",
        413: "payload_too_large",
        415: "unsupported_media_type",
        424: "session_not_ready",
        429: "rate_limit_exceeded",
        500: "server_error",
        502: "bad_gateway",
        503: "service_unavailable",
        504: "gateway_timeout",
    }
)
"""The error code that goes with a status when the answer does not name a more exact one."""


class ApiError(Exception):
    """An answer with the service's error envelope.

    Args:
        status: HTTP status, 400 to 599.
        message: one sentence; the request id is appended when it is sent.
        code: `error.code`; by default the usual one of the status.
        param: path of the offending field inside the body, `definition.cpu`, or a header or query name.
        headers: sent beside the usual ones, such as Retry-After.

    Source: the envelope of recorded service errors, `{"error": {"code", "message", "type", "param"?, …}}`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or CODES.get(status, "error")
        self.param = param
        self.headers = dict(headers or {})


def invalid(message: str, param: str | None = None) -> ApiError:
    """A 400 `invalid_payload` that names the field in `param`."""
    return ApiError(400, message, param=param)


def not_found(what: str, name: str) -> ApiError:
    """A 404 in the service's words: `Agent 'x' not found.`"""
    return ApiError(404, f"{what} '{name}' not found.")
