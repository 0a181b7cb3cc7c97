"""Compare desired with live for a whole project. Pure: no I/O, no clock, no logging."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final

from reconciler.kinds.kind import Action, Change, Context, Drift, Kind, Refusal, Registry
from reconciler.resource import Desired, Key, Live, LiveState

# Agents without a mark on their latest version may hide an edit that lost our mark. Looking costs a request
# each, and a project may hold thousands that were never ours: only the newest few are looked into.
MOST_UNMARKED_LOOKS: Final = 20


@dataclass(frozen=True)
class Scope:
    """What a Project says about agents that have no manifest (rules I4, D3, D4, D5).

    `elsewhere` names the Project of this repository that desires a name now. `narrowed` says that the
    run looks at a part only, so that nothing can be missing from Git.
    """

    prune: bool = True
    kept_because: str = "`sync.prune` is off"
    protect: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    narrowed: bool = False
    invalid: frozenset[Key] = frozenset()


def looks(
    desired: Mapping[Key, Desired], live: LiveState, ctx: Context, kinds: Registry, scope: Scope
) -> dict[Key, tuple[str, ...] | None]:
    """Which versions must be read before `diff` can decide; None stands for all of an agent's versions."""
    wanted: dict[Key, tuple[str, ...] | None] = {}
    unmarked: list[Live] = []
    for key, there in live.items.items():
        kind: Kind[object] = kinds[key.kind]
        want = desired.get(key)
        if want is None and (scope.narrowed or not scope.prune or key in scope.invalid):
            continue
        numbers = kind.looks(want, there, ctx)
        if numbers == ():
            continue
        if want is None and there.latest is not None and there.latest.mark is None:
            unmarked.append(there)
        else:
            wanted[key] = numbers
    unmarked.sort(key=lambda there: there.latest.created_at if there.latest else 0, reverse=True)
    wanted.update({there.key: None for there in unmarked[:MOST_UNMARKED_LOOKS]})
    return wanted


def diff(
    desired: Mapping[Key, Desired], live: LiveState, ctx: Context, kinds: Registry, scope: Scope
) -> tuple[Change, ...]:
    """One change for each resource on either side, sorted by key; equal sides give action none.

    Only a complete state lets a missing resource count as missing and an unknown one as removed.
    """
    keys = set(desired) | (set() if scope.narrowed else set(live.items))
    changes = []
    for key in sorted(keys):
        want, there = desired.get(key), live.items.get(key)
        if key in scope.invalid or (there is None and not live.complete):
            continue
        change = kinds[key.kind].compare(key, want, there, ctx)
        changes.append(_scoped(change, scope) if want is None else change)
    return tuple(_by_case(_with_missing(changes, live, ctx), live))


def _with_missing(changes: list[Change], live: LiveState, ctx: Context) -> list[Change]:
    """A create whose commit was applied before is an agent that somebody deleted (rule P9)."""
    marks = (version.mark for there in live.items.values() for version in there.known)
    applied = ctx.commit and any(mark and ctx.ours(mark) and mark.commit == ctx.commit for mark in marks)
    if not applied or ctx.dirty:
        return changes
    gone = (Drift("missing"),)
    return [replace(change, drift=gone) if change.action is Action.CREATE else change for change in changes]


def _scoped(change: Change, scope: Scope) -> Change:
    """A removal as the Project allows it: handed over, forgotten, kept or protected."""
    name = change.key.name
    if change.action is not Action.DELETE and not change.blocked:
        return change
    if name in scope.elsewhere:
        note = f"Project {scope.elsewhere[name]} desires this name now; it is handed over"
        return replace(change, action=Action.NONE, reason="handed over", blocked=(), notes=(note,))
    if any(fnmatchcase(name, glob) for glob in scope.forget):
        note = "listed in `sync.forget`: no longer managed, left as it is"
        return replace(change, action=Action.NONE, reason="forgotten", blocked=(), notes=(note,))
    if not scope.prune:
        note = f"{scope.kept_because}: it has no manifest and is left as it is"
        return replace(change, action=Action.NONE, reason="kept", blocked=(), notes=(note,))
    if any(fnmatchcase(name, glob) for glob in scope.protect):
        refusal = Refusal(
            "protected",
            f"{change.key.local} is protected by `sync.protect` of the Project",
            "Take the name off `sync.protect`, or list it in `sync.forget` to stop managing it.",
        )
        return replace(change, blocked=(*change.blocked, refusal))
    return change


def _by_case(changes: list[Change], live: LiveState) -> list[Change]:
    """Names that are equal but for case are an error (rule I5): the service may not tell them apart."""
    if not any(change.action is Action.CREATE for change in changes):
        return changes
    there = {(key.kind, key.name.casefold()): key for key in live.items}
    result = []
    for change in changes:
        other = there.get((change.key.kind, change.key.name.casefold()))
        if change.action is Action.CREATE and other is not None and other != change.key:
            refusal = Refusal(
                "name-case",
                f"{change.key.local} and the live {other.local} differ only by case",
                "Use the live spelling in the manifest, or another name.",
            )
            change = replace(change, blocked=(*change.blocked, refusal))
        result.append(change)
    return result


def drifts(change: Change) -> tuple[Drift, ...]:
    """The drift of a change that counts; unmanaged agents and idle outside versions are information."""
    return tuple(drift for drift in change.drift if drift.what != "unmanaged")
