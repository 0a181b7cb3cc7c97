"""Why the web side of the service does not do what it was asked: each with its HTTP status."""

from __future__ import annotations

from reconciler.errors import ReconcilerError


class Refusal(ReconcilerError):
    """A request that cannot be answered as it was asked."""

    status = 400


class NotFound(Refusal):
    """There is no such thing, or whoever asks may not know of it."""

    status = 404


class SignInNeeded(Refusal):
    """Nobody knows who asks."""

    status = 401


class Forbidden(Refusal):
    """Whoever asks may not do this."""

    status = 403


class Conflicting(Refusal):
    """It was asked for something that has changed meanwhile."""

    status = 409


class TooMany(Refusal):
    """Asked too often; in `retry_after_s` seconds there may be an answer."""

    status = 429

    def __init__(self, message: str, *, retry_after_s: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
