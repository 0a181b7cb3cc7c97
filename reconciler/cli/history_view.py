"""What `history` reads of the API, and how it looks as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from reconciler.cli.service_api import Service
from reconciler.cli.target import Target
from reconciler.masking import visible
from reconciler.resource import Json, JsonObject

FORMAT: Final = "reconciler.history/v1"
_AUTHORS: Final = {"us": "us", "portal": "portal or copy", "unknown": "unknown"}


def of_project(service: Service, project: str, limit: int) -> JsonObject:
    """Runs and events of a Project, or of all of them."""
    wanted = {"project": project} if project else {}
    # Asked for by its name first: an unknown one has no history, which would look like an idle one.
    about = service.get("projects", project) if project else None
    return {
        "format": FORMAT,
        "project": about,
        "runs": service.get("runs", limit=limit, **wanted)["items"],
        "events": service.get("events", limit=limit, **wanted)["items"],
    }


def of_agent(service: Service, target: Target, limit: int) -> JsonObject:
    """One agent with its versions and events."""
    about = service.get("projects", target.project, "resources", target.kind, target.name)
    events = service.get("events", limit=limit, project=target.project, resource=target.resource)
    about["timeline"]["versions"] = about["timeline"]["versions"][:limit]
    return {"format": FORMAT, "resource": about, "events": events["items"]}


def as_text(found: JsonObject) -> str:
    """The history for a person. Control characters of what others wrote are shown, not obeyed."""
    blocks = []
    if found.get("project"):
        blocks.append("\n".join(_project(found["project"])))
    if found.get("resource"):
        blocks += ["\n".join(_resource(found["resource"])), _versions(found["resource"]["timeline"])]
    if "runs" in found:
        blocks.append(_runs(found["runs"], named=not found.get("project")))
    blocks.append(_events(found["events"], named="runs" in found and not found.get("project")))
    return "\n\n".join(blocks)


def _project(about: JsonObject) -> Iterator[str]:
    yield _line(about["name"], about["health"], about["reason"])
    yield _line("at commit", about["revision"][:12] or "none yet", f"good {_time(about['last_good_at'])}")
    if about["suspended"]:
        yield _line("suspended by", about["suspended"]["by"], about["suspended"]["why"])
    for pin in about["pinned"]:
        yield _pin(pin)
    if about["asks"]:
        yield _line("asks to approve:", about["asks"]["lets"])


def _resource(about: JsonObject) -> Iterator[str]:
    yield _line(f"{about['project']}/{about['resource']}", about["health"], about["why"])
    if about["pin"]:
        yield _pin(about["pin"])


def _pin(pin: JsonObject) -> str:
    until = "over since" if pin["over"] else "until"
    what = f"{pin['resource']} rolled back to version {pin['version']} by {pin['by']}"
    return visible(f"{what} {until} {_time(pin['expires_at'])}: {pin['why']}")


def _versions(timeline: JsonObject) -> str:
    rows = [("VERSION", "STATE", "TRAFFIC", "MADE", "BY", "COMMIT")]
    for version in timeline["versions"]:
        flags = " ".join(flag for flag in ("latest", "pinned", "draft") if version[flag])
        rows.append(
            (
                f"{version['number']} {flags}".strip(),
                version["health"],
                f"{version['share']} %" if version["share"] else "-",
                _time(version["created_at"]),
                _AUTHORS.get(version["by"], version["by"]),
                version["commit"][:12] or "-",
            )
        )
    note = f"\n({visible(timeline['note'])})" if timeline["note"] else ""
    return (_table(rows) if len(rows) > 1 else "No versions.") + note


def _runs(runs: Sequence[JsonObject], *, named: bool) -> str:
    if not runs:
        return "No runs."
    rows = [("RUN", "STARTED", "RESULT", "TOOK", "COMMIT", "WHY")]
    for run in runs:
        took = f"{run['duration_s']:.1f} s" if run["duration_s"] is not None else "-"
        why = ", ".join(run["why"])
        rows.append(
            (
                f"{run['id']} {run['project']}" if named else run["id"],
                _time(run["started_at"]),
                run["result"],
                took,
                run["commit"][:12] or "-",
                why,
            )
        )
    return _table(rows)


def _events(events: Sequence[JsonObject], *, named: bool) -> str:
    if not events:
        return "No events."
    rows = [("EVENT", "AT", "TYPE", "MESSAGE")]
    for event in events:
        message = (
            f"{event['project']}: {event['message']}" if named and event["project"] else event["message"]
        )
        rows.append((str(event["id"]), _time(event["at"]), event["type"], message))
        if event["hint"]:
            rows.append(("", "", "", f"→ {event['hint']}"))
    return _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    shown = [tuple(visible(" ".join(cell.split())) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    )


def _line(*parts: str) -> str:
    return visible("  ".join(part for part in parts if part))


def _time(text: Json) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%MZ") if isinstance(text, str) and text else "-"
