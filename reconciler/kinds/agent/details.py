"""The mutable part of an agent: endpoint, card and state (rule C6). Pure."""

from __future__ import annotations

from dataclasses import replace

from reconciler.fields import FieldDiff, same
from reconciler.kinds.agent import failed
from reconciler.kinds.kind import Action, Change, Context, Drift
from reconciler.resource import Desired, Health, Json, JsonObject, Live


def compared(change: Change, desired: Desired, live: Live, ctx: Context) -> Change:
    """The change with what the mutable part needs: a patch, a state to reach, their diffs and drift.

    Nothing marks the mutable part. A disabled agent that shall be enabled is drift while its version is
    what Git says; endpoint and card are where that version came from this very commit, or without Git,
    and runs: before that they were never set.
    """
    if not desired.details and desired.enabled is None:
        return change
    patch: JsonObject = {}
    fields: list[FieldDiff] = []
    for part, stated in desired.details.items():
        found = live.details.get(part)
        for path, want, have in differences(stated, found):
            fields.append(FieldDiff("replace" if have is not None else "add", f"/{part}{path}", want, have))
        if not satisfied(stated, found):
            patch[part] = _patch(stated, found)
    drift: tuple[Drift, ...] = ()
    notes: tuple[str, ...] = ()
    enable: bool | None = None
    if live.disabled_by and desired.enabled:
        notes = (f"disabled by its {live.disabled_by}; enabling it there is not ours to do",)
    elif desired.enabled is not None and desired.enabled != live.enabled:
        enable = desired.enabled
        want, have = ("enabled", "disabled") if enable else ("disabled", "enabled")
        fields.append(FieldDiff("replace", "/state", want, have))
        if enable and not change.pending:
            drift = (Drift("disabled", by="somebody else"),)
    if patch and _unmoved(change, ctx):
        drift += (Drift("changed", by="somebody else", fields=tuple(fields)),)
    moved = bool(patch or enable is not None) and not drift
    if failed.stuck(change, ctx) and (patch or enable):
        notes += ("endpoint, card and enabling wait until a version of this manifest runs",)
    changed = replace(
        change,
        patch=patch,
        enable=enable,
        fields=(*change.fields, *fields),
        drift=(*change.drift, *drift),
        notes=(*change.notes, *notes),
        pending=change.pending or moved,
    )
    if changed.action is Action.NONE and (patch or enable is not None):
        return replace(changed, action=Action.UPDATE, reason="details")
    return changed


def _unmoved(change: Change, ctx: Context) -> bool:
    target = change.target
    mark = target.mark if target is not None and target.health is Health.ACTIVE else None
    return mark is not None and mark.commit == ctx.commit and ctx.ours(mark) and not ctx.dirty


def split(patch: JsonObject) -> tuple[JsonObject, JsonObject]:
    """The patch of the traffic alone, and the rest of it; each is empty where there is nothing of it."""
    endpoint = patch.get("agent_endpoint")
    if not isinstance(endpoint, dict) or "version_selector" not in endpoint:
        return {}, patch
    others = {key: value for key, value in endpoint.items() if key != "version_selector"}
    rest = {**patch, "agent_endpoint": others} if others else dict(patch)
    if not others:
        del rest["agent_endpoint"]
    return {"agent_endpoint": {"version_selector": endpoint["version_selector"]}}, rest


def satisfied(stated: Json, live: Json) -> bool:
    """Whether live holds everything that is stated; what is not stated is not managed."""
    return not differences(stated, live)


def differences(stated: Json, live: Json, path: str = "") -> list[tuple[str, Json, Json]]:
    """(pointer, stated, live) for each stated value that live does not hold."""
    if isinstance(stated, dict):
        if not isinstance(live, dict):
            return [(path, stated, live)]
        found: list[tuple[str, Json, Json]] = []
        for key, value in stated.items():
            found += differences(value, live.get(key), f"{path}/{key}")
        return found
    if isinstance(stated, list):
        return _list_differences(stated, live, path)
    return [] if same(stated, live) else [(path, stated, live)]


def _list_differences(stated: list[Json], live: Json, path: str) -> list[tuple[str, Json, Json]]:
    """Items are matched by type or id where they have one; an extra live item is a difference."""
    if not isinstance(live, list) or len(live) != len(stated):
        return [(path, stated, live)]
    left = {_identity(item, index): item for index, item in enumerate(live)}
    for index, item in enumerate(stated):
        other = left.get(_identity(item, index))
        if other is None or differences(item, other):
            return [(path, stated, live)]
    return []


def _identity(item: Json, index: int) -> str:
    if isinstance(item, dict):
        for key in ("id", "agent_version", "type"):
            if isinstance(item.get(key), str):
                return f"{key}:{item[key]}"
    return f"#{index}"


def _patch(stated: Json, live: Json) -> Json:
    """The smallest merge patch that makes live hold what is stated; lists are replaced whole."""
    if not isinstance(stated, dict) or not isinstance(live, dict):
        return stated
    return {
        key: _patch(value, live.get(key))
        for key, value in stated.items()
        if differences(value, live.get(key))
    }
