"""Short ways to write settings: dotted keys, a group as one value, true and false for two-sided switches."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from reconciler.sandbox.settings import SWITCHES

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "list_lag": "list_lag_s",
        "latency": "latency_s",
        "provisioning.delay": "provisioning.delay_s",
        "rate_limit.rate": "rate_limit.per_second",
    }
)
"""Names without their unit, and what they are called."""

BOOLEANS: Mapping[str, tuple[object, object]] = MappingProxyType(
    {
        "drafts": ("allowed", "refused"),
        "default_endpoint": ("present", "absent"),
        "delete_serving": ("allowed", "refused"),
        "features": ("required", "off"),
        "validation": ("required", "off"),
        "auth": ("required", "off"),
        "dedupe": ("latest-definition", "off"),
        "selector": ("accepted", "refused"),
        "server_added.unknown": ("random", None),
    }
)
"""What true and false mean, by switch or by group of switches."""

_GROUPS = {name.partition(".")[0] for name in SWITCHES if "." in name}


def expand(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes by dotted name, in full. What is not understood is handed on as it was written."""
    full: dict[str, Any] = {}
    for key, value in changes.items():
        name = ALIASES.get(key, key)
        full |= _group(name, value) if name in _GROUPS else {name: value}
    return {name: _value(name, value) for name, value in full.items()}


def _group(group: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        inner = {f"{group}.{leaf}": each for leaf, each in value.items()}
        return {ALIASES.get(name, name): each for name, each in inner.items()}
    names = [name for name in SWITCHES if name.startswith(f"{group}.")]
    if value is None:
        return {name: SWITCHES[name].default for name in names}
    if group in ("dedupe", "selector") and isinstance(value, str | bool):
        return dict.fromkeys(names, value)
    if group == "server_added" and isinstance(value, bool):
        return {"server_added.known": value} | ({} if value else {"server_added.unknown": None})
    if group == "rate_limit" and value is not True and isinstance(value, int | float):
        return {"rate_limit.per_second": value}
    return {group: value}


def _value(name: str, value: Any) -> Any:
    if name not in SWITCHES or SWITCHES[name].accepts(value):
        return value
    if value is None:
        return SWITCHES[name].default
    if isinstance(value, bool):
        yes_no = BOOLEANS.get(name, BOOLEANS.get(name.partition(".")[0], (value, value)))
        value = yes_no[not value]
    if name in ("rate_limit.per_second", "rate_limit.burst") and value in (0, False):
        return None
    if name == "provisioning.error" and isinstance(value, dict) and set(value) == {"code"}:
        return {**value, "message": "The version could not be provisioned."}
    return value
