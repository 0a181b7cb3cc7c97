"""What a policy says about a resource."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.errors import Place
from reconciler.resource import Key


class Severity(StrEnum):
    """How much a verdict weighs; a refusal blocks the resource and all deletes (rule I3)."""

    OFF = "off"
    INFO = "info"
    WARN = "warn"
    REFUSE = "refuse"

    @property
    def weight(self) -> int:
        """For sorting: 0 for off to 3 for refuse."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Verdict:
    """One policy's opinion on one resource; it never edits a change.

    `key` is None where the whole Project is meant. `message` says what is wrong, what is allowed and how
    old that knowledge is, never a secret; `hint` what to write.
    """

    severity: Severity
    rule: str
    key: Key | None
    message: str
    hint: str
    place: Place | None
