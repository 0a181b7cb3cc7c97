"""Desired against live for one agent: what matches, what is to release, who changed what. Pure.

Rules C1 to C7, R2, R4 to R6, M2, M4, M5 and P9 are decided here and nowhere else.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.fields import FieldDiff, field_diffs, same
from reconciler.kinds.agent import details, failed, named
from reconciler.kinds.agent.normal import FOREIGN_METADATA, normal
from reconciler.kinds.kind import Action, Change, Context, Drift, Refusal
from reconciler.pointers import without
from reconciler.resource import Desired, Health, Json, JsonObject, Key, Live, Strategy, Version, traffic_text


def ours(key: Key, version: Version, ctx: Context) -> bool:
    """Whether our genuine mark is on this version (rule M2)."""
    return version.mark is not None and ctx.ours(version.mark) and version.mark.genuine(key, version.number)


def equal(desired: Desired, version: Version, ctx: Context) -> bool:
    """Whether a create of `desired` would make this very version again (rules C1 and C2)."""
    if ours(desired.key, version, ctx) and version.mark and version.mark.spec == desired.fingerprint:
        return True
    want, have = _comparable(desired, version.form)
    return same(want, have) and _same_code(desired, version, ctx) and _same_foreign(desired, version)


def _comparable(desired: Desired, form: JsonObject) -> tuple[JsonObject, JsonObject]:
    name, ignore = desired.key.name, desired.lifecycle.ignore
    return normal(without(desired.form, ignore), name), normal(without(form, ignore), name)


def _same_foreign(desired: Desired, version: Version) -> bool:
    stated = desired.form.get("metadata", {})
    live = version.form.get("metadata", {})
    return all(live.get(key) == stated[key] for key in FOREIGN_METADATA & stated.keys())


def _same_code(desired: Desired, version: Version, ctx: Context) -> bool:
    """Whether the deployed zip is the folder's. A mark tells without zipping; else the zip's hash does."""
    if desired.code is None:
        return True
    deployed = version.form.get("definition", {}).get("code_configuration", {}).get("content_hash", "")
    mark = version.mark
    if mark and mark.code_sha256 == deployed and mark.spec == desired.fingerprint:
        return True
    return bool(deployed) and ctx.code_sha256 is not None and ctx.code_sha256(desired.code) == deployed


def _same_meaning(desired: Desired, version: Version, ctx: Context) -> bool:
    """Whether only description, metadata or mark differ (rule C4)."""
    want, have = _comparable(desired, version.form)
    left, right = want.get("definition"), have.get("definition")
    return (same(left, right) or _only_added(left, right)) and _same_code(desired, version, ctx)


def _only_added(desired: Json, live: Json) -> bool:
    """Whether live has nothing but keys more that no schema knows: the service put them there, not Git."""
    from reconciler import schema

    diffs = field_diffs({"definition": desired}, {"definition": live})
    return all(diff.op == "remove" and not schema.knows(diff.path) for diff in diffs)


def looks(desired: Desired | None, live: Live, ctx: Context) -> tuple[str, ...] | None:
    """Which versions must be read before comparing: () for none, None for all of them.

    The latest comes with the list; the serving one costs one request where it is another; all of them
    are read only for an agent whose latest and serving versions do not answer the question (rule R2).
    """
    latest = live.latest
    if latest is None or live.all_versions:
        return ()
    if desired is None:
        if latest.mark is None:
            # An edit that lost its metadata may lie on our versions; a first version has none below it.
            return None if latest.order > 1 else ()
        return () if ours(live.key, latest, ctx) else None
    if _in_sync(desired, live, ctx):
        return ()
    pin = desired.release.version
    wanted = [number for number, _ in live.traffic] + [*named.numbers(desired)]
    unread = tuple(number for number in dict.fromkeys(wanted) if live.version(number) is None)
    unsigned = latest.mark is None or not latest.mark.genuine(live.key, latest.number)
    if unsigned and latest.order > 1 and _touched(desired, live, ctx):
        # Another owner's mark may lie below an edit, and nothing else would make it worth reading (rule M4).
        return None
    if pin:
        return unread
    by_hand = desired.release.strategy is Strategy.MANUAL
    able = by_hand or latest.number in dict(live.traffic) or ours(live.key, latest, ctx)
    if able and latest.health is Health.ACTIVE and equal(desired, latest, ctx):
        return unread
    if len(live.traffic) == 1 and live.serving != latest.number:
        if unread:
            return unread
        serving = live.version(live.serving)
        if serving and serving.health is Health.ACTIVE and equal(desired, serving, ctx):
            return ()
    return None


def _touched(desired: Desired, live: Live, ctx: Context) -> bool:
    """Whether something is written even where no version is made."""
    moves = bool(desired.release.version) and live.serving != desired.release.version
    switches = desired.enabled is not None and desired.enabled != live.enabled
    described = all(
        details.satisfied(stated, live.details.get(part)) for part, stated in desired.details.items()
    )
    return moves or switches or not described or ctx.mark_equal


def _in_sync(desired: Desired, live: Live, ctx: Context) -> bool:
    """Whether the usual case holds, in which all of the rest comes to nothing at five times the cost (C1)."""
    latest, stated = live.latest, desired.details or desired.lifecycle.protect or desired.release.version
    if latest is None or latest.mark is None or latest.mark.spec != desired.fingerprint:
        return False
    whole = not (latest.draft or live.versions or live.warnings or stated) and desired.enabled is None
    serves = latest.health is Health.ACTIVE and live.traffic == ((latest.number, 100),)
    return whole and serves and ours(desired.key, latest, ctx)


def compare(key: Key, desired: Desired | None, live: Live | None, ctx: Context) -> Change:
    """What is to do for one agent; `kinds/agent/ladder.py` turns it into steps."""
    if desired is None:
        return _not_desired(key, live, ctx)
    if live is None or live.latest is None:
        return _missing(key, desired)
    if _in_sync(desired, live, ctx):
        return Change(key, Action.NONE, "equal", desired, live, target=live.latest, base=live.latest)
    change = _with_target(desired, live, ctx)
    if live.warnings:
        change = replace(change, notes=(*change.notes, *live.warnings))
    return _blocked(details.compared(change, desired, live, ctx), desired, live, ctx)


def _missing(key: Key, desired: Desired) -> Change:
    stated = {**desired.form, "metadata": desired.form.get("metadata", {})}
    fields = tuple(
        FieldDiff("add", f"/{part}/{name}" if name else f"/{part}", desired=value)
        for part, found in stated.items()
        for name, value in (found.items() if isinstance(found, dict) else [("", found)])
    )
    gone = named.missing(desired, None, adds=True)
    change = Change(key, Action.CREATE, "missing", desired, None, fields=fields, enable=desired.enabled)
    return replace(change, blocked=(gone,)) if gone else change


def _with_target(desired: Desired, live: Live, ctx: Context) -> Change:
    key = desired.key
    target = _target(desired, live, ctx)
    newest = next((version for version in live.known if ours(key, version, ctx)), None)
    if target is None:
        return _to_create(desired, live, newest, ctx)
    change = Change(key, Action.NONE, "equal", desired, live, target=target, base=target)
    change = replace(change, unmarked=not ours(key, target, ctx), notes=_mark_notes(desired, target, ctx))
    # A version pinned in Git stays the one that serves: a marked copy of it would be another version.
    marks = ctx.mark_equal and not desired.release.version and target is not named.idle(desired, live)
    if marks and (change.unmarked or _protection_unmarked(desired, target)):
        return replace(change, action=Action.ADOPT, reason="mark", target=None, pending=True)
    if target.health is not Health.ACTIVE:
        notes = (*failed.notes(target, desired), *change.notes)
        return replace(change, action=Action.UPDATE, reason=str(target.health), pending=True, notes=notes)
    if desired.release.strategy is Strategy.MANUAL:
        return change
    return _traffic(change, desired, newest, ctx)


def _mark_notes(desired: Desired, target: Version, ctx: Context) -> tuple[str, ...]:
    """What the mark of an equal version says otherwise than the manifest."""
    mark, notes = target.mark, list[str]()
    if _protection_unmarked(desired, target):
        notes.append(
            "`lifecycle.protect` is not in the mark before the next version; `apply --mark` writes it now"
        )
    if mark is not None and mark.genuine(desired.key, target.number) and not ctx.ours(mark):
        notes.append(f"version {target.number} carries the mark of `{mark.owner}`")
    return tuple(notes)


def _protection_unmarked(desired: Desired, target: Version) -> bool:
    """Whether protection is known to the manifest only, and would go with it (rule D3)."""
    return desired.lifecycle.protect and target.mark is not None and not target.mark.protect


def _target(desired: Desired, live: Live, ctx: Context) -> Version | None:
    """The newest active version equal to desired that may get traffic; else one on its way (R2, R4)."""
    serving = {number for number, share in live.traffic if share}
    if desired.release.version:
        return live.version(desired.release.version)
    if idle := named.idle(desired, live):
        return idle
    # Where Git itself says the traffic, any equal version will do: nothing is released to it from here.
    by_hand = desired.release.strategy is Strategy.MANUAL
    able = [
        version
        for version in live.known
        if not version.draft
        and version.health in (Health.ACTIVE, Health.CREATING, Health.FAILED)
        and (by_hand or version.number in serving or ours(desired.key, version, ctx))
        and not _refused(version, live, ctx)
        and equal(desired, version, ctx)
    ]
    for health in (Health.ACTIVE, Health.CREATING, Health.FAILED):
        for version in able:
            if version.health is health:
                return version
    return None


def _refused(version: Version, live: Live, ctx: Context) -> bool:
    """Where the service refuses a selector for this agent, an older version cannot be released (R2).

    A new one can, as long as traffic follows the latest; under a selector that stays it would serve nothing.
    """
    moves = live.selector is None and live.traffic != ((version.number, 100),)
    return moves and live.key in ctx.selector_refused


def _traffic(change: Change, desired: Desired, newest: Version | None, ctx: Context) -> Change:
    """Whether traffic is where it belongs, moves there, or was moved by somebody and is held (R5, P9)."""
    live, target = change.live, change.target
    assert live is not None
    assert target is not None
    now = traffic_text(live.traffic)
    if now == target.number:
        return change
    pinned = bool(desired.release.version)
    pending = pinned or newest is None or not equal(desired, newest, ctx)
    fields = _fields_of_traffic(target.number, now)
    moved = replace(change, action=Action.MOVE, reason="release", fields=fields, pending=pending)
    if live.selector is None:
        outside = () if _ours_or_none(change.key, live.latest, ctx) else _drift_changed(change, newest, ctx)
        return replace(moved, reason="drift" if outside and not pending else "release", drift=outside)
    if now in _left_by_us(change.key, target, newest if pending else None, ctx):
        return replace(moved, pending=True)
    drift = (Drift("redirected", version=now, fields=fields, by="somebody else"),)
    if ctx.takes(change.key) or pinned:
        return replace(moved, reason="redirected", drift=drift)
    return replace(change, held=True, drift=drift, reason="redirected", fields=fields)


def _left_by_us(key: Key, target: Version, newest: Version | None, ctx: Context) -> set[str]:
    """Where our own unfinished release, or one that Git has reverted, may have left the traffic."""
    left = set(ctx.left.get(key, ()))
    served = ctx.served.get(key, "")
    if served == target.number:
        # That release was done: whoever moved the traffic since, it was not us.
        return left
    # Nobody moved it since the last release was done, and Git wants another version now.
    left.add(served)
    if target.mark and ours(key, target, ctx):
        left.add(target.mark.pinned)
    if newest is not None and newest.mark is not None:
        left |= {newest.number, newest.mark.pinned}
    return left - {""}


def _ours_or_none(key: Key, version: Version | None, ctx: Context) -> bool:
    return version is None or ours(key, version, ctx)


def _fields_of_traffic(wanted: str, now: str) -> tuple[FieldDiff, ...]:
    return (FieldDiff("replace", "/endpoint/version_selector", desired=wanted, live=now),)


def _drift_changed(change: Change, base: Version | None, ctx: Context) -> tuple[Drift, ...]:
    """What somebody's latest version changed, against the version of ours before it."""
    outside = change.live.latest if change.live else None
    base = base or change.target
    if outside is None or base is None:
        return ()
    fields = field_diffs(normal(base.form, change.key.name), normal(outside.form, change.key.name))
    return (Drift("changed", outside.number, outside.created_at, _author(change.key, outside, ctx), fields),)


