"""Rows of `status`, and how they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from reconciler.kinds.kind import Change, Context
from reconciler.plan import Plan
from reconciler.report import RunReport
from reconciler.resource import Health, Live, Version, traffic_text


def rows_of(plan: Plan, ctx: Context) -> list[dict[str, Any]]:
    """One row an agent: key, state, traffic, and its versions as far as they were read, newest first."""
    return [
        {
            "key": str(item.key),
            "state": state_of(item.change),
            "enabled": item.change.live.enabled if item.change.live else None,
            "traffic": traffic_text(item.change.live.traffic) if item.change.live else "",
            "versions": _versions(item.change.live, ctx),
        }
        for item in plan.planned
    ]


def state_of(change: Change) -> str:
    """One word of where an agent is: ready, creating, failed, drifted, pending, unmanaged, unmarked."""
    if change.target is not None and change.target.health is Health.FAILED:
        return "failed"
    if change.target is not None and change.target.health is Health.CREATING:
        return "creating"
    if change.desired is None:
        return "removed" if change.action.value == "delete" else change.reason
    if change.drift:
        return "drifted"
    if change.action.value != "none":
        return "pending"
    return "unmarked" if change.unmarked else "ready"


def _versions(live: Live | None, ctx: Context) -> list[dict[str, Any]]:
    return [
        {
            "version": version.number,
            "status": str(version.health),
            "created_at": version.created_at,
            "by": _author(version, live, ctx),
            "error": version.failure.code if version.failure else "",
        }
        for version in (live.known if live else ())
    ]


def _author(version: Version, live: Live | None, ctx: Context) -> str:
    mark = version.mark
    if mark is None or live is None:
        return "somebody else"
    if not mark.genuine(live.key, version.number):
        return "a copied mark"
    if not ctx.ours(mark):
        return mark.owner
    return f"us, commit {mark.commit[:12]}" if mark.commit else "us"


def show(report: RunReport, rows: Sequence[dict[str, Any]], format: str) -> None:
    """Print the rows, and why a Project could not be looked at."""
    if format == "json":
        import orjson

        body = {"format": "reconciler.status/v1", "revision": report.revision, "agents": list(rows)}
        typer.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
    else:
        _table(rows)
    for project in report.projects:
        if project.failed is not None:
            for problem in project.failed.problems:
                typer.echo(str(problem), err=True)
            for message in project.failed.messages:
                typer.echo(f"Error: {message}", err=True)
            if project.failed.hint:
                typer.echo(f"  → {project.failed.hint}", err=True)


def _table(rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        typer.echo("No agents.")
        return
    table = [("AGENT", "STATE", "SERVES", "LATEST", "MADE", "BY")]
    for row in rows:
        latest = row["versions"][0] if row["versions"] else None
        made = (
            datetime.fromtimestamp(latest["created_at"], UTC).strftime("%Y-%m-%d %H:%MZ") if latest else "-"
        )
        off = "" if row["enabled"] in (True, None) else " (disabled)"
        table.append(
            (
                row["key"],
                row["state"] + off,
                row["traffic"] or "-",
                f"{latest['version']} {latest['status']}" if latest else "-",
                made,
                latest["by"] if latest else "-",
            )
        )
    widths = [max(len(line[column]) for line in table) for column in range(6)]
    for line in table:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
