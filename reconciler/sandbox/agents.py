"""Agents themselves: list, get, change their endpoint and card, enable, disable, delete."""

from __future__ import annotations

from typing import Any

import orjson

from reconciler.sandbox import validation, versions, views
from reconciler.sandbox.errors import invalid, not_found
from reconciler.sandbox.paging import Position, cut, keyset, list_body, page_of
from reconciler.sandbox.settings import KINDS
from reconciler.sandbox.versions import Row, Shelf
from reconciler.sandbox.wire import Call, Json, Reply, dumps, reply


def shelf(call: Call) -> Shelf:
    """The agents of the request's project."""
    return Shelf(call.db, call.project, "agents", call.settings, call.now)


def agent_of(call: Call) -> Row:
    """The agent that the route names.

    Raises:
        ApiError: 404.
    """
    name = call.params["agent_name"]
    row = versions.find(shelf(call), name)
    if row is None:
        raise not_found("Agent", name)
    return row


def details_reply(call: Call, agent_id: int) -> Reply:
    """200 with the agent as it is now."""
    agent = versions.reload(call.db, agent_id)
    latest = versions.latest(call.db, agent_id)
    assert latest is not None  # an agent goes with its last version
    return reply(views.agent_view(agent, latest, call.settings, call.now))


def list_agents(call: Call) -> Reply:
    """`GET /agents`: newest first, ties by name."""
    page, place = page_of(call), shelf(call)
    kind = call.query.get("kind")
    if kind is not None and kind not in KINDS:
        raise invalid(f"Query parameter 'kind' must be one of: {', '.join(KINDS)}.", "kind")

    def locate(name: str) -> Position | None:
        row = (
            versions.find(place, name)
            or call.db.execute(
                # An agent deleted between two pages still marks its place.
                "SELECT rank, name FROM resources WHERE project = ? AND collection = 'agents' AND name = ?"
                " ORDER BY id DESC LIMIT 1",
                (call.project, name),
            ).fetchone()
        )
        return row and (row["rank"], row["name"])

    keys = keyset(page, ("rank", "name"), locate)
    where = f"project = ? AND collection = 'agents' AND {keys.where}"
    args: list[object] = [call.project, *keys.args]
    if kind is not None:
        where, args = where + " AND kind = ?", [*args, kind]
    visible, times = place.listed()
    where, args = f"{where} AND {visible}", [*args, *times]
    rows, more = cut(_bodies(call, place, f"{where} {keys.tail}", args), keys)
    return Reply(body=list_body(rows, more))


def _bodies(call: Call, place: Shelf, where: str, args: list[object]) -> list[tuple[str, bytes]]:
    stored = not place.lags and call.settings["server_added.known"]
    if stored and call.settings["server_added.unknown"] is None:
        return [
            (name, body)
            for name, body in call.db.execute(
                "SELECT name, CASE WHEN settles_at <= ? THEN settled_body ELSE body END FROM resources"
                f" WHERE {where}",
                (call.now, *args),
            )
        ]
    rows = []
    details, moment = versions.listed_details(place)
    found = call.db.execute(
        f"SELECT id, name, {details} AS details FROM resources WHERE {where}", (*moment, *args)
    )
    for agent in found.fetchall():
        latest = versions.latest_listed(place, agent["id"])
        if latest is not None:
            view = views.agent_view(agent, latest, call.settings, call.now)
            rows.append((agent["name"], dumps(view)))
    return rows


def get_agent(call: Call) -> Reply:
    """`GET /agents/{agent_name}`"""
    return details_reply(call, agent_of(call)["id"])


def new_agent(call: Call, name: str, *, blueprint_reference: Any = None) -> Row:
    """An agent without versions; its first version has to follow in the same transaction.

    Its endpoint is what the `default_endpoint` setting says.
    """
    reference = blueprint_reference if isinstance(blueprint_reference, dict) else None
    details = {
        "state": "enabled",
        "endpoint": default_endpoint(call.settings["default_endpoint"], first_version="1"),
        "card": None,
        "identity": views.new_identity(name, reference),
    }
    place = shelf(call)
    agent_id = versions.add_resource(place, name, details, born_at=call.now, listed_from=call.now)
    return versions.reload(call.db, agent_id)


def default_endpoint(mode: str, *, first_version: str) -> Json | None:
    """The endpoint that an agent has before anybody sets one."""
    if mode == "absent":
        return None
    endpoint: Json = {"protocol_configuration": {"responses": {}}, "authorization_schemes": [views.ENTRA]}
    if mode == "pinned":
        return {"version_selector": selector([(first_version, 100)]), **endpoint}
    return endpoint


