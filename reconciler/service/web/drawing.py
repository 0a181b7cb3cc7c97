"""A graph of resources as columns and curves, for a drawing in SVG. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.service.views_models import EdgeView, GraphView, NodeView

NODE_WIDTH: Final = 208
NODE_HEIGHT: Final = 34
_GAP_X: Final = 76
_GAP_Y: Final = 10
_MARGIN: Final = 8
# Characters of a name that fit into a box; the whole name is in its title.
_FITS: Final = 24
# Passes that move boxes next to what they are connected with; more change nothing that anybody sees.
_SWEEPS: Final = 4


@dataclass(frozen=True)
class Box:
    """A resource in the drawing, by its upper left corner."""

    node: NodeView
    x: int
    y: int
    label: str


@dataclass(frozen=True)
class Curve:
    """A reference, as the path of an SVG."""

    path: str
    source: str
    target: str


@dataclass(frozen=True)
class Drawing:
    """Boxes and curves. `alone` are resources without any reference, which are only listed."""

    boxes: tuple[Box, ...]
    curves: tuple[Curve, ...]
    alone: tuple[NodeView, ...]
    width: int
    height: int


def drawing(graph: GraphView) -> Drawing:
    """Who names others stands left of them; circles are broken where they close."""
    edges = [edge for edge in graph.edges if edge.source != edge.target]
    joined = {name for edge in edges for name in (edge.source, edge.target)}
    alone = tuple(node for node in graph.nodes if node.id not in joined)
    nodes = {node.id: node for node in graph.nodes if node.id in joined}
    columns = _ordered(_columns(sorted(nodes), edges), edges)
    places: dict[str, tuple[int, int]] = {}
    for column, names in enumerate(columns):
        for row, name in enumerate(names):
            places[name] = (
                _MARGIN + column * (NODE_WIDTH + _GAP_X),
                _MARGIN + row * (NODE_HEIGHT + _GAP_Y),
            )
    boxes = tuple(Box(nodes[name], x, y, _label(nodes[name].name)) for name, (x, y) in sorted(places.items()))
    tallest = max((len(names) for names in columns), default=0)
    return Drawing(
        boxes=boxes,
        curves=tuple(_curve(edge, places) for edge in edges),
        alone=alone,
        width=2 * _MARGIN + len(columns) * NODE_WIDTH + max(0, len(columns) - 1) * _GAP_X,
        height=2 * _MARGIN + tallest * NODE_HEIGHT + max(0, tallest - 1) * _GAP_Y,
    )


def _columns(names: Sequence[str], edges: Sequence[EdgeView]) -> list[list[str]]:
    """Each name one column right of the rightmost that names it."""
    targets: defaultdict[str, list[str]] = defaultdict(list)
    named: set[str] = set()
    for edge in edges:
        targets[edge.source].append(edge.target)
        named.add(edge.target)
    depth: dict[str, int] = {}
    finished: list[str] = []
    entered: set[str] = set()
    # Depth first without recursion, since chains may be as long as a Project is large.
    for root in sorted(names, key=lambda name: (name in named, name)):
        stack = [(root, False)]
        while stack:
            name, done = stack.pop()
            if done:
                finished.append(name)
            elif name not in entered:
                entered.add(name)
                stack.append((name, True))
                stack += [(target, False) for target in targets[name] if target not in entered]
    position = {name: index for index, name in enumerate(reversed(finished))}
    for name in reversed(finished):
        depth.setdefault(name, 0)
        for target in targets[name]:
            if position[target] > position[name]:
                depth[target] = max(depth.get(target, 0), depth[name] + 1)
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in names:
        columns[depth[name]].append(name)
    return columns


def _ordered(columns: list[list[str]], edges: Sequence[EdgeView]) -> list[list[str]]:
    """The columns with each name near the middle of its neighbours, so that few curves cross."""
    beside: defaultdict[str, list[str]] = defaultdict(list)
    for edge in edges:
        beside[edge.source].append(edge.target)
        beside[edge.target].append(edge.source)
    for sweep in range(_SWEEPS):
        rows = {name: index / max(1, len(names)) for names in columns for index, name in enumerate(names)}
        for names in columns if sweep % 2 else reversed(columns):
            middle = {name: sum(rows[other] for other in beside[name]) / len(beside[name]) for name in names}
            names.sort(key=lambda name, middle=middle: (middle[name], name))  # type: ignore[misc]
            rows |= {name: index / max(1, len(names)) for index, name in enumerate(names)}
    return columns


def _curve(edge: EdgeView, places: dict[str, tuple[int, int]]) -> Curve:
    x, y = places[edge.source]
    to_x, to_y = places[edge.target]
    x, y, to_y = x + NODE_WIDTH, y + NODE_HEIGHT // 2, to_y + NODE_HEIGHT // 2
    # A reference back to the left is drawn around the boxes' sides.
    bend = max(36, (to_x - x) // 2)
    return Curve(f"M{x} {y}C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}", edge.source, edge.target)


def _label(name: str) -> str:
    return name if len(name) <= _FITS else name[: _FITS - 1] + "…"
