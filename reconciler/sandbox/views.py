"""The bodies of agents and agent versions as the service echoes them, its additions included."""

from __future__ import annotations

import random
import uuid
from typing import Any

import orjson

from reconciler.sandbox import versions
from reconciler.sandbox.settings import Settings
from reconciler.sandbox.versions import Row, Shelf
from reconciler.sandbox.wire import Json, dumps

ENTRA = {"type": "Entra", "isolation_key_source": {"kind": "Entra"}}


def normal(value: Any) -> Any:
    """JSON with `kind` and `type` first in every object, as the service orders what it echoes."""
    if isinstance(value, dict):
        first = {key: value[key] for key in ("kind", "type") if key in value}
        return {key: normal(inner) for key, inner in (first | value).items()}
    if isinstance(value, list):
        return [normal(inner) for inner in value]
    return value


def comparable(definition: Json) -> Json:
    """A definition without what the service adds, so that one sent back as it was read compares equal."""
    kept = {key: value for key, value in definition.items() if key != "container_protocol_versions"}
    code = kept.get("code_configuration")
    if isinstance(code, dict):
        kept["code_configuration"] = {key: value for key, value in code.items() if key != "content_hash"}
    return kept


def new_identity(name: str, blueprint_reference: Json | None = None) -> Json:
    """The identity of a fresh agent: a guid, two principals, and a blueprint named after both name and guid.

    Source: recorded agents; the suffix of `blueprint_id` is the first five digits of the guid.
    """
    guid, principal = str(uuid.uuid4()), str(uuid.uuid4())
    return {
        "instance_identity": {"principal_id": principal, "client_id": principal},
        "blueprint": {"principal_id": str(uuid.uuid4()), "client_id": str(uuid.uuid4())},
        "blueprint_reference": blueprint_reference
        or {"type": "ManagedAgentIdentityBlueprint", "blueprint_id": f"{name}-{guid[:5]}"},
        "agent_guid": guid,
    }


def version_view(agent: Row, version: Row, settings: Settings, now: float) -> Json:
    """The `agent.version` object.

    Source: recorded versions (2.3.0); `draft` and `error` appear only where they say something.
    """
    identity = orjson.loads(agent["details"])["identity"]
    return _version_view(agent["name"], identity, version, settings, now)


def _version_view(name: str, identity: Json, version: Row, settings: Settings, now: float) -> Json:
    status = versions.status(version, now)
    definition: Json = orjson.loads(version["content"])
    metadata: Json = orjson.loads(version["metadata"])
    if settings["server_added.known"]:
        _add_known(name, version, definition, metadata)
    _add_unknown(f"{name}:{version['version']}", definition, settings)
    view: Json = {
        "metadata": metadata,
        "object": "agent.version",
        "id": f"{name}:{version['version']}",
        "name": name,
        "version": version["version"],
        "description": version["description"],
        "created_at": version["created_at"],
        "definition": definition,
        "status": status,
        **identity,
    }
    if version["number"] is None:
        view["draft"] = True
    if status != "creating" and version["error"] is not None:
        view["error"] = orjson.loads(version["error"])
    return view


def _add_known(name: str, version: Row, definition: Json, metadata: Json) -> None:
    """The additions seen in recordings. A prompt agent gets none but the pinned versions of its skills."""
    match definition.get("kind"):
        case "hosted":
            definition.setdefault("container_protocol_versions", [])
            code = definition.get("code_configuration")
            if version["code_sha"] and isinstance(code, dict):
                code["content_hash"] = version["code_sha"]
                metadata.setdefault("enableVnextExperience", "false")
        case "external":
            definition.setdefault("otel_agent_id", name)
        case "prompt":
            skills = definition.get("skills")
            for skill in skills if isinstance(skills, list) else []:
                if isinstance(skill, dict):
                    skill.setdefault("version", "1")


def _add_unknown(seed: str, definition: Json, settings: Settings) -> None:
    match settings["server_added.unknown"]:
        case dict(extra):
            definition |= extra
        case "random":
            # One seed per version: a service may add what it likes, but not something else on each read.
            definition |= _random_object(random.Random(f"{settings['seed']}:{seed}"), depth=2)


def _random_object(dice: random.Random, depth: int) -> Json:
    leaves: list[Any] = [None, True, 0, 1.5, "", "auto", [], {}, ["a", 1]]
    result: Json = {}
    for _ in range(dice.randint(1, 3)):
        key = f"x_{dice.randrange(16**6):06x}"
        result[key] = (
            _random_object(dice, depth - 1) if depth and dice.random() < 0.4 else dice.choice(leaves)
        )
    return result


def agent_view(agent: Row, latest: Row, settings: Settings, now: float) -> Json:
    """The `agent` object with its latest version inside.

    Source: recorded agents (2.3.0) and `AgentDetails` of azure-ai-projects 2.10.
    """
    details: Json = orjson.loads(agent["details"])
    identity = details["identity"]
    view: Json = {
        "object": "agent",
        "id": agent["name"],
        "name": agent["name"],
        "state": details["state"],
        "configuration_state": details["state"],
        "versions": {"latest": _version_view(agent["name"], identity, latest, settings, now)},
    }
    if details["endpoint"] is not None:
        view["agent_endpoint"] = endpoint_view(details["endpoint"], settings)
    if details["card"] is not None:
        view["agent_card"] = details["card"]
    if details.get("digital_worker_type") is not None:
        view["digital_worker_type"] = details["digital_worker_type"]
    view |= {key: value for key, value in identity.items() if key != "agent_guid"}
    return view


def endpoint_view(endpoint: Json, settings: Settings) -> Json:
    """The endpoint with the old `protocols` list, which mirrors `protocol_configuration`."""
    view: Json = {}
    if "version_selector" in endpoint:
        view["version_selector"] = endpoint["version_selector"]
    protocols = endpoint.get("protocol_configuration")
    if settings["server_added.known"] and isinstance(protocols, dict):
        view["protocols"] = list(protocols)
    return view | endpoint


def refresh(shelf: Shelf, agent_id: int) -> None:
    """Store the agent's body, so that a list page is a join of stored bytes.

    A version that is still being provisioned has two bodies: until and from `settles_at`.
    """
    agent = versions.reload(shelf.db, agent_id)
    latest = versions.latest(shelf.db, agent_id)
    if agent["deleted_at"] is not None or latest is None:
        return
    settings = {**shelf.settings, "server_added.known": True, "server_added.unknown": None}
    settles_at: float | None = latest["settles_at"]
    settled: bytes | None = None
    if settles_at is not None and settles_at > shelf.now:
        settled = dumps(agent_view(agent, latest, settings, settles_at))
    else:
        settles_at = None
    shelf.db.execute(
        "UPDATE resources SET kind = ?, body = ?, settles_at = ?, settled_body = ? WHERE id = ?",
        (
            orjson.loads(latest["content"]).get("kind", ""),
            dumps(agent_view(agent, latest, settings, shelf.now)),
            settles_at,
            settled,
            agent_id,
        ),
    )
