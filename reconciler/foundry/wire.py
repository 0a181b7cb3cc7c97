"""The service's JSON as our values. Everything but names and the definition may be absent."""

from __future__ import annotations

from typing import Any, Final

from reconciler.errors import ServiceError
from reconciler.mark import MARK_KEY, decode, unmarked
from reconciler.resource import Failure, Health, Json, JsonObject, Key, Live, Traffic, Version

_MOST_CHARS: Final = 2_000


def version_of(body: JsonObject) -> Version:
    """An AgentVersion body. An unknown status counts as creating: nothing is released to it.

    Raises:
        ServiceError: the body is no version at all.
    """
    number, definition = body.get("version"), body.get("definition")
    if not isinstance(number, str) or not isinstance(definition, dict):
        raise ServiceError(
            "cannot read a version: the answer has no version number or definition",
            hint="Check that the endpoint is a Foundry project; `reconciler doctor` tests it.",
        )
    metadata = body.get("metadata") or {}
    form: JsonObject = {"definition": definition}
    if body.get("description"):
        form["description"] = body["description"]
    users = unmarked(metadata)
    if users:
        form["metadata"] = users
    return Version(
        number=number,
        form=form,
        health=_health(body.get("status")),
        created_at=_seconds(body.get("created_at")),
        mark=decode(metadata.get(MARK_KEY)),
        failure=_failure(body.get("error")),
        draft=body.get("draft") is True or number.startswith("draft-"),
    )


def _health(status: Json) -> Health:
    # Recordings of early 2026 carry no status; those versions served.
    if status is None:
        return Health.ACTIVE
    try:
        return Health(str(status))
    except ValueError:
        return Health.CREATING


def _seconds(value: Json) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _failure(error: Json) -> Failure | None:
    if not isinstance(error, dict):
        return None
    return Failure(str(error.get("code") or ""), str(error.get("message") or "")[:_MOST_CHARS])


def live_of(project: str, body: JsonObject) -> Live:
    """An Agent body with its latest version and the mutable part.

    Raises:
        ServiceError: the body has no name.
    """
    name = body.get("name")
    if not isinstance(name, str):
        raise ServiceError("cannot read an agent: the answer has no name")
    key = Key(project, "Agent", name)
    latest = (body.get("versions") or {}).get("latest")
    version = version_of(latest) if isinstance(latest, dict) else None
    details = {part: body[part] for part in ("agent_endpoint", "agent_card") if body.get(part) is not None}
    state = body.get("configuration_state", body.get("state", "enabled"))
    source = body.get("state_source") or ""
    by_identity = body.get("state") == "disabled" and bool(source) and state != "disabled"
    return Live(
        key=key,
        latest=version,
        selector=selector_of(body.get("agent_endpoint")),
        enabled=state != "disabled",
        disabled_by=str(source) if by_identity else "",
        details=details,
        warnings=_warnings(latest, version),
    )


def _warnings(latest: Json, version: Version | None) -> tuple[str, ...]:
    raw = (latest.get("metadata") or {}).get(MARK_KEY) if isinstance(latest, dict) else None
    if raw is not None and version is not None and version.mark is None:
        return (f"the mark of version {version.number} cannot be read and counts as none",)
    return ()


def selector_of(endpoint: Any) -> Traffic | None:
    """Shares by version; None where traffic follows the latest. Rules of unknown types make it a split."""
    selector = (endpoint or {}).get("version_selector") if isinstance(endpoint, dict) else None
    rules = selector.get("version_selection_rules") if isinstance(selector, dict) else None
    if not isinstance(rules, list) or not rules:
        return None
    shares: list[tuple[str, int]] = []
    for rule in rules:
        if isinstance(rule, dict) and rule.get("type", "FixedRatio") == "FixedRatio":
            shares.append((str(rule.get("agent_version", "")), _seconds(rule.get("traffic_percentage"))))
        else:
            shares.append((f"?{rule.get('type') if isinstance(rule, dict) else rule}", 0))
    return tuple(shares)


def selector_to(version: str) -> JsonObject:
    """The merge patch that sends all traffic to one version."""
    rule = {"type": "FixedRatio", "agent_version": version, "traffic_percentage": 100}
    return {"agent_endpoint": {"version_selector": {"version_selection_rules": [rule]}}}
