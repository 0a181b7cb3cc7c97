"""What differs between two forms, as a person would say it. Called only when they are known to differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from reconciler.resource import Json, JsonObject


@dataclass(frozen=True)
class FieldDiff:
    """One difference, desired against live. `op` is add, remove or replace; `path` a JSON Pointer."""

    op: str
    path: str
    desired: Json = None
    live: Json = None


def same(desired: Json, live: Json) -> bool:
    """Whether two JSON values say the same: 1 and 1.0 do; 1 and true do not, though Python has them equal."""
    return bool(desired == live) and _same_types(desired, live)


def _same_types(desired: Json, live: Json) -> bool:
    if isinstance(desired, dict):
        return all(_same_types(value, live[key]) for key, value in desired.items())
    if isinstance(desired, list):
        return all(_same_types(*pair) for pair in zip(desired, live, strict=True))
    return isinstance(desired, bool) == isinstance(live, bool)


# More differences than a person reads; the rest is counted in one line.
_MOST: Final = 200


def field_diffs(desired: JsonObject, live: JsonObject) -> tuple[FieldDiff, ...]:
    """Every difference by path, in document order of the pointers; () for equal values.

    Items of lists whose items all have a `type` are matched by type and name, so that one tool put in
    front of nine is one addition; that their order differs is then a difference of its own.
    """
    if same(desired, live):
        return ()
    from deepdiff import DeepDiff

    left, right = _keyed(live), _keyed(desired)
    tree = DeepDiff(left, right, view="tree", ignore_type_in_groups=[], verbose_level=2)
    found = [_diff(level) for kind in tree for level in tree[kind]]
    found += list(_reorders("", desired, live))
    found.sort(key=lambda diff: diff.path)
    if not found:
        # Equal to DeepDiff but not to `==`, such as 1 and 1.0: never hide a difference.
        return (FieldDiff("replace", "", desired, live),)
    if len(found) > _MOST:
        rest = len(found) - _MOST
        found = [*found[:_MOST], FieldDiff("replace", f"… and {rest} more differences")]
    return tuple(found)


class _Item(str):
    """A list item's key: shown as its index, matched by its type and name."""

    __slots__ = ("position",)
    position: int


def _keyed(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _keyed(item) for key, item in value.items()}
    if isinstance(value, list):
        names = _names(value)
        if names is None:
            return [_keyed(item) for item in value]
        return {name: _keyed(item) for name, item in zip(names, value, strict=True)}
    return value


def _names(items: list[Json]) -> list[str] | None:
    """`function:search#0` for each item, None when the list is not one of typed things."""
    if not items or not all(isinstance(item, dict) and isinstance(item.get("type"), str) for item in items):
        return None
    names: list[str] = []
    for position, item in enumerate(items):
        stem = f"{item['type']}:{item.get('name') or item.get('server_label') or ''}"
        name = _Item(f"{stem}#{sum(n.startswith(stem + '#') for n in names)}")
        name.position = position
        names.append(name)
    return names


def _diff(level: Any) -> FieldDiff:
    path = "".join("/" + _segment(part) for part in level.path(output_format="list"))
    kind = level.report_type
    if kind in ("dictionary_item_added", "iterable_item_added"):
        return FieldDiff("add", path, desired=_plain(level.t2))
    if kind in ("dictionary_item_removed", "iterable_item_removed"):
        return FieldDiff("remove", path, live=_plain(level.t1))
    return FieldDiff("replace", path, desired=_plain(level.t2), live=_plain(level.t1))


def _segment(part: object) -> str:
    text = str(part.position) if isinstance(part, _Item) else str(part)
    return text.replace("~", "~0").replace("/", "~1")


def _plain(value: Json) -> Json:
    """The value with keyed lists turned back into lists."""
    if isinstance(value, dict):
        if value and all(isinstance(key, _Item) for key in value):
            return [_plain(item) for item in value.values()]
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _reorders(path: str, desired: Json, live: Json) -> Iterable[FieldDiff]:
    if isinstance(desired, dict) and isinstance(live, dict):
        for key in desired.keys() & live.keys():
            yield from _reorders(f"{path}/{_segment(key)}", desired[key], live[key])
    elif isinstance(desired, list) and isinstance(live, list):
        here, there = _names(desired), _names(live)
        if here and there and here != there and sorted(here) == sorted(there):
            yield FieldDiff("replace", path, desired=here, live=there)
