"""Versions that could not start: what is said, what is made anew, what waits for them (rule R4). Pure."""

from __future__ import annotations

from reconciler.kinds.agent import named
from reconciler.kinds.kind import Change, Context
from reconciler.resource import Desired, Health, Version


def anew(change: Change, ctx: Context) -> bool:
    """Whether the failed version is made once more.

    One that Git names would come back under another number, and Git would name nothing.
    """
    target, desired = change.target, change.desired
    if target is None or desired is None or target.health is not Health.FAILED:
        return False
    return ctx.retries(change.key) and target.number not in named.numbers(desired)


def stuck(change: Change, ctx: Context) -> bool:
    """Whether the release has come to its end with a version that failed, and all that follows it waits."""
    target = change.target
    return target is not None and target.health is Health.FAILED and not anew(change, ctx)


def notes(target: Version, desired: Desired) -> tuple[str, ...]:
    """Why a version is not active, in the service's words and with the remedy."""
    if target.health is not Health.FAILED:
        return (f"version {target.number} is being provisioned",)
    if target.number in named.numbers(desired):
        return (_text(target), f"name a version that runs in `{named.where(desired)}`")
    return (_text(target), "mend it and change the manifest, or run with --retry-failed")


def _text(version: Version) -> str:
    """`version 7 failed: code: message`, as far as the service said it."""
    failure = version.failure
    parts = (f"version {version.number} failed", failure.code, failure.message) if failure else ()
    return ": ".join(part for part in parts if part) or f"version {version.number} failed"
