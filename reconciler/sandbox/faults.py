"""Scripted faults: which requests they meet, how often, and what happens. Stored in the state file."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from reconciler.sandbox import patterns
from reconciler.sandbox.errors import ApiError, invalid
from reconciler.sandbox.patterns import Target
from reconciler.sandbox.wire import Json, Reply, dumps, error_reply

MAX_DELAY_S = 600.0
MAX_TIMES = 1_000_000_000
TEXT_TYPE = "text/plain; charset=utf-8"
ANY_METHOD = ("", "*", "ANY")
FRAMING = {"content-length", "transfer-encoding", "connection"}

DEFAULT_MESSAGES: Mapping[int, str] = {
    409: "The resource already exists or was modified concurrently. Please retry.",
    424: "The session is not ready.",
    429: "Rate limit is exceeded. Try again later.",
    500: "The server had an error while processing your request.",
}


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    `delay_s` comes before the request is handled, or, with `after_commit`, between its commit and its
    answer. `status` None lets the request's own answer through; `drop` closes the connection without one.
    `body` is text, sent as it is, an object or a list, sent as JSON, or None: the service's envelope with
    `code` and `message`, by default those of the status.
    """

    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: Any = None
    delay_s: float = 0.0
    after_commit: bool = False
    drop: bool = False
    code: str | None = None
    message: str | None = None

    def reply(self, request_id: str) -> Reply:
        """The answer instead of the request's own; `status` has to be set."""
        assert self.status is not None
        headers = dict(self.headers or {})
        if isinstance(self.body, str):
            return Reply(self.status, self.body.encode(), headers, TEXT_TYPE)
        if self.body is not None:
            return Reply(self.status, dumps(self.body), headers)
        if self.status < 400 and self.code is None and self.message is None:
            return Reply(self.status, b"{}", headers)
        message = self.message or DEFAULT_MESSAGES.get(self.status, "The request failed.")
        return error_reply(ApiError(self.status, message, code=self.code, headers=headers), request_id)


def any_rules(db: sqlite3.Connection) -> bool:
    """Whether a request has to be matched at all."""
    return db.execute("SELECT 1 FROM faults LIMIT 1").fetchone() is not None


def take(db: sqlite3.Connection, target: Target) -> Fault | None:
    """The fault of the first matching rule with times left, which is used up by one; None without one."""
    for row in db.execute("SELECT id, rule, left, skip FROM faults ORDER BY id").fetchall():
        rule = orjson.loads(row["rule"])
        if row["left"] == 0 or not _matches(rule.get("match", {}), target):
            continue
        if row["skip"] > 0:
            db.execute("UPDATE faults SET skip = skip - 1 WHERE id = ?", (row["id"],))
            continue
        db.execute("UPDATE faults SET hits = hits + 1, left = left - 1 WHERE id = ?", (row["id"],))
        return Fault(**rule["action"])
    return None


def _matches(match: Json, target: Target) -> bool:
    method, project, path = (match.get("method") or "").upper(), match.get("project"), match.get("path")
    if method not in ANY_METHOD and method != target.method:
        return False
    if project is not None and project != target.project:
        return False
    return not path or patterns.parse(path).meets(target)


def view(db: sqlite3.Connection, project: str | None) -> Json:
    """`{"rules": [...]}`: each rule with its `hits` and the `times` that are left, null for ever.

    With a project only the rules that name it in `match.project`.
    """
    rules = []
    for row in db.execute("SELECT rule, left, hits FROM faults ORDER BY id"):
        rule = orjson.loads(row["rule"])
        if project in (None, rule["match"].get("project")):
            rules.append(rule | {"times": row["left"], "hits": row["hits"]})
    return {"rules": rules}


def replace(db: sqlite3.Connection, given: Any, project: str | None) -> None:
    """Take rules in place of the present ones: a list, an object with it under `rules` or `faults`, or one.

    With a project only its own rules are replaced, and the new ones meet that project alone.

    Raises:
        ApiError: 400, a rule is not understood; the present rules stay.
    """
    if isinstance(given, dict):
        given = [given] if "action" in given or "match" in given else given.get("rules", given.get("faults"))
    if not isinstance(given, list):
        raise invalid('Faults are a list of {"match", "times", "action"}, or {"rules": [...]}.')
    rules = [_checked(rule, f"rules[{index}]") for index, rule in enumerate(given)]
    clear(db, project)
    for rule in rules:
        if project is not None:
            rule["match"]["project"] = project
        times, skip = rule.pop("times", None), rule["match"].get("skip", 0)
        db.execute(
            "INSERT INTO faults (rule, left, skip, hits) VALUES (?, ?, ?, 0)", (dumps(rule), times, skip)
        )


