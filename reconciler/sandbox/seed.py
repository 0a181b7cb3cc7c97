"""Agents in bulk: made up by number, or written down word for word. No rule of the service is checked."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from reconciler.sandbox import agents, versions, views
from reconciler.sandbox.errors import ApiError, invalid
from reconciler.sandbox.settings import KINDS, Settings
from reconciler.sandbox.versions import NewVersion, Row, Shelf
from reconciler.sandbox.wire import Json

MAX_COUNT = 1_000_000
STATUSES = ("creating", "active", "failed", "deleting", "deleted")


def sow(db: sqlite3.Connection, project: str, settings: Settings, wanted: Json, now: float) -> list[str]:
    """Put agents into a project and return their names in order. Lists show them at once, whatever their lag.

    Args:
        wanted: `{"count", "kinds"?, "prefix"?, "pinned"?, "metadata"?}` for made-up agents of about 1 KB,
            numbered after those that exist; or
            `{"agents": [{"name", "versions" | "definition", "selector"?, "state"?, "card"?, "endpoint"?}]}`.
            An agent of the second form that exists gets the versions added; beside `definition` stand the
            other fields of its version.

    Raises:
        ApiError: 400, not understood; 409, a version exists already. Nothing is written.
    """
    shelf = Shelf(db, project, "agents", settings, now)
    if "agents" in wanted:
        _only(wanted, {"agents"}, "")
        if not isinstance(wanted["agents"], list):
            raise invalid("'agents' must be a list.", "agents")
        return [_sow(shelf, agent, f"agents[{index}]") for index, agent in enumerate(wanted["agents"])]
    return [_sow(shelf, agent, "count") for agent in _made_up(shelf, wanted)]


def _made_up(shelf: Shelf, wanted: Json) -> list[Json]:
    _only(wanted, {"count", "kind", "kinds", "prefix", "pinned", "metadata"}, "")
    count, prefix = wanted.get("count"), wanted.get("prefix", "agent-")
    kinds = wanted.get("kinds", wanted.get("kind", ["prompt"]))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    metadata, pinned = wanted.get("metadata", {}), wanted.get("pinned", False)
    if type(count) is not int or not 0 <= count <= MAX_COUNT:
        raise invalid(f"'count' must be a whole number, 0 to {MAX_COUNT}.", "count")
    if not isinstance(kinds, list) or not kinds or not set(map(str, kinds)) <= set(KINDS):
        raise invalid(f"'kinds' must be a list of: {', '.join(KINDS)}.", "kinds")
    if not isinstance(prefix, str) or not isinstance(metadata, dict) or not isinstance(pinned, bool):
        raise invalid("'prefix' is text, 'metadata' an object, 'pinned' true or false.")
    made, first = [], _next_number(shelf, prefix)
    for index in range(first, first + count):
        name = f"{prefix}{index:05d}"
        version = {
            "definition": sample(kinds[index % len(kinds)], index),
            "metadata": metadata,
            "description": f"Sample agent {index}",
        }
        agent: Json = {"name": name, "versions": [version]}
        if pinned:
            agent["selector"] = [{"agent_version": "1", "traffic_percentage": 100}]
        made.append(agent)
    return made


def _next_number(shelf: Shelf, prefix: str) -> int:
    """One more than the highest number behind `prefix` in the name of an agent, 0 without any."""
    names = shelf.db.execute(
        "SELECT substr(name, ?) FROM resources WHERE project = ? AND collection = ? AND deleted_at IS NULL"
        " AND lower(substr(name, 1, ?)) = lower(?)",
        (len(prefix) + 1, shelf.project, shelf.collection, len(prefix), prefix),
    )
    numbers = [int(tail) for (tail,) in names if tail.isascii() and tail.isdigit() and len(tail) <= 9]
    return max(numbers, default=-1) + 1


def sample(kind: str, index: int) -> Json:
    """A valid definition of that kind, different for each index."""
    match kind:
        case "hosted":
            variables = {f"SETTING_{number:02d}": f"value {number} of agent {index}" for number in range(16)}
            image = f"samples.azurecr.io/agent-{index}@sha256:{index:064x}"
            return {
                "kind": "hosted",
                "cpu": "1",
                "memory": "2Gi",
                "container_configuration": {"image": image},
                "protocol_versions": [{"protocol": "responses", "version": "2.0.0"}],
                "environment_variables": variables,
            }
        case "workflow":
            steps = (f"  - kind: SendActivity\n    activity: Step {step} of {index}\n" for step in range(15))
            return {"kind": "workflow", "workflow": "kind: workflow\nactions:\n" + "".join(steps)}
        case "external":
            return {"kind": "external", "otel_agent_id": f"sample-{index}"}
        case "voice":
            model = {"model_type": "managed", "model": "gpt-realtime"}
            return {"kind": "voice", **model, "instructions": _prose(index)}
        case _:
            return {
                "kind": "prompt",
                "model": "gpt-4.1-mini",
                "instructions": _prose(index),
                "temperature": 0.2,
                "tools": [_FIND_ORDER],
            }


_FIND_ORDER: Json = {
    "type": "function",
    "name": "find_order",
    "description": "Find an order by its number",
    "parameters": {
        "type": "object",
        "properties": {"number": {"type": "string"}},
        "required": ["number"],
    },
    "strict": True,
}


def _prose(index: int) -> str:
    rule = "Answer in the language of the question, name your source, and say so when you do not know. "
    return f"You are sample agent number {index}. " + rule * 4


AGENT_KEYS = {"name", "versions", "selector", "state", "card", "endpoint"}
VERSION_KEYS = {"definition", "metadata", "description", "version", "status", "created_at", "error", "draft"}
ALIASES = {"agent_endpoint": "endpoint", "agent_card": "card", "version_selector": "selector"}


def _sow(shelf: Shelf, agent: Any, path: str) -> str:
    agent = _only(agent, AGENT_KEYS | VERSION_KEYS | set(ALIASES), path)
    agent = {ALIASES.get(key, key): value for key, value in agent.items()}
    name = agent.get("name")
    if not isinstance(name, str) or not name:
        raise invalid("'name' is required.", f"{path}.name")
    alone = {key: agent.pop(key) for key in VERSION_KEYS if key in agent}
    if alone and "versions" in agent:
        key = min(alone)
        raise invalid(f"'{key}' belongs to a version: put it inside 'versions'.", f"{path}.{key}")
    given = agent.get("versions", [alone])
    if not isinstance(given, list) or not given:
        raise invalid("'versions' must be a list with at least one version.", f"{path}.versions")
    new = [_new_version(shelf, each, f"{path}.versions[{index}]") for index, each in enumerate(given)]
    row = versions.find(shelf, name) or _new_agent(shelf, name, new[0])
    try:
        for each in new:
            versions.add_version(shelf, row["id"], each)
    except sqlite3.IntegrityError as e:
        raise ApiError(409, f"A version of agent '{name}' exists already.") from e
    _set_details(shelf, row, agent, path)
    views.refresh(shelf, row["id"])
    return name


def _new_agent(shelf: Shelf, name: str, first: NewVersion) -> Row:
    born_at = shelf.now if first.created_at is None else float(first.created_at)
    details = {
        "state": "enabled",
        "endpoint": agents.default_endpoint(
            shelf.settings["default_endpoint"], first_version=first.name or "1"
        ),
        "card": None,
        "identity": views.new_identity(name),
    }
    agent_id = versions.add_resource(shelf, name, details, born_at=born_at, listed_from=0)
    return versions.reload(shelf.db, agent_id)


def _new_version(shelf: Shelf, given: Any, path: str) -> NewVersion:
    given = _only(given, VERSION_KEYS, path)
    definition = given.get("definition")
    if not isinstance(definition, dict):
        raise invalid("'definition' is required and must be an object.", f"{path}.definition")
    metadata, description = given.get("metadata") or {}, given.get("description") or ""
    if not isinstance(metadata, dict) or not isinstance(description, str):
        raise invalid("'metadata' must be an object and 'description' text.", path)
    draft, status, created_at = (
        given.get("draft", False),
        given.get("status", "active"),
        given.get("created_at"),
    )
    if not isinstance(draft, bool) or status not in STATUSES:
        raise invalid(f"'draft' is true or false, 'status' one of: {', '.join(STATUSES)}.", path)
    if created_at is not None and (type(created_at) is not int or not 0 <= created_at < 2**40):
        raise invalid("'created_at' must be whole Unix seconds.", f"{path}.created_at")
    error = given.get("error")
    if error is not None and not isinstance(error, dict):
        raise invalid("'error' must be an object.", f"{path}.error")
    name = given.get("version")
    if name is not None and not draft:
        name = _number(name, f"{path}.version")
    return NewVersion(
        views.normal(definition),
        metadata,
        description,
        draft=draft,
        name=name,
        outcome=status,
        error=error,
        created_at=created_at,
        listed_from=0,
    )


def _number(name: Any, path: str) -> str:
    text = str(name)
    if not (
        text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0 and text == str(int(text))
    ):
        raise invalid("'version' must be a number from 1, or the version a draft.", path)
    return text


def _set_details(shelf: Shelf, row: Row, agent: Mapping[str, Any], path: str) -> None:
    details: Json = orjson.loads(row["details"])
    state = agent.get("state", details["state"])
    if state not in ("enabled", "disabled"):
        raise invalid("'state' must be enabled or disabled.", f"{path}.state")
    for key in ("endpoint", "card"):
        if not isinstance(agent.get(key), dict | None):
            raise invalid(f"'{key}' must be an object or null.", f"{path}.{key}")
        if key in agent:
            details[key] = agent[key]
    details["state"] = state
    if agent.get("selector") is not None:
        endpoint = details["endpoint"] or agents.default_endpoint("present", first_version="1") or {}
        details["endpoint"] = {"version_selector": _selector(agent["selector"], f"{path}.selector")} | {
            key: value for key, value in endpoint.items() if key != "version_selector"
        }
    versions.set_details_at_once(shelf, row["id"], details)


def _selector(given: Any, path: str) -> Json:
    """A selector from its rules, the object around them, or shares by version: `{"1": 90, "2": 10}`."""
    rules = given.get("version_selection_rules") if isinstance(given, dict) else given
    if rules is None and all(type(share) is int for share in given.values()):
        rules = [{"agent_version": name, "traffic_percentage": share} for name, share in given.items()]
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise invalid("'selector' must be a list of objects, or whole shares by version.", path)
    return {"version_selection_rules": [{"type": "FixedRatio", **rule} for rule in rules]}


def _only(value: Any, keys: set[str], path: str) -> Json:
    if not isinstance(value, dict):
        raise invalid("An object is needed here.", path)
    unknown = sorted(set(value) - keys)
    if unknown:
        raise invalid(
            f"Unknown key '{unknown[0]}'. Allowed: {', '.join(sorted(keys))}.", f"{path}.{unknown[0]}"
        )
    return value
