"""The service's JSON as our values. Everything but names and the definition may be absent or of any type."""

from __future__ import annotations

from typing import Final

from reconciler.errors import ServiceError
from reconciler.mark import MARK_KEY, decode, unmarked
from reconciler.resource import Failure, Health, Json, JsonObject, Key, Live, Traffic, Version

_MOST_CHARS: Final = 2_000
# Numbers are a few digits; this leaves room for draft names and none for what breaks arithmetic.
_MOST_NUMBER_CHARS: Final = 64
_HINT: Final = "Check that the endpoint is a Foundry project; `reconciler doctor` tests it."


def version_of(body: Json, name: str = "") -> Version:
    """An AgentVersion body. An unknown status counts as creating: nothing is released to it.

    Args:
        name: the agent, for the message.

    Raises:
        ServiceError: the body is no version at all.
    """
    found = _object(body)
    number, definition = found.get("version"), found.get("definition")
    if not isinstance(number, str) or len(number) > _MOST_NUMBER_CHARS or not isinstance(definition, dict):
        what = f"a version of agent {name}" if name else "a version"
        raise ServiceError(f"cannot read {what}: the answer has no version number or definition", hint=_HINT)
    metadata = _object(found.get("metadata"))
    form: JsonObject = {"definition": definition}
    if found.get("description"):
        form["description"] = found["description"]
    users = unmarked(metadata)
    if users:
        form["metadata"] = users
    return Version(
        number=number,
        form=form,
        health=_health(found.get("status")),
        created_at=_whole(found.get("created_at")),
        mark=decode(metadata.get(MARK_KEY)),
        failure=_failure(found.get("error")),
        draft=found.get("draft") is True or number.startswith("draft-"),
    )


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _health(status: Json) -> Health:
    # Recordings of early 2026 carry no status; those versions served.
    if status is None:
        return Health.ACTIVE
    try:
        return Health(str(status))
    except ValueError:
        return Health.CREATING


def _whole(value: Json) -> int:
    """A number without its fraction; 0 for anything else, also for what is beyond all numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    try:
        return int(value)
    except (OverflowError, ValueError):
        return 0


def _failure(error: Json) -> Failure | None:
    if not isinstance(error, dict):
        return None
    code, message = str(error.get("code") or ""), str(error.get("message") or "")
    return Failure(code[:_MOST_CHARS], message[:_MOST_CHARS])


def live_of(project: str, body: Json) -> Live:
    """An Agent body with its latest version and the mutable part.

    Raises:
        ServiceError: the body has no name, or its latest version is none.
    """
    found = _object(body)
    name = found.get("name")
    if not isinstance(name, str) or not name:
        raise ServiceError("cannot read an agent: the answer has no name", hint=_HINT)
    latest = _object(found.get("versions")).get("latest")
    version = version_of(latest, name) if isinstance(latest, dict) else None
    details = {part: found[part] for part in ("agent_endpoint", "agent_card") if found.get(part) is not None}
    # What was configured counts: an identity that is switched off elsewhere is not ours to change (C6).
    configured = found.get("configuration_state") or found.get("state") or "enabled"
    source = found.get("state_source")
    by_identity = found.get("state") == "disabled" and bool(source) and configured != "disabled"
    return Live(
        key=Key(project, "Agent", name),
        latest=version,
        selector=selector_of(found.get("agent_endpoint")),
        enabled=configured != "disabled",
        disabled_by=str(source) if by_identity else "",
        details=details,
        warnings=_warnings(latest, version),
    )


def _warnings(latest: Json, version: Version | None) -> tuple[str, ...]:
    raw = _object(_object(latest).get("metadata")).get(MARK_KEY)
    if raw is not None and version is not None and version.mark is None:
        return (f"the mark of version {version.number} cannot be read and counts as none",)
    return ()


def selector_of(endpoint: Json) -> Traffic | None:
    """Shares by version; None where traffic follows the latest. Rules of unknown types make it a split."""
    selector = _object(_object(endpoint).get("version_selector"))
    rules = selector.get("version_selection_rules")
    if not isinstance(rules, list) or not rules:
        return None
    return tuple(_share(rule) for rule in rules)


def _share(rule: Json) -> tuple[str, int]:
    found = _object(rule)
    kind = found.get("type", "FixedRatio") if found else rule
    if not found or kind != "FixedRatio":
        return f"?{str(kind)[:_MOST_NUMBER_CHARS]}", 0
    return str(found.get("agent_version", ""))[:_MOST_NUMBER_CHARS], _whole(found.get("traffic_percentage"))


def selector_to(version: str) -> JsonObject:
    """The merge patch that sends all traffic to one version."""
    rule = {"type": "FixedRatio", "agent_version": version, "traffic_percentage": 100}
    return {"agent_endpoint": {"version_selector": {"version_selection_rules": [rule]}}}


def without_read_only(definition: JsonObject) -> JsonObject:
    """A definition as a create may send it: the service computes the hash of the code itself."""
    code = definition.get("code_configuration")
    if not isinstance(code, dict) or "content_hash" not in code:
        return definition
    kept = {key: value for key, value in code.items() if key != "content_hash"}
    return {**definition, "code_configuration": kept}
