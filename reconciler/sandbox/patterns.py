"""Path patterns of fault rules: `/agents/{name}`, `/agents/*`, with or without the project, with a query."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

from reconciler.sandbox.routes import ROUTES

MAX_LENGTH = 2000
_PROJECT = re.compile(r"/?api/projects/([^/?]*)(.*)", re.DOTALL)
_PIECES = re.compile(r"(\*|\{\w*\})")
_PARAMETER = re.compile(r"\{\w*\}")
_STAR, _SEGMENT = "\0", "\1"


@dataclass(frozen=True)
class Target:
    """The request that rules are matched with; `path` is decoded and below the project."""

    method: str
    project: str
    path: str
    template: str
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Pattern:
    """A pattern in parts: `path` below the project, without a slash at the end; None stands for all."""

    project: str | None
    path: str | None
    query: tuple[tuple[str, str], ...]

    def meets(self, target: Target) -> bool:
        """Whether the request is one of those that the pattern describes."""
        if self.project is not None and self.project != target.project:
            return False
        if not all(
            any(key == name and _glob(value).fullmatch(given) for name, given in target.query)
            for key, value in self.query
        ):
            return False
        return self.path is None or _path_meets(self.path, target)

    def has_route(self) -> bool:
        """Whether any route of a project has a path of this form, whatever its method."""
        if self.path is None:
            return True
        wanted = _PARAMETER.sub(_SEGMENT, self.path.replace("*", _STAR))
        return any(_overlap(wanted, _PARAMETER.sub(_SEGMENT, route.template)) for route in ROUTES)


@lru_cache(maxsize=1000)
def parse(text: str) -> Pattern:
    """The parts of a pattern.

    A URL, a project in front, a missing slash at the start and one at the end are all understood. A `?`
    starts a query only where a `key=` follows.
    """
    text = re.sub(r"^https?://[^/]*", "", text)
    project, found = None, _PROJECT.fullmatch(text)
    if found:
        project, text = unquote(found[1]), found[2] or "*"
    text, mark, query = text.partition("?")
    if mark and "=" not in query:
        text, query = f"{text}?{query}", ""
    if not text.startswith(("/", "*")):
        text = "/" + text
    if project is not None and (project == "*" or _PARAMETER.fullmatch(project)):
        project = None
    pairs = tuple(parse_qsl(query, keep_blank_values=True))
    path = text.rstrip("/") or ("*" if found or pairs else "/")
    return Pattern(project, None if path == "*" else path, pairs)


@lru_cache(maxsize=1000)
def _glob(text: str) -> re.Pattern[str]:
    """`*` is any text, `{word}` any within one segment."""
    pieces = _PIECES.split(text)
    return re.compile(
        "".join(
            ".*" if piece == "*" else "[^/]+" if _PARAMETER.fullmatch(piece) else re.escape(piece)
            for piece in pieces
        ),
        re.DOTALL,
    )


def _path_meets(pattern: str, target: Target) -> bool:
    path = target.path.rstrip("/") or "/"
    if pattern == path:
        return True
    if "*" in pattern:
        return _glob(pattern).fullmatch(path) is not None
    wanted, segments = pattern.split("/"), path.split("/")
    template = target.template.split("/")
    if len(template) != len(segments):
        template = segments  # no route
    return len(wanted) == len(segments) and all(map(_segment_meets, wanted, segments, template))


def _segment_meets(wanted: str, segment: str, template: str) -> bool:
    if wanted.startswith("{") and template.startswith("{"):
        # `{name}` is not `{name}:enable`: that is another operation.
        return wanted.partition("}")[2] == template.partition("}")[2]
    return _glob(wanted).fullmatch(segment) is not None


def _overlap(pattern: str, route: str) -> bool:
    """Whether some path has both forms; both hold marks for a segment, and the pattern for any text."""
    todo, seen = [(0, 0)], set[tuple[int, int]]()
    while todo:
        place = todo.pop()
        if place == (len(pattern), len(route)):
            return True
        if place not in seen:
            seen.add(place)
            todo += _steps(pattern, route, *place)
    return False


def _steps(pattern: str, route: str, i: int, j: int) -> Iterable[tuple[int, int]]:
    """Where both forms stand after one more character, as places in them."""
    wanted, there = pattern[i : i + 1], route[j : j + 1]
    if wanted == _STAR:
        yield i + 1, j
        if there:
            yield i, j + 1
    elif wanted and there and _SEGMENT in (wanted, there):
        if "/" not in (wanted, there):
            yield i + 1, j + 1
            if there == _SEGMENT:
                yield i + 1, j
            if wanted == _SEGMENT:
                yield i, j + 1
    elif wanted and wanted == there:
        yield i + 1, j + 1
