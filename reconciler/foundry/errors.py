"""Foreign errors become ours once, here, with the service's code, request id and the remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from reconciler.errors import (
    Conflict,
    ServiceBroken,
    ServiceError,
    ServiceUnreachable,
    Throttled,
    Unauthorized,
)
from reconciler.remedies import remedy

_MOST_CHARS: Final = 500
_REQUEST_ID_HEADERS: Final = ("x-request-id", "apim-request-id", "x-ms-client-request-id")


@contextmanager
def translated(what: str, endpoint: str) -> Iterator[None]:
    """Errors of azure-core that leave the block are `ServiceError`s that say `what` failed on `endpoint`."""
    try:
        yield
    except HttpResponseError as error:
        if error.response is None:
            raise _no_answer(what, endpoint) from error
        raise from_response(what, endpoint, error.response) from error
    except (ServiceRequestError, ServiceResponseError) as error:
        raise _no_answer(what, endpoint) from error
    except AzureError as error:
        raise _no_answer(what, endpoint) from error
    except (TimeoutError, ConnectionError) as error:
        raise _no_answer(what, endpoint) from error


def _no_answer(what: str, endpoint: str) -> ServiceUnreachable:
    return ServiceUnreachable(
        f"cannot {what}: no answer from {endpoint}",
        hint="Check the endpoint of the Project, the network and the proxy; `reconciler doctor` tests each.",
    )


def from_response(what: str, endpoint: str, response: Any) -> ServiceError:
    """The error that a refused or failed answer stands for."""
    status = int(response.status_code)
    body = _body(response)
    code = str(body.get("code") or "")
    detail = str(body.get("message") or "").strip()[:_MOST_CHARS]
    error_type = _TYPES.get(status, ServiceBroken if status >= 500 else ServiceError)
    return error_type(
        f"cannot {what} at {endpoint}",
        status=status,
        code=code,
        request_id=_request_id(response, body),
        detail=detail,
        hint=remedy(code, status),
    )


_TYPES: Final[dict[int, type[ServiceError]]] = {
    401: Unauthorized,
    403: Unauthorized,
    409: Conflict,
    429: Throttled,
}


def _body(response: Any) -> dict[str, Any]:
    """The `error` object of an answer; {} for anything else that a proxy may have put there."""
    try:
        text = response.text() if callable(getattr(response, "text", None)) else ""
        payload = json.loads(text)
    except (ValueError, AttributeError, RuntimeError):
        return {}
    error = payload.get("error") if isinstance(payload, dict) else None
    return error if isinstance(error, dict) else {}


def _request_id(response: Any, body: dict[str, Any]) -> str:
    extra = body.get("additionalInfo")
    if isinstance(extra, dict) and extra.get("request_id"):
        return str(extra["request_id"])
    headers = getattr(response, "headers", {})
    return next((str(headers[name]) for name in _REQUEST_ID_HEADERS if headers.get(name)), "")


def is_unknown_outcome(error: ServiceError) -> bool:
    """Whether a write that failed like this may have happened all the same (rule P5)."""
    return isinstance(error, ServiceUnreachable | ServiceBroken)


__all__ = ["ClientAuthenticationError", "from_response", "is_unknown_outcome", "translated"]
