"""The mutable part of an agent: endpoint, card and state (rule C6). Pure."""

from __future__ import annotations

from typing import Any

from reconciler.fields import FieldDiff
from reconciler.kinds.kind import Context, Drift
from reconciler.resource import Desired, Json, JsonObject, Live


def compare(desired: Desired, live: Live, ctx: Context) -> dict[str, Any]:
    """The patch, the state to reach, and their field diffs and drift, as fields of a `Change`."""
    patch: JsonObject = {}
    fields: list[FieldDiff] = []
    for part, stated in desired.details.items():
        found = live.details.get(part)
        for path, want, have in differences(stated, found):
            fields.append(FieldDiff("replace" if have is not None else "add", f"/{part}{path}", want, have))
        if not satisfied(stated, found):
            patch[part] = _patch(stated, found)
    result: dict[str, Any] = {"patch": patch}
    if patch:
        result["fields"] = tuple(fields)
    if desired.enabled is None or desired.enabled == live.enabled or live.disabled_by:
        if live.disabled_by and desired.enabled:
            result["notes"] = (f"disabled by its {live.disabled_by}; enabling it there is not ours to do",)
        return result
    result["enable"] = desired.enabled
    want, have = ("enabled", "disabled") if desired.enabled else ("disabled", "enabled")
    result["fields"] = (*fields, FieldDiff("replace", "/state", want, have))
    if desired.enabled:
        result["drift"] = (Drift("disabled", by="somebody else"),)
    return result


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
    return [] if stated == live else [(path, stated, live)]


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
