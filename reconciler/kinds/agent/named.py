"""Versions that Git gives traffic by their numbers: `release.version`, or a selector by hand. Pure."""

from __future__ import annotations

from reconciler.kinds.kind import Refusal
from reconciler.resource import Desired, Health, Live, Strategy, Traffic, Version

# What the service calls the first version of an agent; deleted agents start anew.
_FIRST = 1


def numbers(desired: Desired) -> tuple[str, ...]:
    """The numbers that Git names, in its order; none where the release finds its version itself."""
    if desired.release.version:
        return (desired.release.version,)
    return tuple(number for number, share in _by_hand(desired) if share)


def _by_hand(desired: Desired) -> Traffic:
    """The traffic of the manifest's own selector."""
    if desired.release.strategy is not Strategy.MANUAL:
        return ()
    endpoint = desired.details.get("agent_endpoint")
    selector = endpoint.get("version_selector") if isinstance(endpoint, dict) else None
    rules = selector.get("version_selection_rules") if isinstance(selector, dict) else None
    found = [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
    return tuple((str(rule.get("agent_version")), rule.get("traffic_percentage") or 0) for rule in found)


def where(desired: Desired) -> str:
    """The field of the manifest that names them."""
    return "release.version" if desired.release.version else "endpoint.version_selector"


def idle(desired: Desired, live: Live) -> Version | None:
    """A version to which Git would move traffic by hand and that does not run, as far as it was read."""
    shares = dict(_by_hand(desired))
    if shares == dict(live.selector or ()):
        return None
    found = [version for version in live.known if shares.get(version.number)]
    return next((version for version in found if version.health is not Health.ACTIVE), None)


def run(desired: Desired, live: Live) -> bool:
    """Whether all that Git names is there and runs."""
    found = [live.version(number) for number in numbers(desired)]
    return bool(found) and all(version and version.health is Health.ACTIVE for version in found)


def missing(desired: Desired, live: Live | None, *, adds: bool) -> Refusal | None:
    """The refusal of versions that are not there, where everything that Git names was read.

    Args:
        adds: whether this change makes a version, whose number may be among them.
    """
    latest = live.latest if live else None
    least = latest.order + 1 if latest else _FIRST
    gone = [number for number in numbers(desired) if live is None or live.version(number) is None]
    if adds and live is not None:
        # After a gap the service gives a higher one.
        gone = [number for number in gone if not number.isdecimal() or int(number) < least]
    elif adds:
        gone = [number for number in gone if number != str(_FIRST)]
    if not gone:
        return None
    return Refusal(
        "release-version",
        f"version {gone[0]} of {desired.key.local} does not exist",
        f"Set `{where(desired)}` to a version that `reconciler status` lists, or remove it.",
    )
