"""After the faults: does everything come to rest, is each rest as the rules say, and does a repair end it?"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bench.service_process import environ_for
from tests.soak.evidence import Span
from tests.soak.scene import Scene
from tests.soak.wanted import Project, Repository

_RECONCILER: Final = str(Path(sys.executable).with_name("reconciler"))
_RESTING: Final = ("in-sync", "drifted", "failed", "refused", "observed", "unmanaged")


@dataclass
class Ending:
    """What was found wrong, and how many agents wait for a person and why."""

    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def rest(scene: Scene, within_s: float, since: float = 0.0) -> list[str]:
    """Wait until every Project rests at the newest commit for it, looked at since then; what does not."""
    deadline, still = time.monotonic() + within_s, 0
    unsettled: list[str] = ["nothing was asked"]
    while time.monotonic() < deadline:
        try:
            unsettled = list(_unsettled(scene, since))
        except OSError as error:
            unsettled = [f"the service does not answer: {error}"]
        still = 0 if unsettled else still + 1
        if still >= 3:
            return []
        time.sleep(1.0)
    return unsettled


def _unsettled(scene: Scene, since: float) -> Iterator[str]:
    served = scene.any()
    if served is None:
        yield "no replica runs"
        return
    good = {source["name"]: source["good"] for source in served.get("/service")["sources"]}
    rows = {row["name"]: row for row in served.get("/projects?limit=100")["items"]}
    for repository in scene.repositories:
        if good.get(repository.source) != repository.head:
            yield f"{repository.source} was not read"
    for _, project in _everything(scene):
        row = rows.get(project.name)
        if row is None:
            yield f"{project.name} is not known"
        elif row["health"] not in _RESTING:
            yield f"{project.name} is {row['health']}: {row['reason']}"
        elif not row["last_run_at"] or datetime.fromisoformat(row["last_run_at"]).timestamp() < since:
            yield f"{project.name} was not looked at since the faults are over"
        elif row["failures"]:
            yield f"{project.name} failed {row['failures']} times: {row['reason']}"
        elif row["revision"] != row["wanted"] and row["revision"] != good[row["source"]]:
            yield f"{project.name} is at {row['revision'][:8]}, wanted {row['wanted'][:8]}: {row['reason']}"


def _everything(scene: Scene) -> list[tuple[Repository, Project]]:
    return [(repo, project) for repo in scene.repositories for project in repo.projects.values()]


def judge(scene: Scene) -> Ending:
    """Compare every Project with its repository by `reconciler plan`: what is left waits for a person."""
    ending = Ending()
    for repository, project in _everything(scene):
        code, report = _plan(scene, repository, project)
        if report is None:
            ending.problems.append(f"{project.name}: plan ended with {code}")
            continue
        ending.counts[f"projects with exit code {code}"] += 1
        refused = [v for v in report["verdicts"] if v["severity"] == "refuse"]
        everywhere = any(not verdict["key"] for verdict in refused)
        keys = {verdict["key"] for verdict in refused}
        stalled = {c["key"] for c in report["conditions"] if c["type"] == "Stalled" and c["status"] == "True"}
        held = _held(scene, project)
        for change in report["changes"]:
            reason = _reason(change, keys, stalled, everywhere=everywhere, observed=project.observe)
            if reason is None and change["key"].partition("/")[2] in held:
                # To a pipeline it looks like a release that was cut off (rule R5).
                reason = "traffic moved by hand"
            if reason is None:
                text = f"{change['key']}: {change['action']} {change['reason']} is left over"
                ending.problems.append(f"{text}: {json.dumps(change['steps'])[:300]}")
            elif reason:
                ending.counts[f"waits for a person: {reason}"] += 1
    return ending


def _held(scene: Scene, project: Project) -> set[str]:
    """The resources whose traffic the service holds, since somebody moved it."""
    served = scene.any()
    assert served is not None
    rows = served.get(f"/projects/{project.name}/resources?health=drifted&limit=100")["items"]
    return {row["resource"] for row in rows if row["reason"] == "redirected"}


def _reason(
    change: dict[str, Any], refused: set[str], stalled: set[str], *, everywhere: bool, observed: bool
) -> str | None:
    """Why something of a Project is not as Git wants it: "" if it is, None if nothing explains it."""
    held = change["held"]
    steps = [*change["steps"]["now"], *change["steps"]["later"]]
    if change["key"] in stalled or change["reason"] == "failed":
        return "failed to start"
    if not steps and change["action"] == "none":
        return "traffic moved by hand" if held else ""
    if observed:
        return "only observed"
    if change["refused"] or change["key"] in refused or everywhere:
        return "refused"
    if held:
        return "traffic moved by hand"
    return None


def _plan(scene: Scene, repository: Repository, project: Project) -> tuple[int, dict[str, Any] | None]:
    """The exit code of a plan, and its report of the Project."""
    command = [_RECONCILER, "plan", str(repository.clone.folder), "-p", project.name, "--format", "json"]
    environ = environ_for(scene.folder / "cache-of-the-check")
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    try:
        return done.returncode, json.loads(done.stdout)["projects"][0]
    except (ValueError, KeyError, IndexError):
        sys.stderr.write(done.stdout[-2000:] + done.stderr[-2000:])
        return done.returncode, None


def repair(scene: Scene) -> Ending:
    """Do what a person would: a newer commit for what waits, an approval for what was refused or observed."""
    ending = Ending()
    for repository in scene.repositories:
        for project in repository.projects.values():
            _, report = _plan(scene, repository, project)
            edited = {v["key"] for v in report["verdicts"] if v["rule"] == "protected"} if report else set()
            for change in report["changes"] if report else ():
                name = change["key"].rpartition("/")[2]
                if name in project.agents and (change["drift"] or change["action"] != "none"):
                    repository.change(project, name)
                    ending.counts["agents repaired by a commit"] += 1
                elif change["key"] in edited:
                    # Removed in Git and edited in the portal since: no flag of the service deletes it.
                    scene.call("DELETE", project.name, f"/agents/{name}")
                    ending.counts["agents deleted by hand"] += 1
        scene.hear(repository)
        repository.push("Repair by hand")
    ending.problems += rest(scene, 60)
    for _, project in _everything(scene):
        _approve(scene, project, ending)
    ending.problems += rest(scene, 60)
    for repository, project in _everything(scene):
        code, report = _plan(scene, repository, project)
        if code == 3 and project.theirs and report is not None:
            # What somebody else manages is refused, and no deletion of the Project with it.
            code = int(any(not c["refused"] for c in report["changes"] if c["action"] != "none"))
        if code != 0:
            changes = report["changes"] if report else ()
            left = [f"{c['key']} {c['action']} {c['reason']}" for c in changes if c["action"] != "none"]
            ending.problems.append(f"{project.name}: plan ends with {code} after the repair: {left[:5]}")
        ending.counts["projects in sync at last"] += code == 0
    return ending


def _approve(scene: Scene, project: Project, ending: Ending) -> None:
    served = scene.any()
    assert served is not None
    row = served.get(f"/projects/{project.name}")
    if not row["asks"]:
        return
    if project.observe:
        observed = [span for span in scene.spans if span.what == "observed" and span.project == project.name]
        for span in observed:
            scene.spans.remove(span)
            scene.spans.append(Span("observed", span.at, time.time(), project.name))
    ending.counts["plans approved"] += 1

    def gone() -> bool:
        asks = served.get(f"/projects/{project.name}")["asks"]
        if asks and not asks["approved_by"]:
            # An approval is good for exactly the plan that was shown; another plan is asked for again.
            served.post(f"/projects/{project.name}/approve", {"digest": asks["digest"], "why": "soak"})
        return not asks

    if not _within(gone, 30):
        ending.problems.append(f"{project.name} still asks for an approval of: {row['asks']}")


def _within(holds: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if holds():
                return True
        except OSError:
            pass  # refused with 409: the plan changed between the look and the approval
        time.sleep(0.5)
    return False