def _author(key: Key, version: Version, ctx: Context) -> str:
    """Who made a version: us, a copied mark, somebody else (rule P9)."""
    if ours(key, version, ctx):
        return "us"
    return "a copied mark" if version.mark is not None else "somebody else"


def _to_create(desired: Desired, live: Live, newest: Version | None, ctx: Context) -> Change:
    """No version can be released as it is: an update, an adoption, or nothing but metadata (C4, M5)."""
    latest = live.latest
    assert latest is not None
    # Who serves says nothing about the version to make where Git itself says the traffic.
    by_hand = desired.release.strategy is Strategy.MANUAL
    base = latest if by_hand else live.version(live.serving) or latest
    if desired.release.version:
        return Change(desired.key, Action.UPDATE, "pinned", desired, live, base=base)
    want, have = _comparable(desired, base.form)
    fields = field_diffs(want, have) or _code_field(desired)
    action = Action.UPDATE if newest is not None else Action.ADOPT
    change = Change(desired.key, action, "changed", desired, live, fields=fields, base=base, pending=True)
    serves = any(number == latest.number for number, _ in live.traffic)
    if newest is not None and serves and not ours(desired.key, latest, ctx):
        outside = _drift_changed(change, newest, ctx)
        change = replace(change, drift=outside, pending=not equal(desired, newest, ctx))
    defers = desired.release.metadata_only == "defer" and base.health is Health.ACTIVE
    if defers and _same_meaning(desired, base, ctx) and live.serving:
        note = "only description or metadata differ; they travel with the next change of the definition"
        return replace(change, action=Action.NONE, reason="metadata", target=base, drift=(), notes=(note,))
    theirs = len(live.traffic) > 1 and not by_hand
    if action is Action.ADOPT and theirs and not ctx.takes(desired.key):
        split = (Drift("redirected", version=traffic_text(live.traffic), by="somebody else"),)
        return replace(change, action=Action.NONE, held=True, drift=split, reason="redirected")
    return change


