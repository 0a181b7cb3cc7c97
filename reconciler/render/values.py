"""Field differences as lines: short values side by side, long text as a small diff around what changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Final

from reconciler.fields import FieldDiff
from reconciler.render.words import clean
from reconciler.resource import Json


@dataclass(frozen=True)
class Line:
    """One line of a report. `mark` is its symbol, in the first column of a diff fence, `tail` said quietly.

    `hang` wraps the text and indents what follows its first line by that many columns; -1 leaves it whole.
    """

    text: str = ""
    mark: str = ""
    indent: int = 0
    style: str = ""
    tail: str = ""
    hang: int = -1


# What a person scans before reaching for the whole report.
MOST_FIELDS: Final = 20
_MOST_TEXT_LINES: Final = 16
# Beyond this many changed lines a diff costs seconds and nobody reads it.
_MOST_COMPARED: Final = 400
_CONTEXT_CHARS: Final = 24
_MOST_ALIGNED: Final = 48


def field_lines(fields: Sequence[FieldDiff], width: int, *, outside: bool = False) -> list[Line]:
    """The differences as lines, at most 20 of them and then how many more.

    Args:
        outside: tell it from Git's side, as what somebody did to it: Git's value comes first, live after.
    """
    flat = list(_flat(_turned(field) if outside else field for field in fields))
    shown = flat[:MOST_FIELDS]
    column = max((len(field.path) for field in shown if _aligned(field)), default=0)
    lines = [line for field in shown for line in _field(field, column, width)]
    if len(flat) > len(shown):
        lines.append(Line(f"… {len(flat) - len(shown)} more, see --format json", style="dim"))
    return lines


def _aligned(field: FieldDiff) -> bool:
    many = any(isinstance(value, str) and "\n" in value for value in (field.desired, field.live))
    return len(field.path) <= _MOST_ALIGNED and not (many and field.op == "replace")


def _turned(field: FieldDiff) -> FieldDiff:
    op = {"add": "remove", "remove": "add"}.get(field.op, field.op)
    return FieldDiff(op, field.path, desired=field.live, live=field.desired)


def _flat(fields: Iterable[FieldDiff]) -> Iterator[FieldDiff]:
    """A mapping that comes or goes as a whole, as its entries."""
    for field in fields:
        value = field.desired if field.op == "add" else field.live
        if field.op not in ("add", "remove") or not isinstance(value, dict) or not value:
            yield field
            continue
        for key, item in value.items():
            path = f"{field.path}/{str(key).replace('~', '~0').replace('/', '~1')}"
            yield from _flat([replace(field, path=path, **{_side(field): item})])


def _side(field: FieldDiff) -> str:
    return "desired" if field.op == "add" else "live"


def _field(field: FieldDiff, column: int, width: int) -> Iterator[Line]:
    if field.path.startswith("…"):
        yield Line(clean(field.path), style="dim")
        return
    name = clean(field.path or "/") + ":"
    start = name.ljust(column + 1) + " "
    room = max(width - len(start), 24)
    match field.op:
        case "add":
            yield Line(start + show(field.desired, room), mark="+")
        case "remove":
            yield Line(start + show(field.live, room), mark="-")
        case _:
            yield from _replaced(name, start, field, width)


def _replaced(name: str, start: str, field: FieldDiff, width: int) -> Iterator[Line]:
    live, desired = field.live, field.desired
    if isinstance(live, str) and isinstance(desired, str) and ("\n" in live or "\n" in desired):
        yield Line(f"{name} {_lines_of(live)} → {_lines_of(desired)}", mark="~")
        yield from _text_diff(live.split("\n"), desired.split("\n"), width - 4)
        return
    before, after = _whole(live), _whole(desired)
    if len(start) + len(before) + len(after) + 3 <= width:
        yield Line(f"{start}{before} → {after}", mark="~")
        return
    was, now = _around(before, after, max(width - 6, 24))
    sizes = dict.fromkeys((_size(live, before), _size(desired, after)))
    cut = (was, now) != (before, after)
    yield Line(f"{name} {' → '.join(sizes)}" if cut else name, mark="~")
    yield Line(was, mark="-", indent=4)
    yield Line(now, mark="+", indent=4)


def _lines_of(text: str) -> str:
    count = text.count("\n") + 1
    return f"{count:,} line{'s' * (count != 1)}"


def _size(value: Json, text: str) -> str:
    return f"{len(value) if isinstance(value, str) else len(text):,} characters"


def _text_diff(live: list[str], desired: list[str], width: int) -> Iterator[Line]:
    """A unified diff with one line of context, cut to what a person reads."""
    first, last = _common(live, desired)
    a, b = live[first : len(live) - last], desired[first : len(desired) - last]
    if len(a) + len(b) > _MOST_COMPARED:
        yield Line(f"{len(a):,} lines replaced by {len(b):,}, see --format json", indent=4, style="dim")
        return
    found = list(_hunks(a, b, width))
    before = live[first - 1 : first] if first else []
    after = live[len(live) - last :][:1] if last else []
    found = [*_context(before, width), *found, *_context(after, width)]
    yield from found[:_MOST_TEXT_LINES]
    if len(found) > _MOST_TEXT_LINES:
        rest = len(found) - _MOST_TEXT_LINES
        yield Line(f"… {rest} more lines, see --format json", indent=4, style="dim")


def _common(a: list[str], b: list[str]) -> tuple[int, int]:
    """How many lines both begin and end with."""
    most = min(len(a), len(b))
    first = next((i for i in range(most) if a[i] != b[i]), most)
    last = next((i for i in range(most - first) if a[-1 - i] != b[-1 - i]), most - first)
    return first, last


def _context(lines: Sequence[str], width: int) -> list[Line]:
    return [Line(_cut(_visible(line), width), mark=" ", indent=4, style="dim") for line in lines]


def _visible(line: str) -> str:
    """A line of text with the spaces at its end written out, since they may be all that changed."""
    kept = line.rstrip(" ")
    return clean(kept) + "\\x20" * (len(line) - len(kept))


def _hunks(a: list[str], b: list[str], width: int) -> Iterator[Line]:
    groups = list(SequenceMatcher(None, a, b, autojunk=False).get_grouped_opcodes(1))
    for number, group in enumerate(groups):
        if number:
            yield Line("…", mark=" ", indent=4, style="dim")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from _context(a[i1:i2], width)
                continue
            pairs = [
                _around(_visible(x), _visible(y), width) for x, y in zip(a[i1:i2], b[j1:j2], strict=False)
            ]
            gone = [was for was, _ in pairs] + [_cut(_visible(x), width) for x in a[i1:i2][len(pairs) :]]
            come = [now for _, now in pairs] + [_cut(_visible(y), width) for y in b[j1:j2][len(pairs) :]]
            yield from (Line(text, mark="-", indent=4) for text in gone)
            yield from (Line(text, mark="+", indent=4) for text in come)


def show(value: Json, most: int) -> str:
    """A value on one line as JSON, cut to `most` characters with its length."""
    text = _whole(value)
    if len(text) <= most:
        return text
    if isinstance(value, str) and "\n" in value:
        note = f" ({_lines_of(value)}, {_size(value, text)})"
        text = _whole(value.split("\n", 1)[0])[:-1] + "…"
    else:
        note = f" ({_size(value, text)})"
    return _cut(text, max(most - len(note), 8)) + note


def _whole(value: Json) -> str:
    return clean(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(most - 1, 1)] + "…"


def _around(was: str, now: str, most: int) -> tuple[str, str]:
    """Both texts, cut so that where they begin to differ can be seen."""
    if len(was) <= most and len(now) <= most:
        return was, now
    same = next(
        (i for i, (x, y) in enumerate(zip(was, now, strict=False)) if x != y), min(len(was), len(now))
    )
    start = max(same - _CONTEXT_CHARS, 0)
    if start <= 1 or (len(was) <= most and same < most // 2):
        return _cut(was, most), _cut(now, most)
    return _cut("…" + was[start:], most), _cut("…" + now[start:], most)
