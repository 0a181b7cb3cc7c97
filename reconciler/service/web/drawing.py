"""A graph of resources as columns and curves, for a drawing in SVG. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from reconciler.service.views_models import EdgeView, GraphView, NodeView

NODE_WIDTH: Final = 208
NODE_HEIGHT: Final = 34
_GAP_X: Final = 76
_GAP_Y: Final = 10
# The height of a place between boxes that a curve goes through.
_LANE: Final = 8
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
    depth = _depths(sorted(nodes), edges)
    routes = {(edge.source, edge.target): _stops(edge, depth) for edge in edges}
    columns = _ordered(_columns(depth, routes.values()), routes.values())
    places = _places(columns, nodes.keys())
    boxes = tuple(
        Box(nodes[name], *places[name], _label(nodes[name].name))
        for name in sorted(nodes, key=places.__getitem__)
    )
    return Drawing(
        boxes=boxes,
        curves=tuple(
            Curve(_path(stops, places, nodes.keys()), *ends) for ends, stops in sorted(routes.items())
        ),
        alone=alone,
        width=2 * _MARGIN + len(columns) * NODE_WIDTH + max(0, len(columns) - 1) * _GAP_X,
        height=_MARGIN + max((y + NODE_HEIGHT for _, y in places.values()), default=0),
    )


def _depths(names: Sequence[str], edges: Sequence[EdgeView]) -> dict[str, int]:
    """The column of each name: one right of the rightmost that names it."""
    targets: defaultdict[str, list[str]] = defaultdict(list)
    for edge in edges:
        targets[edge.source].append(edge.target)
    order = _finished_last(names, targets, {edge.target for edge in edges})
    position = {name: index for index, name in enumerate(order)}
    depth = dict.fromkeys(names, 0)
    for name in order:
        for target in targets[name]:
            # What closes a circle points back, and moves nothing.
            if position[target] > position[name]:
                depth[target] = max(depth[target], depth[name] + 1)
    return depth


def _finished_last(names: Sequence[str], targets: Mapping[str, Sequence[str]], named: Set[str]) -> list[str]:
    """The names so that each stands before what it names, but for circles."""
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
                stack += [(target, False) for target in targets.get(name, ()) if target not in entered]
    return finished[::-1]


# A stop is a box by its name, or a place between boxes through which a long curve goes.
Stop = str | tuple[str, str, int]
Stops = tuple[tuple[Stop, int], ...]


def _stops(edge: EdgeView, depth: Mapping[str, int]) -> Stops:
    """The stops of a reference with their columns; one that goes far has one in each column on its way."""
    start, end = depth[edge.source], depth[edge.target]
    between = (((edge.source, edge.target, column), column) for column in range(start + 1, end))
    return ((edge.source, start), *between, (edge.target, end))


def _columns(depth: Mapping[str, int], routes: Iterable[Stops]) -> list[list[Stop]]:
    columns: list[list[Stop]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name, column in sorted(depth.items()):
        columns[column].append(name)
    for stops in routes:
        for stop, column in stops[1:-1]:
            columns[column].append(stop)
    return columns


def _ordered(columns: list[list[Stop]], routes: Iterable[Stops]) -> list[list[Stop]]:
    """The columns with each stop near the middle of its neighbours, so that few curves cross."""
    beside: defaultdict[Stop, list[Stop]] = defaultdict(list)
    for stops in routes:
        for (one, _), (other, _) in pairwise(stops):
            beside[one].append(other)
            beside[other].append(one)
    for sweep in range(_SWEEPS):
        rows = {stop: index / max(1, len(column)) for column in columns for index, stop in enumerate(column)}
        for column in columns if sweep % 2 else columns[::-1]:
            middle = {stop: sum(rows[other] for other in beside[stop]) / len(beside[stop]) for stop in column}
            column[:] = sorted(column, key=lambda stop, middle=middle: (middle[stop], str(stop)))  # type: ignore[misc]
            rows |= {stop: index / max(1, len(column)) for index, stop in enumerate(column)}
    return columns


def _places(columns: Sequence[Sequence[Stop]], boxes: Set[str]) -> dict[Stop, tuple[int, int]]:
    """Upper left corners of boxes, and of the places that curves go through, which are lower than boxes."""
    places: dict[Stop, tuple[int, int]] = {}
    heights = [sum(_height(stop, boxes) + _GAP_Y for stop in stops) - _GAP_Y for stops in columns]
    for column, stops in enumerate(columns):
        x = _MARGIN + column * (NODE_WIDTH + _GAP_X)
        y = _MARGIN + (max(heights) - heights[column]) // 2
        for stop in stops:
            places[stop] = (x, y)
            y += _height(stop, boxes) + _GAP_Y
    return places


def _height(stop: Stop, boxes: Set[str]) -> int:
    return NODE_HEIGHT if stop in boxes else _LANE


def _path(stops: Stops, places: Mapping[Stop, tuple[int, int]], boxes: Set[str]) -> str:
    """From the right side of the first box to the left side of the last, straight through lanes between."""
    x, y = places[stops[0][0]]
    x, y = x + NODE_WIDTH, y + NODE_HEIGHT // 2
    path = f"M{x} {y}"
    for stop, _ in stops[1:]:
        to_x, to_y = places[stop]
        to_y += _height(stop, boxes) // 2
        # A reference back to the left is drawn around the boxes' sides.
        bend = max(_GAP_X // 2, (to_x - x) // 2)
        path += f"C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"
        x, y = to_x, to_y
        if stop not in boxes:
            x += NODE_WIDTH
            path += f"H{x}"
    return path


def _label(name: str) -> str:
    return name if len(name) <= _FITS else name[: _FITS - 1] + "…"
