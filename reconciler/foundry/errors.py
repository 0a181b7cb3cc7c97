"""Foreign errors become ours once, here, with the service's code, request id and the remedy."""

from __future__ import annotations

import errno
import json
import math
import socket
import ssl
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError, DecodeError, HttpResponseError

from reconciler.errors import (
    Conflict,
    ServiceBroken,
    ServiceError,
    ServiceUnreachable,
    Throttled,
    Unauthorized,
)
from reconciler.foundry.rate import Paused
from reconciler.foundry.sending import retry_after_s
from reconciler.masking import Masker
from reconciler.remedies import remedy

_MOST_CHARS: Final = 500
_MOST_NAME_CHARS: Final = 100
_REQUEST_ID_HEADERS: Final = ("x-request-id", "apim-request-id", "x-ms-client-request-id")
_TYPES: Final[dict[int, type[ServiceError]]] = {
    401: Unauthorized,
    403: Unauthorized,
    407: Unauthorized,
    409: Conflict,
    429: Throttled,
}
_PROXY: Final = "the proxy (HTTPS_PROXY, HTTP_PROXY, NO_PROXY)"
_ELSEWHERE: Final = f"Something else answers there: check the endpoint of the Project and {_PROXY}."
_SIGN_IN: Final = (
    "Sign in: `az login` on a laptop, the login step in a pipeline, workload identity in a cluster; or set "
    "AZURE_TENANT_ID, AZURE_CLIENT_ID and a secret or certificate. `reconciler doctor` tells what was tried."
)
_mask = Masker()


@contextmanager
def translated(what: str, endpoint: str) -> Iterator[None]:
    """Errors of azure-core that leave the block are `ServiceError`s that say `what` failed on `endpoint`."""
    try:
        yield
    except Paused as error:
        raise Throttled(
            _refused(f"cannot {what} at {endpoint}", error.wait_s), status=429, hint=remedy("", 429)
        ) from None
    except DecodeError as error:
        raise _lost(what, endpoint, error) from error
    except ClientAuthenticationError as error:
        # The sign-in service's own refusals have this type too.
        if error.response is None or not _asked(error.response).startswith(endpoint):
            message = f"cannot {what}: no credential of this machine gives a token for {endpoint}"
            raise Unauthorized(message, hint=_SIGN_IN) from error
        raise from_response(what, endpoint, error.response) from error
    except HttpResponseError as error:
        if error.response is None:
            raise _lost(what, endpoint, error) from error
        raise from_response(what, endpoint, error.response) from error
    except ValueError as error:
        raise no_json(what, endpoint) from error
    except (AzureError, OSError, zlib.error) as error:
        raise _lost(what, endpoint, error) from error


def no_json(what: str, endpoint: str) -> ServiceUnreachable:
    """An answer that the service does not give: nothing is known about what happened."""
    return ServiceUnreachable(
        f"cannot {what}: the answer of {endpoint} is not the service's", hint=_ELSEWHERE
    )


def _lost(what: str, endpoint: str, error: BaseException) -> ServiceUnreachable:
    why, hint = _reason(list(_chain(error)))
    return ServiceUnreachable(f"cannot {what}: {why} at {endpoint}", hint=hint)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, outermost first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _reason(chain: list[BaseException]) -> tuple[str, str]:
    """Why no answer came, and what to do. A refusing proxy is also a refused connection: it comes first."""
    import aiohttp

    proxy = (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)
    if any(isinstance(error, proxy) for error in chain):
        return "the proxy lets nothing through", f"Check {_PROXY}, and what it allows."
    if any(isinstance(error, ssl.SSLCertVerificationError) for error in chain):
        return "no trusted certificate", (
            "A proxy that looks into TLS signs with its own authority: name that in SSL_CERT_FILE. Without "
            "such a proxy somebody else answers for the service, or the host in the endpoint is misspelt."
        )
    if any(isinstance(error, ssl.SSLError) for error in chain):
        return "no TLS", "The port does not speak TLS: check scheme and port of the endpoint."
    if any(isinstance(error, socket.gaierror) for error in chain):
        return "no such host", (
            "Check the account name in the endpoint of the Project. A private endpoint resolves only inside "
            "its network."
        )
    codes = {error.errno for error in chain if isinstance(error, OSError)}
    if errno.ECONNREFUSED in codes:
        return "nothing listens", "Check host and port of the endpoint, and that the server runs."
    if any(isinstance(error, TimeoutError) for error in chain):
        return "no answer in time", f"Check the network and {_PROXY}; `reconciler doctor` tests each."
    return "no answer", (
        f"The connection was lost. Check the endpoint, the network and {_PROXY}; `reconciler doctor` tests "
        "each."
    )


def from_response(what: str, endpoint: str, response: Any) -> ServiceError:
    """The error that a refused or failed answer stands for."""
    status = int(response.status_code)
    body, page = _body(response)
    code = _mask.text(str(body.get("code") or ""))[:_MOST_NAME_CHARS]
    detail = " ".join(_mask.text(str(body.get("message") or "")).split())[:_MOST_CHARS]
    message, hint = f"cannot {what} at {endpoint}", remedy(code, status)
    if 300 <= status < 400:
        # Only the host: the rest of a login page's address may hold secrets.
        host = urlsplit(str(response.headers.get("Location") or "")).hostname or "another address"
        message, hint = f"{message}: it sends us to {host}", _ELSEWHERE
    elif status == 407:
        hint = f"The proxy wants a sign-in: check {_PROXY}."
    elif page and status < 500:
        message, hint = f"{message}: a web page answers, not the service", _ELSEWHERE
    elif status == 429:
        message = _refused(message, retry_after_s(response))
    error_type = _TYPES.get(status, ServiceBroken if status >= 500 else ServiceError)
    return error_type(
        message,
        status=status,
        code=code,
        request_id=_request_id(response, body),
        detail=detail,
        hint=hint,
    )


def _refused(message: str, wait_s: float | None) -> str:
    asks = f" and asks to wait {math.ceil(wait_s)} s" if wait_s else ""
    return f"{message}: the service refuses requests for now{asks}"


def _asked(response: Any) -> str:
    return str(getattr(response.request, "url", ""))


def _body(response: Any) -> tuple[dict[str, Any], bool]:
    """The `error` object of an answer and whether it is a web page; {} for anything a proxy may put there."""
    try:
        text = response.text()
        page = text.lstrip()[:1] == "<"
        payload = json.loads(text)
    except (ValueError, LookupError, AzureError, zlib.error, RecursionError):
        # An unknown charset, a body that was never read, broken compression: the status says enough.
        return {}, "html" in str(response.headers.get("Content-Type") or "")
    found = payload.get("error", payload) if isinstance(payload, dict) else {}
    if isinstance(found, str):
        return {"code": found, "message": payload.get("message") or payload.get("error_description")}, page
    return (found if isinstance(found, dict) else {}), page


def _request_id(response: Any, body: dict[str, Any]) -> str:
    extra = body.get("additionalInfo")
    if isinstance(extra, dict) and extra.get("request_id"):
        return _mask.text(str(extra["request_id"]))[:_MOST_NAME_CHARS]
    headers = response.headers
    found = next((str(headers[name]) for name in _REQUEST_ID_HEADERS if headers.get(name)), "")
    return _mask.text(found)[:_MOST_NAME_CHARS]