def _code_field(desired: Desired) -> tuple[FieldDiff, ...]:
    return (FieldDiff("replace", "/code", desired=desired.code.tree[:12]),) if desired.code else ()


def _blocked(change: Change, desired: Desired, live: Live, ctx: Context) -> Change:
    """Refusals that belong to this agent: another owner (M4), another kind of definition (C7)."""
    gone = named.missing(desired, live, adds=change.target is None and not desired.release.version)
    if gone:
        change = replace(change, action=Action.UPDATE, reason="pinned", blocked=(*change.blocked, gone))
    if change.action is Action.NONE:
        return change
    blocked = list(change.blocked)
    owner = _other_owner(live, ctx)
    if owner and not ctx.take_over:
        blocked.append(
            Refusal(
                "owner",
                f"{change.key.local} belongs to `{owner}`, and this project is `{ctx.owner}`",
                "If it shall move here, run with --take-over; if both names are you, list the other "
                "in `owner_aliases`.",
            )
        )
    was = (live.latest.form if live.latest else {}).get("definition", {}).get("kind")
    now = desired.form.get("definition", {}).get("kind")
    if was != now and not desired.lifecycle.allow_kind_change and change.target is None:
        blocked.append(
            Refusal(
                "kind-change",
                f"{change.key.local} is {was} and would become {now}",
                "Give the new one another name, or set `lifecycle.allow_kind_change: true`.",
            )
        )
    return replace(change, blocked=tuple(blocked))


