"""Which version of an agent answers: an override, the selector's shares, or the latest."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from reconciler.sandbox import versions
from reconciler.sandbox.errors import ApiError, invalid, not_found
from reconciler.sandbox.versions import Row
from reconciler.sandbox.wire import Call, Json

STRIDE = 61
"""Steps through 0 to 99 without repeating, since 61 and 100 share no divisor: of any 100 requests in a row
each version gets exactly its share, and a share of 10 is spread over them."""


@dataclass(frozen=True)
class Served:
    """A version and why it was taken: `override`, `pinned` (by the selector) or `latest`.

    Source: `pinned` is the only word seen in recordings.
    """

    version: Row
    resolution: str


def resolve(call: Call, agent: Row, wanted: str | None = None) -> Served:
    """The version for one request, with its turn in the shares taken; `wanted` names one outright.

    Raises:
        ApiError: 404, the version asked for, or the one that the selector names, does not exist.
    """
    if wanted:
        return Served(_existing(call, agent, wanted), "override")
    rules = rules_of(agent)
    if rules:
        return Served(_existing(call, agent, _pick(call, agent, rules)), "pinned")
    latest = versions.latest(call.db, agent["id"])
    assert latest is not None  # an agent goes with its last version
    return Served(latest, "latest")


def rules_of(agent: Row) -> list[Json]:
    """The rules of the agent's selector; none where there is no selector or a nonsensical one."""
    endpoint = orjson.loads(agent["details"])["endpoint"] or {}
    selector = endpoint.get("version_selector")
    rules = selector.get("version_selection_rules") if isinstance(selector, dict) else None
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []


def _pick(call: Call, agent: Row, rules: list[Json]) -> str:
    (turn,) = call.db.execute("SELECT turns FROM resources WHERE id = ?", (agent["id"],)).fetchone()
    call.db.execute("UPDATE resources SET turns = turns + 1 WHERE id = ?", (agent["id"],))
    point = (turn * STRIDE + int(call.settings["seed"])) % 100
    for rule in rules:
        share = rule.get("traffic_percentage")
        point -= share if isinstance(share, int) else 0
        if point < 0:
            return str(rule.get("agent_version"))
    return str(rules[-1].get("agent_version"))


def _existing(call: Call, agent: Row, name: str) -> Row:
    row = versions.version(call.db, agent["id"], name)
    if row is None:
        raise not_found("Version", f"{agent['name']}:{name}")
    return row


def check_ready(call: Call, agent: Row, version: Row) -> None:
    """Refuse to work with a version that is not active.

    Source: `session_not_ready` 424, azure-dev#9247.
    """
    status = versions.status(version, call.now)
    if status != "active":
        name = f"{agent['name']}:{version['version']}"
        raise ApiError(
            424, f"The session is not ready: version '{name}' is {status}.", code="session_not_ready"
        )


def check_enabled(agent: Row) -> None:
    """Refuse the requests of a disabled agent's callers with 403."""
    if orjson.loads(agent["details"])["state"] != "enabled":
        raise ApiError(403, f"Agent '{agent['name']}' is disabled.", code="agent_disabled")


def text_of(value: object, param: str) -> str | None:
    """Text or None.

    Raises:
        ApiError: 400, something else.
    """
    if value is not None and not isinstance(value, str):
        raise invalid(f"'{param}' must be a string.", param)
    return value
