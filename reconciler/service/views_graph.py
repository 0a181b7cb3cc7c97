"""The graph of a Project's resources by reference, cut down to what a page can show. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Final

from reconciler.service.records import Health, ResourceRecord
from reconciler.service.views_models import EdgeView, GraphView, NodeView

# A drawing of more tells nothing and takes a browser seconds.
MOST_NODES: Final = 200
_HOPS: Final = 2


def graph(records: Sequence[ResourceRecord], *, focus: str = "", unread: int = 0) -> GraphView:
    """Resources and which names which; things that are only named are nodes too.

    Args:
        focus: only what is at most two references away from this resource (`Agent/NAME`).
        unread: how many resources are not among `records`.
    """
    rows = {record.resource: record for record in records}
    edges = sorted({(record.resource, target) for record in records for target in record.references})
    if focus:
        names = _around(focus, edges)
        chosen = sorted(names, key=lambda name: (name != focus, name))
    else:
        chosen = _by_weight(rows, edges)
    kept = set(chosen[:MOST_NODES])
    left_out = unread + (0 if focus else sum(name not in kept for name in rows))
    return GraphView(
        nodes=tuple(_node(name, rows.get(name)) for name in sorted(kept)),
        edges=tuple(EdgeView(source=a, target=b) for a, b in edges if a in kept and b in kept),
        left_out=left_out,
    )


def _around(focus: str, edges: Sequence[tuple[str, str]]) -> set[str]:
    beside: defaultdict[str, set[str]] = defaultdict(set)
    for a, b in edges:
        beside[a].add(b)
        # A model that every agent names would pull in the whole Project.
        if b.startswith("Agent/") or b == focus:
            beside[b].add(a)
    seen, waiting = {focus}, deque([(focus, 0)])
    while waiting:
        name, hops = waiting.popleft()
        for other in sorted(beside[name] - seen) if hops < _HOPS else ():
            seen.add(other)
            waiting.append((other, hops + 1))
    return seen


def _by_weight(rows: dict[str, ResourceRecord], edges: Sequence[tuple[str, str]]) -> list[str]:
    """Troubles first, then what has the most references, by name among equals."""
    degree: defaultdict[str, int] = defaultdict(int)
    for a, b in edges:
        degree[a] += 1
        degree[b] += 1
    well = (Health.IN_SYNC, Health.UNMANAGED)
    names = {*rows, *degree}
    return sorted(
        names, key=lambda name: (name not in rows or rows[name].health in well, -degree[name], name)
    )


def _node(name: str, record: ResourceRecord | None) -> NodeView:
    kind, _, short = name.partition("/")
    return NodeView(
        id=name,
        kind=kind,
        name=short,
        health=str(record.health) if record else str(Health.UNKNOWN),
        definition_kind=record.definition_kind if record else "",
        there=record is not None,
    )
