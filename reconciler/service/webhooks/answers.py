"""How deliveries are answered: a closed set of results, each with what whoever set the hook up does next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from reconciler.service.webhooks.signatures import SIGNING_TOKEN, Refusal

# GitHub lists up to 2,048 commits of a push and may send 25 MB; 3 MiB hold about 1,500 commits with files.
# What a larger push would tell, the next poll tells as well, and strangers make us read this much.
MAX_BYTES: Final = 3 * 1024 * 1024
# Providers send at once and give up after about ten seconds.
BODY_TIMEOUT_S: Final = 5.0


class Result(StrEnum):
    """What became of a delivery: the label in the metric, and `result` in the answer."""

    ACCEPTED = "accepted"
    REMEMBERED = "remembered"  # the engine could not take it down yet; it is tried again
    IGNORED = "ignored"
    REPLAYED = "replayed"
    PING = "ping"
    NOT_FOUND = "not-found"
    LIMITED = "limited"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    DISCONNECTED = "disconnected"
    UNAUTHORIZED = "unauthorized"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Outcome:
    """What became of one delivery and how it is answered.

    `detail` names cause and remedy. `event` and `delivery` are printable; `reason` is a fixed word.
    """

    result: Result
    status: int
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    event: str = ""
    delivery: str = ""
    reason: str = ""


# Where a body was not read to its end, the connection cannot be used again.
_CLOSE: Final = {"Connection": "close"}
NOT_FOUND: Final = Outcome(
    Result.NOT_FOUND,
    404,
    "No webhook is configured here. Check the last part of the address against `sources[].name`, and that "
    "the source has `webhook`.",
    _CLOSE,
)
TOO_LARGE: Final = Outcome(
    Result.TOO_LARGE,
    413,
    f"The body is larger than {MAX_BYTES // 1024 // 1024} MiB. The next poll finds the push.",
    _CLOSE,
)
TOO_SLOW: Final = Outcome(
    Result.TOO_SLOW,
    408,
    f"The body did not arrive within {BODY_TIMEOUT_S:g} seconds. Send it at once.",
    _CLOSE,
)
# Nobody is left to hear it.
DISCONNECTED: Final = Outcome(Result.DISCONNECTED, 400, headers=_CLOSE)
UNREADABLE: Final = Outcome(
    Result.UNREADABLE,
    400,
    "The body is no JSON object. Set the webhook's content type to application/json, and check that "
    "`webhook.provider` of the source is the server that sends.",
)

_CAUSES: Final[Mapping[Refusal, str]] = {
    Refusal.MISSING: "There is no {header}. "
    "Set the webhook's secret to that of `webhook.secret` of the source.",
    Refusal.REPEATED: "There is more than one {header}. Send one.",
    Refusal.SHA1: "The signature is SHA-1, which is not safe. Sign with SHA-256.",
    Refusal.MALFORMED: "{header} has not the form that this provider sends. Check `webhook.provider`.",
    Refusal.MISMATCH: "{header} does not match. Set the webhook's secret to that of `webhook.secret` of the "
    "source, and its content type to application/json.",
    Refusal.STALE: "The signed time is more than five minutes off. Check the clocks of both servers.",
    Refusal.SECRET: f"`webhook.secret` of the source starts with `{SIGNING_TOKEN}`, but no base64 follows. "
    "Copy the signing token again.",
}


def limited(wait_s: int) -> Outcome:
    """Too much at once; in `wait_s` seconds there may be room."""
    return Outcome(
        Result.LIMITED,
        429,
        "Too many deliveries; `limits.webhooks_per_minute` says how many.",
        {"Retry-After": str(wait_s), **_CLOSE},
    )


def refused(refusal: Refusal, header: str) -> Outcome:
    """A delivery that is not believed; `header` is where its signature belongs."""
    return Outcome(Result.UNAUTHORIZED, 401, _CAUSES[refusal].format(header=header), reason=refusal.value)


def printable(text: str) -> str:
    """At most 100 characters of what a stranger wrote, with `?` for all that is not plain ASCII."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:100])
