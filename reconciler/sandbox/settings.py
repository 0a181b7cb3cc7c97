"""Every switch of the sandbox: names, defaults, allowed values. Stored for the server and per project."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from reconciler.sandbox.errors import invalid

Settings = Mapping[str, Any]
"""The effective value of each switch by its dotted name, such as `provisioning.delay_s`."""

KINDS = ("prompt", "hosted", "workflow", "external", "voice")


@dataclass(frozen=True)
class Switch:
    """Default, predicate and the allowed values in words."""

    default: object
    allowed: str
    accepts: Callable[[object], bool]


def _choice(*values: object) -> Switch:
    """One of `values`; the first is the default."""
    kinds = {type(value) for value in values}
    words = ", ".join(orjson.dumps(value).decode() for value in values)
    return Switch(values[0], words, lambda given: type(given) in kinds and given in values)


def _number(given: object, low: float = 0, high: float = 1e9) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and low <= given <= high


def _seconds(default: float) -> Switch:
    return Switch(default, "a number of seconds, 0 to 3600", lambda given: _number(given, high=3600))


def _whole(default: int, low: int, high: int) -> Switch:
    accepts: Callable[[object], bool] = lambda given: type(given) is int and low <= given <= high  # noqa: E731
    return Switch(default, f"a whole number, {low} to {high}", accepts)


def _is_error(given: object) -> bool:
    return (
        isinstance(given, dict)
        and set(given) == {"code", "message"}
        and all(isinstance(text, str) for text in given.values())
    )


_DEDUPE = ("off", "latest-definition", "latest-definition+metadata+description")
_RATE = "a number above 0, or null"

SWITCHES: Mapping[str, Switch] = {
    **{f"dedupe.{kind}": _choice(*_DEDUPE) for kind in KINDS},
    "dedupe.hosted": Switch("latest-definition", _choice(*_DEDUPE).allowed, _choice(*_DEDUPE).accepts),
    "provisioning.delay_s": _seconds(1.0),
    "provisioning.outcome": _choice("active", "failed"),
    "provisioning.error": Switch(
        None, 'null or {"code": text, "message": text}', lambda given: given is None or _is_error(given)
    ),
    "default_endpoint": _choice("present", "absent", "pinned"),
    **{f"selector.{kind}": _choice("accepted", "refused", "ignored") for kind in KINDS},
    "drafts": _choice("allowed", "downgraded", "refused"),
    "list_lag_s": _seconds(0),
    "page_size_cap": _whole(100, 1, 100),
    "enable_status": _choice(204, 200),
    "server_added.known": _choice(True, False),
    "server_added.unknown": Switch(
        None,
        'null, an object, or "random"',
        lambda given: given in (None, "random") or isinstance(given, dict),
    ),
    "validation": _choice("required", "off", "strict"),
    "rate_limit.per_second": Switch(None, _RATE, lambda given: given is None or _number(given, 1e-6)),
    "rate_limit.burst": Switch(None, _RATE, lambda given: given is None or _number(given, 1e-6)),
    "rate_limit.retry_after": _choice(True, False),
    "latency_s": _seconds(0),
    "auth": _choice("off", "required"),
    "max_versions": _whole(1000, 1, 1_000_000),
    "delete_serving": _choice("allowed", "refused"),
    "features": _choice("required", "off"),
    "names": _choice("case-sensitive", "case-insensitive"),
    "seed": _whole(0, -(2**53), 2**53),
}
"""Every switch by its dotted name. The first part of a name is a key of the settings object."""

_DEFAULTS: Settings = {name: switch.default for name, switch in SWITCHES.items()}
_parsed: dict[tuple[bytes, bytes], Settings] = {}


def effective(db: sqlite3.Connection, project: str) -> Settings:
    """Defaults, then what was set for the server, then for the project."""
    rows = dict(db.execute("SELECT scope, value FROM config WHERE scope IN ('', ?)", (f"project:{project}",)))
    if not rows:
        return _DEFAULTS
    key = rows.get("", b"{}"), rows.get(f"project:{project}", b"{}")
    if key not in _parsed:
        if len(_parsed) > 1000:  # a project per test adds up in a long-lived server
            _parsed.clear()
        _parsed[key] = {**_DEFAULTS, **orjson.loads(key[0]), **orjson.loads(key[1])}
    return _parsed[key]


def nested(settings: Settings) -> dict[str, Any]:
    """The settings as the object that `GET /_sandbox/settings` answers with."""
    tree: dict[str, Any] = {}
    for name, value in settings.items():
        group, dot, leaf = name.partition(".")
        if dot:
            tree.setdefault(group, {})[leaf] = value
        else:
            tree[group] = value
    return copy.deepcopy(tree)


def merge(db: sqlite3.Connection, project: str | None, changes: Mapping[str, Any]) -> None:
    """Set the switches in `changes`, by dotted name, for one project or the server; the others stay.

    Raises:
        ApiError: 400, an unknown name or a value that is not allowed; nothing is stored.
    """
    given = _flat(changes)
    scope = _scope(project)
    row = db.execute("SELECT value FROM config WHERE scope = ?", (scope,)).fetchone()
    stored = orjson.loads(row[0]) if row else {}
    db.execute("REPLACE INTO config (scope, value) VALUES (?, ?)", (scope, orjson.dumps({**stored, **given})))


def reset(db: sqlite3.Connection, project: str | None) -> None:
    """Forget what was set for the project, or for the server and all projects."""
    if project is None:
        db.execute("DELETE FROM config")
    else:
        db.execute("DELETE FROM config WHERE scope = ?", (_scope(project),))


def _scope(project: str | None) -> str:
    return "" if project is None else f"project:{project}"


def _flat(changes: Mapping[str, Any]) -> dict[str, object]:
    groups = {name.partition(".")[0] for name in SWITCHES}
    flat: dict[str, object] = {}
    for key, value in changes.items():
        group, dot, _ = key.partition(".")
        if key in SWITCHES:
            flat[key] = _checked(key, value)
        elif dot and group in groups:
            raise invalid(f"Unknown setting '{key}'. Allowed keys: {_leaves(group)}.", key)
        elif key not in groups:
            raise invalid(f"Unknown setting '{key}'. Allowed: {', '.join(sorted(groups))}.", key)
        else:
            raise invalid(f"Setting '{key}' must be an object. Allowed keys: {_leaves(key)}.", key)
    return flat


def _checked(name: str, value: object) -> object:
    if not SWITCHES[name].accepts(value):
        raise invalid(f"Setting '{name}' must be one of: {SWITCHES[name].allowed}.", name)
    return value


def _leaves(group: str) -> str:
    return ", ".join(sorted(name.partition(".")[2] for name in SWITCHES if name.startswith(group + ".")))
