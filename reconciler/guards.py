"""Verdicts on a whole plan: limits, renames, stale checkouts, empty sources. Pure; no change is edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.kinds.kind import Action, Change, Context, Registry
from reconciler.options import Allow
from reconciler.policies import Severity, Verdict
from reconciler.resource import Desired, Mark, digest_of

# Below this many agents a share says nothing: one of three is a third.
_LEAST_FOR_SHARE: Final = 10


@dataclass(frozen=True)
class Limits:
    """How much one run may delete or update: a number of agents, and per cent of the owned ones (0-100)."""

    deletes: int = 5
    deletes_percent: int = 30
    updates_percent: int = 50


# Whether a commit is an ancestor of the checkout; None where the history does not tell.
IsAncestor = Callable[[str], bool | None]


def judge_plan(
    changes: Sequence[Change],
    ctx: Context,
    allow: Allow,
    kinds: Registry,
    is_ancestor: IsAncestor,
) -> tuple[Verdict, ...]:
    """The verdicts on single changes of one Project: refusals of their own, stale checkouts, renames."""
    found: list[Verdict] = []
    for change in changes:
        found += [_refuse(item.rule, change, item.message, item.hint) for item in change.blocked]
    if not allow.older:
        found += _stale(changes, ctx, is_ancestor)
    if not allow.rename:
        found += _renames(changes, kinds)
    return tuple(found)


def judge_limits(changes: Sequence[Change], ctx: Context, limits: Limits) -> tuple[Verdict, ...]:
    """The verdicts on the Project as a whole; they need every change of it (rule D2)."""
    return (*_deletes(changes, ctx, limits), *_updates(changes, ctx, limits))


def empty_source(desired: Sequence[Desired], *, narrowed: bool, allow: Allow) -> tuple[Verdict, ...]:
    """Nothing desired is far more often a wrong path than a wish to delete everything (rule I6)."""
    if desired or allow.empty:
        return ()
    if narrowed:
        message = "no manifest matches --selector or --only"
        hint = "Compare the labels with `reconciler validate`; nothing is deleted by a narrowed run."
    else:
        message = "the source has no agents for this Project, which never means to delete all"
        hint = (
            "Check `resources` and `selector` of the Project and the path. If nothing is really wanted, "
            "pass --allow-empty; the limits of deletions still hold."
        )
    return (Verdict(Severity.REFUSE, "empty-source", None, message, hint, None),)


def _refuse(rule: str, change: Change, message: str, hint: str) -> Verdict:
    place = change.desired.place if change.desired else None
    return Verdict(Severity.REFUSE, rule, change.key, message, hint, place)


def newest_mark(change: Change, ctx: Context) -> Mark | None:
    """Our newest genuine mark on what was read of this resource."""
    live = change.live
    for version in live.known if live else ():
        if ctx.ours(version.mark) and version.mark and version.mark.genuine(change.key, version.number):
            return version.mark
    return None


def _stale(changes: Sequence[Change], ctx: Context, is_ancestor: IsAncestor) -> list[Verdict]:
    """Rule P3: an older checkout does not overwrite what a newer one made."""
    found = []
    for change in changes:
        mark = None if change.action is Action.NONE else newest_mark(change, ctx)
        if mark is None or not mark.commit or not ctx.commit:
            continue
        if mark.commit == ctx.commit or not _is_newer(mark, ctx, is_ancestor):
            continue
        message = (
            f"{change.key.local} was last applied from commit {mark.commit[:12]}, "
            f"which this checkout ({ctx.commit[:12]}) does not contain"
        )
        hint = "Update the checkout and run again; --allow-older applies this one all the same."
        found.append(_refuse("stale-checkout", change, message, hint))
    return found


def _is_newer(mark: Mark, ctx: Context, is_ancestor: IsAncestor) -> bool:
    known = is_ancestor(mark.commit)
    if known is None:
        return mark.time > ctx.time > 0
    return not known


def _renames(changes: Sequence[Change], kinds: Registry) -> list[Verdict]:
    """Rule D4: a new name is a new identity, and the role grants of the old one are lost."""
    made = [change for change in changes if change.action is Action.CREATE and change.desired]
    gone = [change for change in changes if change.action is Action.DELETE and not change.blocked]
    found = []
    for old in gone:
        latest = old.live.latest if old.live else None
        for new in made:
            if latest is None or new.desired is None or old.key.kind != new.key.kind:
                continue
            normal = kinds[old.key.kind].normal
            if digest_of(normal(latest.form)["definition"]) == digest_of(
                normal(new.desired.form)["definition"]
            ):
                message = f"{old.key.local} would be deleted and made anew as {new.key.local}"
                hint = (
                    "An agent cannot be renamed: the new one has another identity and none of its role "
                    "grants. Keep the name, or pass --allow-rename."
                )
                found += [_refuse("rename-loses-identity", change, message, hint) for change in (old, new)]
    return found


def _deletes(changes: Sequence[Change], ctx: Context, limits: Limits) -> list[Verdict]:
    """Rule D2: all deletions together or none, so that nobody finds the first five gone."""
    gone = [change for change in changes if change.action is Action.DELETE and not change.blocked]
    if len(gone) <= 1:
        return []
    owned = sum(1 for change in changes if newest_mark(change, ctx) is not None)
    share_pct = 100 * len(gone) / max(owned, 1)
    broken = []
    if len(gone) > limits.deletes:
        broken.append(f"`sync.limits.deletes: {limits.deletes}`")
    if share_pct > limits.deletes_percent:
        broken.append(f"`sync.limits.deletes_percent: {limits.deletes_percent}`")
    if not broken:
        return []
    message = (
        f"{len(gone)} of {owned} owned agents ({share_pct:.0f} %) would be deleted, more than "
        f"{' and '.join(broken)}; none is"
    )
    hint = (
        "Look at the plan. If it is right, raise the limit in the Project, or for this run only with "
        f"--max-deletes {len(gone)}."
    )
    return [Verdict(Severity.REFUSE, "delete-limit", None, message, hint, None)]


def _updates(changes: Sequence[Change], ctx: Context, limits: Limits) -> list[Verdict]:
    """Most agents of this very commit differing from it: comparing went wrong, Git did not move."""
    if not ctx.commit or ctx.dirty:
        return []
    ours = [change for change in changes if (mark := newest_mark(change, ctx)) and mark.commit == ctx.commit]
    updated = [change for change in ours if change.action in (Action.UPDATE, Action.ADOPT) and change.pending]
    share_pct = 100 * len(updated) / max(len(ours), 1)
    if len(ours) < _LEAST_FOR_SHARE or share_pct <= limits.updates_percent:
        return []
    message = (
        f"{len(updated)} of {len(ours)} agents that this very commit made would be updated again "
        f"({share_pct:.0f} %), more than `sync.limits.updates_percent: {limits.updates_percent}`"
    )
    hint = "Look at the differences; if they are real, raise the limit in the Project."
    return [Verdict(Severity.REFUSE, "update-limit", change.key, message, hint, None) for change in updated]
