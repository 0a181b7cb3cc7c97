"""Strategies for what the service may hold: versions with and without marks, gaps, splits, drafts.

An agent is written as the sandbox is seeded with it; `live_of` makes the value that a reading would give.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from hypothesis import strategies as st

from reconciler.foundry import wire
from reconciler.mark import MARK_KEY, encode
from reconciler.resource import Desired, Live, Mark
from tests.properties.manifests import any_definition

Json = Any
OWNER: Final = "git.example.com/team/agents#prod"
STRANGER: Final = "git.example.com/others/agents#prod"
NOW: Final = 1_780_000_000

MARKS: Final = ("none", "ours", "older", "other-name", "later", "stranger", "unreadable")


def mark_text(how: str, desired: Desired, number: int, commit: str = "") -> str | None:
    """The mark of version `number`: ours of this very manifest, of an older one, or none of ours."""
    mark = Mark(OWNER, desired.key.local, desired.fingerprint, str(number - 1), commit=commit)
    match how:
        case "none":
            return None
        case "older":
            mark = replace(mark, spec="1:" + "0" * 64)
        case "other-name":
            mark = replace(mark, resource="Agent/somebody-else")
        case "later":
            mark = replace(mark, base=str(number))
        case "stranger":
            mark = replace(mark, owner=STRANGER)
        case "unreadable":
            return encode(mark)[:-1]
    return encode(mark)


def version(number: int, form: Json, mark: str | None, **more: Any) -> Json:
    """One version to seed."""
    metadata = {**form.get("metadata", {}), **({MARK_KEY: mark} if mark else {})}
    body: Json = {"version": str(number), "definition": form["definition"], "metadata": metadata}
    if form.get("description"):
        body["description"] = form["description"]
    return {**body, "created_at": NOW - 100 * 86_400 + number, **more}


# One field of each kind that somebody may have changed in the portal.
CHANGED: Final = {
    "prompt": {"model": "gpt-4o"},
    "hosted": {"memory": "1Gi"},
    "workflow": {"workflow": "kind: other"},
    "external": {"otel_agent_id": "other"},
    "voice": {"model": "gpt-realtime-mini"},
}


@st.composite
def _others(draw: st.DrawFn, form: Json) -> list[Json]:
    """Forms beside the desired one: another definition, other metadata, rarely another kind."""
    if draw(st.integers(0, 15)) == 0:
        return [{"definition": draw(any_definition)}]
    definition = form["definition"]
    changed = {**form, "definition": {**definition, **CHANGED[definition["kind"]]}}
    return [changed, {**form, "metadata": {"owner": "somebody"}}, {**form, "description": "From the portal"}]


@st.composite
def agents(draw: st.DrawFn, desired: Desired) -> Json:
    """A live agent of the name of `desired`: its versions are of that form or of another."""
    pool = [desired.form, *draw(_others(desired.form))]
    numbers = sorted(draw(st.sets(st.integers(1, 7), min_size=1, max_size=4)))
    versions = []
    for number in numbers:
        form = draw(st.sampled_from(pool))
        how = (
            draw(st.sampled_from(MARKS))
            if form is desired.form
            else draw(st.sampled_from(MARKS[2:] + MARKS[:1]))
        )
        status = draw(st.sampled_from(["active"] * 8 + ["failed", "failed", "creating"]))
        versions.append(version(number, form, mark_text(how, desired, number), status=status))
    if len(versions) > 1 and draw(st.integers(0, 5)) == 0:
        draft = dict(versions.pop(0))
        versions.insert(0, {**draft, "version": "draft-17", "draft": True})
    agent: Json = {"name": desired.key.name, "versions": versions}
    agent["state"] = draw(st.sampled_from(["enabled", "enabled", "disabled"]))
    released = [item["version"] for item in versions if not item.get("draft")]
    shares = draw(st.sampled_from(["latest", "latest", "one", "split"]))
    if shares == "one":
        agent["selector"] = [{"agent_version": draw(st.sampled_from(released)), "traffic_percentage": 100}]
    elif shares == "split" and len(released) > 1:
        first, second = released[0], released[-1]
        agent["selector"] = [
            {"agent_version": first, "traffic_percentage": 90},
            {"agent_version": second, "traffic_percentage": 10},
        ]
    return agent


def live_of(agent: Json, project: str = "prod") -> Live:
    """The agent as a reading of everything would give it."""
    name = agent["name"]
    bodies = [{"status": "active", **body, "id": f"{name}:{body['version']}"} for body in agent["versions"]]
    releases = [body for body in bodies if not body.get("draft")] or bodies
    latest = max(releases, key=lambda body: int(body["version"]) if body["version"].isdecimal() else 0)
    endpoint: Json = {"protocol_configuration": {"responses": {}}}
    if "selector" in agent:
        rules = [{"type": "FixedRatio", **rule} for rule in agent["selector"]]
        endpoint["version_selector"] = {"version_selection_rules": rules}
    body = {
        "name": name,
        "versions": {"latest": latest},
        "agent_endpoint": endpoint,
        "state": agent.get("state", "enabled"),
    }
    found = wire.live_of(project, body)
    seen = tuple(wire.version_of(one) for one in releases)
    return replace(found, versions=tuple(sorted(seen, key=lambda one: -one.order)), all_versions=True)
