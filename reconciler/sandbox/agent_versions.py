"""Versions of agents: create, get, list; and deleting, of a version or of the whole agent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from reconciler.sandbox import agents, code, sessions, traffic, validation, versions, views
from reconciler.sandbox.errors import ApiError, invalid, not_found
from reconciler.sandbox.paging import Position, cut, keyset, list_body, page_of
from reconciler.sandbox.versions import NewVersion, Row
from reconciler.sandbox.wire import Call, Json, Reply, dumps, reply

PREVIEW = {
    "workflow": ("Workflow agents", "WorkflowAgents=V1Preview"),
    "external": ("External agents", "ExternalAgents=V1Preview"),
    "voice": ("Voice agents", "VoiceAgents=V1Preview"),
}
DRAFTS = ("Draft agent versions", "DraftAgents=V1Preview")


def create_version(call: Call) -> Reply:
    """`POST /agents/{agent_name}/versions`: the agent comes into being with its first version.

    A form instead of JSON carries code for a hosted agent.
    """
    if code.is_upload(call):
        body, sha = code.uploaded(call)
        return add(call, call.params["agent_name"], body, sha)
    return add(call, call.params["agent_name"], call.json())


def add(call: Call, name: str, body: Json, code_sha: str | None = None) -> Reply:
    """200 with the version that `body` describes; an existing one where the `dedupe` setting says so."""
    agent, version = add_version(call, name, body, code_sha)
    return reply(views.version_view(agent, version, call.settings, call.now))


def add_version(call: Call, name: str, body: Json, code_sha: str | None = None) -> tuple[Row, Row]:
    """The agent and its version for `body`, in the order in which the service checks."""
    definition = validation.definition_of(body)
    draft = body.get("draft") is True
    _check_features(call, definition["kind"], draft)
    new = _new_version(call, name, body, code_sha)
    place = agents.shelf(call)
    agent = versions.find(place, name)
    if agent is None:
        agent = agents.new_agent(call, name, blueprint_reference=body.get("blueprint_reference"))
    else:
        latest = versions.latest(call.db, agent["id"])
        policy = call.settings.get(f"dedupe.{definition['kind']}", "off")
        if latest is not None and same(policy, latest, new):
            return agent, latest
        if versions.count_versions(call.db, agent["id"]) >= call.settings["max_versions"]:
            raise ApiError(400, "Too many valid agent revisions.", code="UserError")
    version = versions.add_version(place, agent["id"], new)
    if body.get("digital_worker_type") is not None:
        details = orjson.loads(agent["details"]) | {"digital_worker_type": body["digital_worker_type"]}
        versions.set_details(place, agent["id"], details)
    views.refresh(place, agent["id"])
    return versions.reload(call.db, agent["id"]), version


def same(policy: str, latest: Row, new: NewVersion) -> bool:
    """Whether a dedupe policy finds nothing new in `new`, whatever the service added to `latest`."""
    return versions.unchanged(policy, latest, new, views.comparable)


def _check_features(call: Call, kind: str, draft: bool) -> None:
    if call.settings["features"] == "off":
        return
    given = {item.strip() for item in call.headers.get("foundry-features", "").split(",")}
    for what, feature in ([PREVIEW[kind]] if kind in PREVIEW else []) + ([DRAFTS] if draft else []):
        if feature not in given:
            raise ApiError(
                403,
                f"{what} is in preview. This operation requires the following opt-in preview feature(s):"
                f" {feature}. Include the 'Foundry-Features: {feature}' header in your request.",
                code="preview_feature_required",
                param="Foundry-Features",
            )


def _new_version(call: Call, name: str, body: Json, code_sha: str | None) -> NewVersion:
    level = call.settings["validation"]
    validation.check_name(name, level)
    definition = views.normal(body["definition"])
    validation.check_definition(definition, level)
    metadata = validation.metadata_of(body, level)
    description = validation.description_of(body, level)
    draft = _draft(call, body.get("draft"))
    code = definition.get("code_configuration")
    if isinstance(code, dict):
        code.pop("content_hash", None)  # read-only: what a client sends back is not taken
    new = NewVersion(
        definition,
        metadata,
        description,
        draft=draft,
        code_sha=code_sha,
    )
    return _provisioned(call, new) if definition["kind"] == "hosted" else new


def _draft(call: Call, wanted: Any) -> bool:
    if wanted is not None and not isinstance(wanted, bool):
        raise invalid("'draft' must be true or false.", "draft")
    if wanted and call.settings["drafts"] == "refused":
        raise invalid("Draft versions are not enabled for this subscription.", "draft")
    # A subscription without drafts makes a normal version and says nothing.
    return bool(wanted) and call.settings["drafts"] == "allowed"


def _provisioned(call: Call, new: NewVersion) -> NewVersion:
    """`new` with the provisioning that the settings of this moment give it."""
    outcome = call.settings["provisioning.outcome"]
    error = call.settings["provisioning.error"] if outcome == "failed" else None
    if outcome == "failed" and error is None:
        error = {"code": "image_pull_failed", "message": "The container image could not be pulled."}
    return replace(
        new, settles_at=call.now + call.settings["provisioning.delay_s"], outcome=outcome, error=error
    )


def version_of(call: Call, agent: Row) -> Row:
    """The version that the route names; `@latest` is the latest release.

    Raises:
        ApiError: 404.
    """
    name = call.params["agent_version"]
    row = versions.version(call.db, agent["id"], name)
    if row is None:
        raise not_found("Version", f"{agent['name']}:{name}")
    return row


def get_version(call: Call) -> Reply:
    """`GET /agents/{agent_name}/versions/{agent_version}`"""
    agent = agents.agent_of(call)
    return reply(views.version_view(agent, version_of(call, agent), call.settings, call.now))


def list_versions(call: Call) -> Reply:
    """`GET /agents/{agent_name}/versions`: newest first, drafts only with `include_drafts`."""
    page, drafts = page_of(call), call.flag("include_drafts")
    agent = agents.agent_of(call)
    prefix = f"{agent['name']}:"

    def locate(cursor: str) -> Position | None:
        row = call.db.execute(
            "SELECT id, version FROM versions WHERE resource_id = ? AND version = ? ORDER BY id DESC LIMIT 1",
            (agent["id"], cursor.removeprefix(prefix)),
        ).fetchone()
        return row and (-row["id"], row["version"])

    keys = keyset(page, ("-id", "version"), locate)
    visible, times = agents.shelf(call).listed()
    kinds = "" if drafts else "AND number IS NOT NULL"
    rows = call.db.execute(
        f"SELECT * FROM versions WHERE resource_id = ? AND {visible} AND {keys.where} {kinds} {keys.tail}",
        (agent["id"], *times, *keys.args),
    )
    bodies = [
        (prefix + row["version"], dumps(views.version_view(agent, row, call.settings, call.now)))
        for row in rows
    ]
    return Reply(body=list_body(*cut(bodies, keys)))


def delete_agent(call: Call) -> Reply:
    """`DELETE /agents/{agent_name}`: all versions go; the next agent of that name has a new identity."""
    force = call.flag("force")
    agent = agents.agent_of(call)
    sessions.end_or_refuse(call, agent, None, force=force)
    versions.delete_resource(agents.shelf(call), agent)
    return reply({"object": "agent.deleted", "name": agent["name"], "deleted": True})


def delete_version(call: Call) -> Reply:
    """`DELETE /agents/{agent_name}/versions/{agent_version}`: with the last version goes the agent."""
    force = call.flag("force")
    agent = agents.agent_of(call)
    version = version_of(call, agent)
    if version["version"] != call.params["agent_version"]:  # `@latest` is for reading
        raise not_found("Version", f"{agent['name']}:{call.params['agent_version']}")
    serving = [
        rule.get("agent_version") for rule in traffic.rules_of(agent) if rule.get("traffic_percentage")
    ]
    if call.settings["delete_serving"] == "refused" and version["version"] in serving:
        raise ApiError(409, f"Version '{version['version']}' receives traffic and cannot be deleted.")
    sessions.end_or_refuse(call, agent, version["version"], force=force)
    versions.delete_version(agents.shelf(call), agent, version)
    views.refresh(agents.shelf(call), agent["id"])
    return reply(
        {
            "object": "agent.version.deleted",
            "name": agent["name"],
            "version": version["version"],
            "deleted": True,
        }
    )
