"""Versions that could not start: what is said, what is made anew, what waits for them (rule R4). Pure."""

from __future__ import annotations

from reconciler.kinds.kind import Change, Context
from reconciler.resource import Desired, Health, Live, Strategy, Version


def named(desired: Desired) -> tuple[str, ...]:
    """The versions that Git itself gives traffic: `release.version`, or those of a selector by hand."""
    if desired.release.version:
        return (desired.release.version,)
    if desired.release.strategy is not Strategy.MANUAL:
        return ()
    endpoint = desired.details.get("agent_endpoint")
    selector = endpoint.get("version_selector") if isinstance(endpoint, dict) else None
    rules = selector.get("version_selection_rules") if isinstance(selector, dict) else None
    found = [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
    return tuple(str(rule.get("agent_version")) for rule in found if rule.get("traffic_percentage"))


def idle(desired: Desired, live: Live) -> Version | None:
    """A version that Git gives traffic by hand and that does not run, as far as it was read."""
    if desired.release.strategy is not Strategy.MANUAL:
        return None
    found = [version for version in live.known if version.number in named(desired)]
    return next((version for version in found if version.health is not Health.ACTIVE), None)


def runs(desired: Desired, live: Live) -> bool:
    """Whether all that Git gives traffic by hand is there and runs."""
    found = [live.version(number) for number in named(desired)]
    return bool(found) and all(version and version.health is Health.ACTIVE for version in found)


def anew(change: Change, ctx: Context) -> bool:
    """Whether the failed version is made once more.

    One that Git names would come back under another number, and Git would name nothing.
    """
    target, desired = change.target, change.desired
    if target is None or desired is None or target.health is not Health.FAILED:
        return False
    return ctx.retries(change.key) and target.number not in named(desired)


def stuck(change: Change, ctx: Context) -> bool:
    """Whether the release has come to its end with a version that failed, and all that follows it waits."""
    target = change.target
    return target is not None and target.health is Health.FAILED and not anew(change, ctx)


def notes(target: Version, desired: Desired) -> tuple[str, ...]:
    """Why a version is not active, in the service's words and with the remedy."""
    if target.health is not Health.FAILED:
        return (f"version {target.number} is being provisioned",)
    if target.number in named(desired):
        where = "release.version" if desired.release.version else "endpoint.version_selector"
        return (_text(target), f"name a version that runs in `{where}`")
    return (_text(target), "mend it and change the manifest, or run with --retry-failed")


def _text(version: Version) -> str:
    """`version 7 failed: code: message`, as far as the service said it."""
    failure = version.failure
    parts = (f"version {version.number} failed", failure.code, failure.message) if failure else ()
    return ": ".join(part for part in parts if part) or f"version {version.number} failed"
