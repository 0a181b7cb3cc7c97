"""What every request passes before its handler: sign-in, the rate limit, the api-version."""

from __future__ import annotations

import math
import sqlite3

from reconciler.sandbox.errors import ApiError
from reconciler.sandbox.settings import Settings


def check_signed_in(authorization: str, settings: Settings) -> None:
    """With `auth` required, refuse requests without a bearer token; any token will do."""
    if settings["auth"] == "off":
        return
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise ApiError(
            401,
            "The request has no bearer token for the audience https://ai.azure.com.",
            headers={"WWW-Authenticate": 'Bearer resource="https://ai.azure.com"'},
        )


def take_token(db: sqlite3.Connection, project: str, settings: Settings, now: float) -> ApiError | None:
    """Take a token from the project's bucket; the 429 to answer with when it is empty.

    The bucket holds `burst` tokens (by default one second's worth, at least one) and is refilled at
    `per_second`. Retry-After, if sent, is in whole seconds, rounded up.
    """
    rate = settings["rate_limit.per_second"]
    size = max(1.0, settings["rate_limit.burst"] or rate)
    row = db.execute("SELECT tokens, at FROM buckets WHERE project = ?", (project,)).fetchone()
    tokens = size if row is None else min(size, row["tokens"] + max(0.0, now - row["at"]) * rate)
    allowed = tokens >= 1
    db.execute(
        "REPLACE INTO buckets (project, tokens, at) VALUES (?, ?, ?)", (project, tokens - allowed, now)
    )
    if allowed:
        return None
    wait_s = max(1, math.ceil((1 - tokens) / rate))
    headers = {"Retry-After": str(wait_s)} if settings["rate_limit.retry_after"] else {}
    return ApiError(429, "Rate limit is exceeded. Try again later.", headers=headers)


def check_api_version(given: str | None) -> None:
    """Refuse a request without the api-version parameter."""
    if not given:
        raise ApiError(400, "Missing required query parameter: api-version", param="api-version")
