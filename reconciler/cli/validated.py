"""The report of `validate`: what the source says, judged without any live state."""

from __future__ import annotations

import time
from dataclasses import replace

from reconciler.desired import DesiredProject
from reconciler.guards import empty_source
from reconciler.loading import Loaded, inputs_of, invalid, masker, notes_of, problems_of
from reconciler.options import Allow
from reconciler.plan import Plan
from reconciler.report import ProjectReport, ProjectRun, RunReport, project_report, run_report


def validated(loaded: Loaded) -> RunReport:
    """One project report each, with problems, notes and verdicts; no changes, no service."""
    reports = [_one(loaded, project) for project in loaded.projects]
    return run_report("validate", loaded.revision, loaded.snapshot.root, reports)


def _one(loaded: Loaded, project: DesiredProject) -> ProjectReport:
    settings, now = project.project, int(time.time())
    if problems_of(project):
        run = replace(invalid(project), notes=notes_of(loaded, project))
        return project_report("validate", run, now)
    inputs = inputs_of(loaded, project, Allow())
    empty = empty_source(project.resources, narrowed=project.narrowed, allow=Allow())
    plan = Plan(settings.name, settings.endpoint, settings.owner, (), (*inputs.verdicts, *empty))
    run = ProjectRun(
        settings.name,
        settings.endpoint,
        plan,
        notes=notes_of(loaded, project),
        masker=masker(project),
    )
    report = project_report("validate", run, now)
    return replace(report, summary={**report.summary, "unchanged": len(project.resources)})
