"""The report as one JSON object; `report.schema.json` beside this file is its contract."""

from __future__ import annotations

from typing import Any

import orjson

from reconciler.errors import Problem
from reconciler.fields import FieldDiff
from reconciler.kinds.kind import Drift
from reconciler.render.words import SERVER_COMMAND, when
from reconciler.report import (
    FORMAT,
    ChangeReport,
    Condition,
    Failed,
    OutcomeReport,
    ProjectReport,
    RunReport,
    VerdictReport,
)
from reconciler.resource import Json


def json(report: RunReport) -> str:
    """The report as indented JSON. Lone surrogates, which no JSON reader takes, become `?`."""
    # The same text to a JSON reader, and no command to a build server that shows it in its log.
    return SERVER_COMMAND.sub(r"\\u0023#", _dumped(json_value(report))) + "\n"


def _dumped(value: Json) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:
        # Lone surrogates, or numbers beyond 64 bits, which the standard library writes as they are.
        import json

        return json.dumps(_storable(value), indent=2, ensure_ascii=False, allow_nan=False)


def _storable(value: Json) -> Json:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode() if not value.isascii() else value
        case dict():
            return {str(_storable(key)): _storable(item) for key, item in value.items()}
        case list() | tuple():
            return [_storable(item) for item in value]
        case float() if value != value or value in (float("inf"), float("-inf")):
            return None
    return value


def json_value(report: RunReport) -> dict[str, Any]:
    """The report as plain JSON values."""
    return {
        "format": FORMAT,
        "command": report.command,
        "revision": report.revision,
        "source": report.source,
        "exit_code": int(report.exit_code),
        "projects": [project_value(project) for project in report.projects],
        "failed": _failed(report.failed),
    }


def project_value(project: ProjectReport) -> dict[str, Any]:
    """One Project's part as plain JSON values."""
    return {
        "name": project.name,
        "endpoint": project.endpoint,
        "digest": project.digest,
        "exit_code": int(project.exit_code),
        "observe": project.observe,
        "summary": dict(project.summary),
        "changes": [_change(change) for change in project.changes],
        "verdicts": [_verdict(verdict) for verdict in project.verdicts],
        "outcomes": [_outcome(outcome) for outcome in project.outcomes],
        "conditions": [_condition(condition) for condition in project.conditions],
        "notes": [_problem(note) for note in project.notes],
        "failed": _failed(project.failed),
    }


def _change(change: ChangeReport) -> dict[str, Any]:
    return {
        "key": change.key,
        "action": change.action,
        "reason": change.reason,
        "origin": change.origin,
        "place": change.place,
        "refused": change.refused,
        "held": change.held,
        "drift": [_drift(drift) for drift in change.drift],
        "fields": [_field(field) for field in change.fields],
        "steps": {"now": list(change.now), "later": list(change.later)},
        "notes": list(change.notes),
    }


def _drift(drift: Drift) -> dict[str, Any]:
    return {
        "what": drift.what,
        "version": drift.version,
        "at": when(drift.at) or None,
        "by": drift.by,
        "fields": [_field(field) for field in drift.fields],
    }


def _field(field: FieldDiff) -> dict[str, Any]:
    return {"op": field.op, "path": field.path, "desired": field.desired, "live": field.live}


def _verdict(verdict: VerdictReport) -> dict[str, Any]:
    return {
        "severity": verdict.severity,
        "rule": verdict.rule,
        "key": verdict.key,
        "message": verdict.message,
        "hint": verdict.hint,
        "place": verdict.place,
    }


def _outcome(outcome: OutcomeReport) -> dict[str, Any]:
    return {
        "key": outcome.key,
        "step": outcome.step,
        "outcome": outcome.outcome,
        "version": outcome.version,
        "reason": outcome.reason,
        "note": outcome.note,
        "hint": outcome.hint,
        "error": list(outcome.error),
        "code": outcome.code,
        "request_id": outcome.request_id,
        "duration_s": outcome.duration_s,
    }


def _condition(condition: Condition) -> dict[str, Any]:
    return {
        "key": condition.key,
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "time": when(condition.time) or None,
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.place.file,
        "line": problem.place.line,
        "column": problem.place.column,
        "path": problem.path,
        "message": problem.message,
        "hint": problem.hint,
        "note": problem.note,
    }


def _failed(failed: Failed | None) -> dict[str, Any] | None:
    if failed is None:
        return None
    return {
        "messages": list(failed.messages),
        "hint": failed.hint,
        "problems": [_problem(problem) for problem in failed.problems],
        "code": failed.code,
        "request_id": failed.request_id,
    }
