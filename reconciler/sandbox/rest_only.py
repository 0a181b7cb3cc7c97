"""Agent routes that the Python SDK lacks, or has only in beta: create, update, import, generate."""

from __future__ import annotations

from typing import Any

import orjson

from reconciler.sandbox import agent_versions, agents, code, validation, versions
from reconciler.sandbox.errors import ApiError, invalid
from reconciler.sandbox.traffic import text_of
from reconciler.sandbox.wire import Call, Json, Reply


def create_agent(call: Call) -> Reply:
    """`POST /agents` with `name` in the body, or as a form with the name in the header `x-ms-agent-name`.

    Source: TypeSpec of the service; that an existing agent is a 409 is inferred.
    """
    body, sha = _body(call)
    name = _name(call.headers.get("x-ms-agent-name") if sha else body.get("name"))
    return _created(call, name, body, sha)


def _created(call: Call, name: str, body: Json, sha: str | None) -> Reply:
    validation.definition_of(body)
    if versions.find(agents.shelf(call), name) is not None:
        raise ApiError(409, f"Agent '{name}' already exists.")
    agent, _ = agent_versions.add_version(call, name, body, sha)
    return agents.details_reply(call, agent["id"])


def update_agent(call: Call) -> Reply:
    """`POST /agents/{agent_name}`: a new version only if definition, metadata or description changed.

    Source: TypeSpec of the service, operation updateAgent.
    """
    body, sha = _body(call)
    definition = validation.definition_of(body)
    agent = agents.agent_of(call)
    latest = versions.latest(call.db, agent["id"])
    assert latest is not None  # an agent goes with its last version
    level = call.settings["validation"]
    new = versions.NewVersion(
        definition,
        validation.metadata_of(body, level),
        validation.description_of(body, level),
        draft=body.get("draft") is True,
        code_sha=sha,
    )
    if not agent_versions.same(versions.DEDUPE_ALL, latest, new):
        agent_versions.add_version(call, agent["name"], body, sha)
    return agents.details_reply(call, agent["id"])


def _body(call: Call) -> tuple[Json, str | None]:
    return code.uploaded(call) if code.is_upload(call) else (call.json(), None)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise invalid("'name' is required and must be a string.", "name")
    return value


def import_version(call: Call) -> Reply:
    """`POST /agents/{agent_name}/versions:import`: a version from a manifest of the service's catalogue."""
    return agent_versions.add(call, call.params["agent_name"], _imported(call.json()))


def import_agent(call: Call) -> Reply:
    """`POST /agents:import` with `name`: as `POST /agents`, from a manifest."""
    body = call.json()
    return _created(call, _name(body.get("name")), _imported(body), None)


def import_into_agent(call: Call) -> Reply:
    """`POST /agents/{agent_name}/import`: as an update, from a manifest."""
    agent = agents.agent_of(call)
    agent_versions.add_version(call, agent["name"], _imported(call.json()))
    return agents.details_reply(call, agent["id"])


def _imported(body: Json) -> Json:
    """A made-up prompt definition: there is no catalogue here, so its id and values are the text."""
    manifest, values = body.get("manifest_id"), body.get("parameter_values")
    if not isinstance(manifest, str) or not manifest:
        raise invalid("'manifest_id' is required and must be a string.", "manifest_id")
    if not isinstance(values, dict):
        raise invalid("'parameter_values' is required and must be an object.", "parameter_values")
    model = values.get("model")
    definition = {
        "kind": "prompt",
        "model": model if isinstance(model, str) and model else "gpt-4.1-mini",
        "instructions": f"From manifest {manifest} with {orjson.dumps(values).decode()}",
    }
    kept: Json = {key: body[key] for key in ("description", "metadata") if key in body}
    return {"definition": definition, **kept}


def generate_agent(call: Call) -> Reply:
    """`POST /agents:generate`: a voice agent from a goal.

    Source: `GenerateVoiceAgentRequest` of azure-ai-projects 2.10.
    """
    body = call.json()
    if body.get("kind") != "voice":
        raise invalid("The only kind that can be generated is voice.", "kind")
    model_type = text_of(body.get("model_type"), "model_type") or "managed"
    model = text_of(body.get("model"), "model")
    if model_type == "self_deployed" and not model:
        raise invalid("'model' is required with model_type self_deployed.", "model")
    goal = text_of(body.get("goal"), "goal") or "help the caller"
    definition: Json = {
        "kind": "voice",
        "model_type": model_type,
        "model": model or "gpt-realtime",
        "instructions": f"Your goal: {goal}",
        "audio": {"output": {"voice": {"type": "openai", "name": "alloy"}}},
    }
    if body.get("tools") is not None:
        definition["tools"] = body["tools"]
    kept: Json = {key: body[key] for key in ("description", "draft") if key in body}
    return _created(call, _name(body.get("name")), {"definition": definition, **kept}, None)
