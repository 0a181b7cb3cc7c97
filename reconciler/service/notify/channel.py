"""What every way out has in common: it takes events in order, and says how far it got."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from reconciler.errors import ReconcilerError
from reconciler.service.records import EventRecord


class NotSent(ReconcilerError):
    """Something was not taken, and is sent again later. The message names no address and no secret.

    Args:
        retry_after_s: how long to wait at least, 0 where nobody said.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float = 0.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Settled:
    """The id of the last event that is settled, and how many messages were taken on the way there."""

    id: int
    sent: int


class Channel(Protocol):
    """One way out."""

    @property
    def name(self) -> str:
        """The name of its cursor, of its label in metrics and in logs: `notify/ops`, `cloudevents`."""
        ...

    def tell(self, events: Sequence[EventRecord], now: float) -> AsyncIterator[Settled]:
        """Send what these events, oldest first, are worth; yields how far that is settled.

        Raises:
            NotSent: what was not yielded is told again later.
            StoreDown: the store does not answer.
        """
        ...
