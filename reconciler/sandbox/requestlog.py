"""What was asked of the server: counts by route, and the requests in order. Gone with the process."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from reconciler.sandbox.wire import Json

UNKNOWN = "<unknown>"
"""Stands for the template of a path that is no route."""

MAX_ENTRIES = 200_000
"""Entries kept, newest last: about 65 MB. Counts stay exact beyond it."""


@dataclass
class Entry:
    """One request. `status` is None while it is under way and 0 when its connection was dropped.

    `path` is the request target as sent, query included; `at` and `ended_at` are Unix seconds, the latter
    None while it is under way; `client` is its User-Agent.
    """

    project: str
    method: str
    path: str
    at: float
    status: int | None = None
    ended_at: float | None = None
    client: str = ""


class RequestLog:
    """Counts and entries of one server."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, entry: Entry, template: str) -> Entry:
        """Note a request as it arrives, under its route's template; its status is set later."""
        self._entries.append(entry)
        self._counts[entry.project, f"{entry.method} {template}"] += 1
        return entry

    def view(self, project: str | None) -> Json:
        """`{"counts": {"GET /agents": 11}, "log": […]}`, of one or all.

        An entry of the log has method, path, status, at, ended_at and client.
        """
        counts: Counter[str] = Counter()
        for (owner, route), count in self._counts.items():
            if project in (None, owner):
                counts[route] += count
        log = [
            {
                "method": entry.method,
                "path": entry.path,
                "status": entry.status,
                "at": entry.at,
                "ended_at": entry.ended_at,
                "client": entry.client,
            }
            for entry in self._entries
            if project in (None, entry.project)
        ]
        return {"counts": dict(sorted(counts.items())), "log": log}

    def clear(self, project: str | None) -> None:
        """Forget the requests of one project or all."""
        if project is None:
            self._entries.clear()
            self._counts.clear()
            return
        kept = [entry for entry in self._entries if entry.project != project]
        self._entries = deque(kept, maxlen=MAX_ENTRIES)
        for key in [key for key in self._counts if key[0] == project]:
            del self._counts[key]
