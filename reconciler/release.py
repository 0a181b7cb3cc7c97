"""The ladder: which version gets which traffic next, for every kind with versions. Pure.

Creating a version is not releasing it. Nothing here remembers a phase: what is done already is not in the
ladder, so live state alone resumes after any interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from reconciler.resource import Health, Ref, Release, Step, Strategy, Traffic, Version

C_co = TypeVar("C_co", covariant=True)
C = TypeVar("C")

# One run of a project must not spend its request budget on old versions of one agent (rule R7).
MOST_RETIRED: Final = 20
_DAY_S: Final = 86_400


@dataclass(frozen=True)
class Versions:
    """What is live: every version that was read, newest first, the latest, and who serves.

    `explicit` says that a selector names the traffic; without one it follows the latest version.
    """

    all: tuple[Version, ...]
    latest: Version | None
    traffic: Traffic
    explicit: bool


@dataclass(frozen=True)
class Want:
    """What the comparison decided: the version to release, or `add` when it has to be made first.

    `move` says that the traffic may go there; `gated` that a new version is not active at once.
    """

    target: Version | None
    add: bool
    move: bool
    gated: bool


class Rungs(Protocol[C_co]):
    """Makes the steps of one resource; `version` is None for the one that this ladder adds."""

    def pin(self, version: Version) -> Step[C_co]: ...
    def add(self) -> Step[C_co]: ...
    def gate(self, version: Version | None) -> Step[C_co]: ...
    def move(self, version: Version | None) -> Step[C_co]: ...
    def retire(self, version: Version) -> Step[C_co]: ...


def ladder(want: Want, versions: Versions, rule: Release, rungs: Rungs[C]) -> tuple[Step[C], ...]:
    """The steps still to do, in order: pin, add, gate, move (rules R1 to R4). Retiring is `retirable`."""
    steps: list[Step[C]] = []
    explicit = versions.explicit
    if want.add:
        latest = versions.latest
        # The service follows the newest version at once, before it has started: pin first.
        # A draft cannot be the target of a traffic rule.
        able = latest is not None and latest.health is Health.ACTIVE and not latest.draft
        if rule.strategy is not Strategy.DIRECT and not explicit and latest is not None and able:
            steps.append(rungs.pin(latest))
            explicit = True
        steps.append(rungs.add())
    starts = want.gated if want.target is None else want.target.health is Health.CREATING
    if starts:
        steps.append(rungs.gate(want.target))
    if want.move and rule.strategy is not Strategy.MANUAL and _moves(want, versions, explicit):
        steps.append(rungs.move(want.target))
    return tuple(steps)


def _moves(want: Want, versions: Versions, explicit: bool) -> bool:
    if want.target is not None:
        return versions.traffic != ((want.target.number, 100),)
    return explicit


def retirable(
    versions: Versions,
    rule: Release,
    genuine: Callable[[Version], bool],
    *,
    before: Collection[str] = (),
    adds: bool,
    now: int,
) -> tuple[Version, ...]:
    """Old versions of ours that nothing needs, oldest first, at most 20 (rule R7).

    Args:
        genuine: whether our genuine mark is on a version.
        before: the latest version and those that served when the one to release was made: they count as if
            they still did, so that a run that waits for it deletes nothing that was not shown before.
        adds: whether this ladder makes one more version, which counts among those to keep.
        now: Unix seconds, for `keep_days`.
    """
    marked = [version for version in versions.all if genuine(version) and not version.draft]
    kept = _needed(versions, marked, rule, before)
    spare = marked[max(rule.keep - (1 if adds else 0), 0) :]
    oldest_first = sorted(spare, key=lambda version: version.order)
    old = [
        version
        for version in oldest_first
        if version.number not in kept and now - version.created_at >= rule.keep_days * _DAY_S
    ]
    if len(versions.all) + adds <= 1:
        return ()
    return tuple(old[:MOST_RETIRED])


def _needed(
    versions: Versions, marked: list[Version], rule: Release, before: Collection[str]
) -> Collection[str]:
    """Numbers that must stay: serving, pinned, latest, and the last good one before what serves."""
    serving = {number for number, _ in versions.traffic}.union(before)
    kept = serving | {rule.version} | ({versions.latest.number} if versions.latest else set())
    oldest_serving = min((int(n) for n in serving if n.isdecimal()), default=0)
    for version in marked:
        if version.health is Health.ACTIVE and version.order < oldest_serving:
            return kept | {version.number}
    return kept


def new_version(ref: Ref, version: Version | None) -> str | Ref:
    """The number of a version that exists, else the reference to the one that will."""
    return ref if version is None else version.number
