"""Forms of pages: small, and only as browsers send them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from reconciler.service.refusals import Refusal

_MOST_BYTES: Final = 64 * 1024
_MOST_FIELDS: Final = 50
# Browsers and scripts send so little at once.
_BODY_S: Final = 10.0


async def body_of(request: Request, content_type: str, within_s: float = _BODY_S) -> bytes:
    """The body of a request.

    Raises:
        Refusal: it is of another type, too large, too slow, or breaks off.
    """
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != content_type:
        raise Refusal(f"the body is not {content_type}", hint=f"Send `Content-Type: {content_type}`.")
    content = b""
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                content += chunk
                if len(content) > _MOST_BYTES:
                    raise Refusal(f"the body has more than {_MOST_BYTES // 1024} KiB", hint="Send less.")
    except TimeoutError:
        raise Refusal(f"the body did not arrive within {within_s:g} s", hint="Send it at once.") from None
    except ClientDisconnect:
        # Nobody is left to read this; it ends the request as any other that cannot be read.
        raise Refusal("the body breaks off", hint="Send all of it.") from None
    return content


async def form_of(request: Request) -> Mapping[str, str]:
    """The fields of a form.

    Raises:
        Refusal: it is no form, too large, not UTF-8, or has a NUL, which no database takes.
    """
    content = await body_of(request, "application/x-www-form-urlencoded")
    try:
        text = content.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
        if any("\x00" in value for _, value in pairs):
            raise ValueError("NUL")
    except ValueError as error:
        raise Refusal("the form cannot be read", hint="Send it as a browser does.") from error
    return dict(pairs)
