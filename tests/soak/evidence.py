"""What is known of a run: what Git wanted when, what was sent to the stand-in, and what became of it.

Imports nothing of `reconciler`, so that no mistake of ours can agree with itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

CREATE, PATCH, SWITCH, RETIRE, DELETE = "create", "patch", "switch", "retire", "delete"


@dataclass(frozen=True)
class Write:
    """One request that may change something. `client` names the process that sent it, "" for the driver.

    Times are Unix seconds; `ended_at` is infinite where the answer never went out.
    """

    project: str
    name: str
    action: str
    at: float
    ended_at: float = inf
    status: int = 200
    version: str = ""
    client: str = ""


@dataclass(frozen=True)
class Agent:
    """One life of an agent: another one of the same name is another agent."""

    id: int
    project: str
    name: str
    kind: str
    born_at: float
    deleted_at: float = inf

    def lives(self, at: float) -> bool:
        return self.born_at <= at < self.deleted_at


@dataclass(frozen=True)
class Version:
    """One version. It is active from `settles_at` on if `outcome` says so."""

    agent: int
    number: str
    created_at: float
    deleted_at: float = inf
    settles_at: float = 0.0
    outcome: str = "active"
    mark: Mapping[str, Any] | None = None

    def lives(self, at: float) -> bool:
        return self.created_at <= at < self.deleted_at

    def active(self, at: float) -> bool:
        return self.lives(at) and self.outcome == "active" and at >= self.settles_at


@dataclass(frozen=True)
class Traffic:
    """How the traffic of an agent was set from `at` on: shares by version; () for the latest one."""

    agent: int
    at: float
    shares: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Push:
    """What Git wants of some Projects from then on.

    Args:
        at: when the push began; `done_at` when it was over.
        wants: the agents by Project.
        changed: those whose content is another than before.
        broken: Projects whose manifests cannot be used.
    """

    at: float
    done_at: float
    wants: Mapping[str, frozenset[str]]
    changed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Span:
    """Something that held for a while: `suspended`, `observed`, `pinned` (an agent, a version) or `disturbed`
    (a process that was killed or paused, `*` for all of them when the database was away)."""

    what: str
    at: float
    until: float = inf
    project: str = ""
    name: str = ""
    version: str = ""
    process: str = ""


@dataclass(frozen=True)
class Evidence:
    """All of it. `owners` are the names in marks, by Project."""

    owners: Mapping[str, str]
    writes: Sequence[Write] = ()
    agents: Sequence[Agent] = ()
    versions: Sequence[Version] = ()
    traffic: Sequence[Traffic] = ()
    pushes: Sequence[Push] = ()
    spans: Sequence[Span] = ()


def writes_of(log: Sequence[Mapping[str, Any]], mine: str) -> list[Write]:
    """The writes in a stand-in's request log.

    Args:
        mine: how the word in a User-Agent begins that names a process of the service.
    """
    found = []
    for entry in log:
        write = _write(entry, mine)
        if write is not None:
            found.append(write)
    return sorted(found, key=lambda write: write.at)


def _write(entry: Mapping[str, Any], mine: str) -> Write | None:
    parts = [unquote(part) for part in urlsplit(entry["path"]).path.split("/")]
    # /api/projects/PROJECT/agents/NAME[:verb][/versions[/NUMBER]]
    if entry["method"] == "GET" or len(parts) < 6 or parts[4] != "agents":
        return None
    if parts[6:7] == ["endpoint"]:
        return None  # somebody talks to an agent
    name, _, verb = parts[5].partition(":")
    number = parts[7] if len(parts) > 7 else ""
    match entry["method"]:
        case "POST":
            action = CREATE if len(parts) > 6 else SWITCH
        case "PATCH":
            action = PATCH
        case "DELETE":
            action = RETIRE if number else DELETE
        case _:
            return None
    if action == SWITCH and verb not in ("enable", "disable"):
        return None
    words = [word for word in entry["client"].split() if word.startswith(mine)]
    ended_at = entry["ended_at"]
    return Write(
        parts[3],
        name,
        action,
        entry["at"],
        inf if ended_at is None else ended_at,
        entry["status"] or 0,
        number,
        words[0] if words else "",
    )


def read_state(file: Path) -> tuple[list[Agent], list[Version], list[Traffic]]:
    """What the stand-in's state file still knows: everything of the last two hours, deleted things too."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        agents = [
            Agent(id_, project, name, kind, born_at, inf if deleted_at is None else deleted_at)
            for id_, project, name, kind, born_at, deleted_at in db.execute(
                "SELECT id, project, name, kind, listed_from, deleted_at FROM resources"
                " WHERE collection = 'agents' ORDER BY id"
            )
        ]
        versions = [
            Version(
                agent,
                number,
                created_at,
                inf if deleted_at is None else deleted_at,
                settles_at or 0.0,
                outcome,
                _mark(metadata),
            )
            for agent, number, created_at, deleted_at, settles_at, outcome, metadata in db.execute(
                "SELECT resource_id, version, listed_from, deleted_at, settles_at, outcome, metadata"
                " FROM versions ORDER BY id"
            )
        ]
        return agents, versions, _traffic(db, {agent.id: agent for agent in agents})


def _mark(metadata: bytes) -> Mapping[str, Any] | None:
    try:
        mark = json.loads(json.loads(metadata).get("reconciler", ""))
    except (ValueError, TypeError):
        return None
    return mark if isinstance(mark, dict) else None


def _traffic(db: sqlite3.Connection, agents: Mapping[int, Agent]) -> list[Traffic]:
    """The state file keeps what was replaced with its end; from that follows when each began."""
    found, begins = [], {id_: agent.born_at for id_, agent in agents.items()}
    for id_, details, replaced_at in db.execute(
        "SELECT resource_id, details, replaced_at FROM former_details ORDER BY resource_id, replaced_at, id"
    ):
        if id_ in agents:
            found.append(Traffic(id_, begins[id_], _shares(details)))
            begins[id_] = replaced_at
    for id_, details in db.execute("SELECT id, details FROM resources WHERE collection = 'agents'"):
        found.append(Traffic(id_, begins[id_], _shares(details)))
    return found


def _shares(details: bytes) -> tuple[tuple[str, int], ...]:
    endpoint = json.loads(details).get("endpoint") or {}
    rules = (endpoint.get("version_selector") or {}).get("version_selection_rules") or []
    shares = ((rule["agent_version"], rule["traffic_percentage"]) for rule in rules)
    return tuple((version, share) for version, share in shares if share)