def clear(db: sqlite3.Connection, project: str | None) -> None:
    """Forget every rule, or those of one project."""
    if project is None:
        db.execute("DELETE FROM faults")
    else:
        db.execute(
            "DELETE FROM faults WHERE json_extract(CAST(rule AS TEXT), '$.match.project') = ?", (project,)
        )


def _checked(rule: Any, path: str) -> Json:
    rule = _object(rule, path, None)
    rule.pop("hits", None)  # so that what GET returned can be put back
    match = _object(rule.get("match") or {}, f"{path}.match", {"method", "path", "project", "skip"})
    for key in ("method", "path", "project"):
        if match.get(key) is not None and not isinstance(match[key], str):
            raise invalid(f"'{key}' must be text.", f"{path}.match.{key}")
    if match.get("path"):
        _check_pattern(match["path"], f"{path}.match.path")
    if rule.get("skip") is not None:
        match["skip"] = rule.pop("skip")
    times = rule.get("times")
    for name, count in (("times", times), ("match.skip", match.get("skip", 0))):
        if count is not None and (type(count) is not int or not 0 <= count <= MAX_TIMES):
            raise invalid(f"'{name}' must be a whole number, 0 to {MAX_TIMES}.", f"{path}.{name}")
    match["skip"] = match.get("skip") or 0
    action = _action(rule.get("action"), f"{path}.action")
    checked: Json = rule | {"match": match, "times": times, "action": action}
    return checked


def _check_pattern(pattern: str, path: str) -> None:
    if len(pattern) > patterns.MAX_LENGTH or not patterns.parse(pattern).has_route():
        raise invalid(
            f"The path '{pattern[:200]}' matches no route. Write it as below the project:"
            " /agents/{agent_name}/versions, /agents/my-agent, /agents/*.",
            path,
        )


ACTION_KEYS = {"status", "headers", "body", "code", "message", "delay_s", "after_commit", "drop"}


def _action(given: Any, path: str) -> Json:
    action = _object(given, path, ACTION_KEYS)
    action = {key: value for key, value in action.items() if value is not None}
    _check_status(action, path)
    _check_words(action, path)
    headers = _headers(action.get("headers", {}), f"{path}.headers")
    if headers:
        action["headers"] = headers
    if "status" not in action and not action.get("drop") and not action.get("delay_s"):
        given_words = ", ".join(sorted(action))
        alone = f" It has only: {given_words}." if given_words else ""
        raise invalid(f"'status' is missing: an action needs a status, a delay_s or a drop.{alone}", path)
    return action


def _check_status(action: Json, path: str) -> None:
    status = action.get("status")
    if status is not None and (type(status) is not int or not 200 <= status <= 599):
        raise invalid("'status' must be a whole number, 200 to 599.", f"{path}.status")
    delay = action.get("delay_s", 0)
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= MAX_DELAY_S:
        raise invalid(f"'delay_s' must be a number of seconds, 0 to {MAX_DELAY_S:g}.", f"{path}.delay_s")
    for key in ("after_commit", "drop"):
        if not isinstance(action.get(key, False), bool):
            raise invalid(f"'{key}' must be true or false.", f"{path}.{key}")


def _check_words(action: Json, path: str) -> None:
    if not isinstance(action.get("body", ""), str | dict | list):
        raise invalid("'body' must be text, an object or a list.", f"{path}.body")
    for key in ("code", "message"):
        if not isinstance(action.get(key, ""), str):
            raise invalid(f"'{key}' must be text.", f"{path}.{key}")
        if key in action and "body" in action:
            raise invalid(f"Give a body, or a {key} for the usual one, not both.", f"{path}.{key}")


def _headers(given: Any, path: str) -> Json:
    headers = _object(given, path, None)
    for name, value in headers.items():
        text = str(value)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or not text.isprintable() or not text.isascii():
            raise invalid("Headers are printable ASCII.", path)
        if name.lower() in FRAMING:
            raise invalid(f"The server sets {name} itself.", path)
        headers[name] = text
    return headers


def _object(value: Any, path: str, keys: set[str] | None) -> Json:
    if not isinstance(value, dict):
        raise invalid("An object is needed here.", path)
    unknown = sorted(set(value) - keys) if keys is not None else []
    if unknown and keys:
        raise invalid(
            f"Unknown key '{unknown[0]}'. Allowed: {', '.join(sorted(keys))}.", f"{path}.{unknown[0]}"
        )
    return dict(value)
