"""JSON Pointers with `*` for every item: read, put in, take out, carry over. Pure, never in place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.resource import Json, JsonObject


def parts(pointer: str) -> tuple[str, ...]:
    """The segments of an RFC 6901 pointer, unescaped; () for the whole document.

    Raises:
        ValueError: it does not start with `/`, or `~` is not part of `~0` or `~1`.
    """
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise ValueError("a pointer starts with `/`")
    return tuple(_unescaped(part) for part in pointer[1:].split("/"))


def _unescaped(part: str) -> str:
    if "~" in part.replace("~0", "").replace("~1", ""):
        raise ValueError("`~` is written `~0`, and `/` inside a name `~1`")
    return part.replace("~1", "/").replace("~0", "~")


def pointer(path: Iterable[str | int]) -> str:
    """The pointer of a path of keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def get(value: Json, pointer: str) -> list[Json]:
    """Every value that the pointer names, in document order; [] where there is none."""
    found = [value]
    for part in parts(pointer):
        found = [child for item in found for child in _children(item, part)]
    return found


def _children(value: Json, part: str) -> list[Json]:
    if isinstance(value, dict):
        if part in value:
            return [value[part]]
        return list(value.values()) if part == "*" else []
    if isinstance(value, list):
        return [value[index] for index in _indexes(value, part)]
    return []


def _indexes(items: list[Json], part: str) -> Sequence[int]:
    if part == "*":
        return range(len(items))
    return (int(part),) if part.isdecimal() and int(part) < len(items) else ()


def put(value: Json, pointer: str, new: Json) -> Json:
    """The value with `new` at every place that the pointer names; missing mappings on the way are made.

    A missing list item is not made, and `*` names only what is there.
    """
    return _put(value, parts(pointer), new)


def _put(value: Json, path: tuple[str, ...], new: Json) -> Json:
    if not path:
        return new
    head, rest = path[0], path[1:]
    if isinstance(value, list):
        at = _indexes(value, head)
        return [_put(item, rest, new) if index in at else item for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if head == "*" and head not in value:
        return {key: _put(item, rest, new) for key, item in value.items()}
    return {**value, head: _put(value.get(head, {}), rest, new)}


def without(form: JsonObject, pointers: Iterable[str]) -> JsonObject:
    """The form without what the pointers name; the form itself when they name nothing.

    A mapping on the way that is empty then goes too: `reasoning: {}` and no `reasoning` say the same
    once the effort is left out. An emptied list stays.
    """
    for one in pointers:
        form = _without(form, parts(one))
    return form


def _without(value: Json, path: tuple[str, ...]) -> Json:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(value, list):
        at = _indexes(value, head)
        if not rest:
            return [item for index, item in enumerate(value) if index not in at]
        return [_without(item, rest) if index in at else item for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    at_keys = list(value) if head == "*" and head not in value else [head] if head in value else []
    result = dict(value)
    for key in at_keys:
        left = _without(value[key], rest) if rest else {}
        if left == {}:
            del result[key]
        else:
            result[key] = left
    return result


def carried(form: JsonObject, live: JsonObject, pointers: Iterable[str]) -> JsonObject:
    """The form with what the pointers name taken from `live`, which also means absent where it is absent.

    Behind `*`, list items are matched by type and name, else by their position; an item that live does
    not have keeps its own value.
    """
    for one in pointers:
        form = _carried(form, live, parts(one))
    return form


_ABSENT = object()


def _carried(value: Json, live: Json, path: tuple[str, ...]) -> Json:
    if not path:
        return value if live is _ABSENT else live
    head, rest = path[0], path[1:]
    if isinstance(value, list):
        others = _matched(value, live if isinstance(live, list) else [])
        at = _indexes(value, head)
        return [
            _carried(item, others[index], rest) if index in at and others[index] is not _ABSENT else item
            for index, item in enumerate(value)
        ]
    if not isinstance(value, dict) or not isinstance(live, dict):
        return value
    keys = [*value, *(key for key in live if key not in value)] if head == "*" else [head]
    result = dict(value)
    for key in keys:
        there = live.get(key, _ABSENT)
        if not rest:
            result.pop(key, None)
            if there is not _ABSENT:
                result[key] = there
        elif there is _ABSENT:
            if key in value:
                result = _without(result, (key, *rest))
        elif isinstance(there, dict) and key not in value:
            made = _carried({}, there, rest)
            if made:
                result[key] = made
        elif key in value:
            result[key] = _carried(value[key], there, rest)
    return result


def _matched(items: list[Json], live: list[Json]) -> list[Json]:
    """For each item the one of `live` that it continues, or absent."""
    names, there = _names(items), _names(live)
    if names is None or there is None:
        return [live[index] if index < len(live) else _ABSENT for index in range(len(items))]
    by_name = dict(zip(there, live, strict=True))
    return [by_name.get(name, _ABSENT) for name in names]


def _names(items: list[Json]) -> list[tuple[str, str, int]] | None:
    """Type, name and running number of each item; None for a list of other things than typed ones."""
    names: list[tuple[str, str, int]] = []
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            return None
        stem = (item["type"], str(item.get("name") or item.get("server_label") or ""))
        names.append((*stem, sum(name[:2] == stem for name in names)))
    return names