def selector(shares: list[tuple[str, int]]) -> Json:
    """A version selector from (version, per cent) pairs."""
    return {
        "version_selection_rules": [
            {"type": "FixedRatio", "agent_version": version, "traffic_percentage": share}
            for version, share in shares
        ]
    }


def merge_patch(old: Any, patch: Any) -> Any:
    """`old` with `patch` applied: objects merge, null removes, everything else replaces (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def update_details(call: Call) -> Reply:
    """`PATCH /agents/{agent_name}`: merge-patch of `agent_endpoint` and `agent_card`."""
    patch = call.json()
    agent = agent_of(call)
    unknown = sorted(set(patch) - {"agent_endpoint", "agent_card"})
    if unknown and call.settings["validation"] == "strict":
        raise invalid(f"'{unknown[0]}' cannot be changed here.", unknown[0])
    details: Json = orjson.loads(agent["details"])
    if "agent_endpoint" in patch:
        details["endpoint"] = _patched_endpoint(call, agent, details["endpoint"], patch["agent_endpoint"])
    if "agent_card" in patch:
        details["card"] = _patched_card(call, details["card"], patch["agent_card"])
    versions.set_details(shelf(call), agent["id"], details)
    views.refresh(shelf(call), agent["id"])
    return details_reply(call, agent["id"])


def _patched_endpoint(call: Call, agent: Row, old: Json | None, patch: Any) -> Json | None:
    if patch is None:
        mode = "absent" if call.settings["default_endpoint"] == "absent" else "present"
        return default_endpoint(mode, first_version="1")
    if not isinstance(patch, dict):
        raise invalid("'agent_endpoint' must be an object.", "agent_endpoint")
    patch = dict(patch)
    mode = call.settings.get(f"selector.{agent['kind']}", "accepted")
    if patch.get("version_selector") is not None:
        if mode == "refused":
            raise invalid(f"Agents of kind {agent['kind']} take no version selector.", validation.SELECTOR)
        if mode == "ignored":
            del patch["version_selector"]
    protocols = patch.pop("protocols", None)
    if isinstance(protocols, list) and "protocol_configuration" not in patch:
        # The shape of SDK 2.1: the list says it all, so protocols that are not in it go.
        if not all(isinstance(name, str) for name in protocols):
            raise invalid("'protocols' must be a list of strings.", "agent_endpoint.protocols")
        known = (old or {}).get("protocol_configuration")
        kept: Json = {name: {} for name in protocols}
        gone: Json = {name: None for name in known if name not in kept} if isinstance(known, dict) else {}
        patch["protocol_configuration"] = gone | kept
    merged: Json = merge_patch(old or default_endpoint("present", first_version="1"), patch)
    touched = patch.get("version_selector") is not None
    if touched and call.settings["validation"] != "off":
        validation.check_selector(merged["version_selector"], releases(call, agent))
    schemes = merged.get("authorization_schemes")
    if schemes is not None and not isinstance(schemes, list):
        raise invalid("'authorization_schemes' must be a list.", "agent_endpoint.authorization_schemes")
    if not isinstance(merged.get("protocol_configuration", {}), dict):
        raise invalid("'protocol_configuration' must be an object.", "agent_endpoint.protocol_configuration")
    return views.normal(merged) if merged.get("version_selector") else merged


def _patched_card(call: Call, old: Json | None, patch: Any) -> Json | None:
    if patch is None:
        return None
    if not isinstance(patch, dict):
        raise invalid("'agent_card' must be an object.", "agent_card")
    card: Json = merge_patch(old, patch)
    if call.settings["validation"] != "off":
        if not isinstance(card.get("version"), str):
            raise invalid("'version' is required and must be a string.", "agent_card.version")
        if not isinstance(card.get("skills"), list):
            raise invalid("'skills' is required and must be a list.", "agent_card.skills")
    return card


def releases(call: Call, agent: Row) -> set[str]:
    """Names of the agent's versions that are no drafts."""
    rows = call.db.execute(
        "SELECT version FROM versions WHERE resource_id = ? AND deleted_at IS NULL AND number IS NOT NULL",
        (agent["id"],),
    )
    return {name for (name,) in rows}


def enable(call: Call) -> Reply:
    """`POST /agents/{agent_name}:enable`; without effect when it is enabled."""
    return _set_state(call, "enabled")


def disable(call: Call) -> Reply:
    """`POST /agents/{agent_name}:disable`; its management calls still work, its protocols answer 403."""
    return _set_state(call, "disabled")


def _set_state(call: Call, state: str) -> Reply:
    agent = agent_of(call)
    details = orjson.loads(agent["details"]) | {"state": state}
    versions.set_details(shelf(call), agent["id"], details)
    views.refresh(shelf(call), agent["id"])
    return Reply(call.settings["enable_status"])