def _other_owner(live: Live, ctx: Context) -> str:
    """The owner of the newest genuine mark when that is not us, else ""."""
    for version in live.known:
        if version.mark and version.mark.genuine(live.key, version.number):
            return "" if ctx.ours(version.mark) else version.mark.owner
    return ""


def _not_desired(key: Key, live: Live | None, ctx: Context) -> Change:
    """An agent without a manifest: ours is deleted, anybody else's is left alone (D1)."""
    assert live is not None
    marked = [version for version in live.known if ours(key, version, ctx)]
    if not marked or live.latest is None or _other_owner(live, ctx):
        at = live.latest.created_at if live.latest else 0
        number = live.latest.number if live.latest else ""
        there = (Drift("unmanaged", number, at, "somebody else"),)
        return Change(key, Action.NONE, "unmanaged", None, live, drift=there)
    mark = marked[0].mark
    assert mark is not None
    change = Change(key, Action.DELETE, "removed", None, live, base=marked[0], pending=True)
    if mark.on_remove == "keep":
        note = "its manifest said `on_remove: keep`"
        return replace(change, action=Action.NONE, reason="kept", notes=(note,))
    if mark.protect:
        return replace(change, blocked=(_protected(key, "its manifest set `lifecycle.protect`"),))
    if not ours(key, live.latest, ctx):
        drift = _drift_changed(change, marked[0], ctx)
        change = replace(change, drift=drift)
        if not ctx.delete_edited:
            return replace(change, blocked=(_edited(key, live.latest),))
    return change


def _protected(key: Key, why: str) -> Refusal:
    return Refusal(
        "protected",
        f"{key.local} is protected: {why}",
        "Bring the manifest back, apply it with `protect: false` and `--mark`, then remove it; "
        "or list the name in `sync.forget`.",
    )


def _edited(key: Key, latest: Version) -> Refusal:
    return Refusal(
        "protected",
        f"{key.local} was edited: version {latest.number} was made by somebody else",
        "Look at the edit with `reconciler drift`; delete it all the same with --delete-edited.",
    )
