"""Examine the Projects of a source one after the other, and turn what happened into a report."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import typer

from reconciler.cli.output import Outputs, emit
from reconciler.cli.waiting import Waiting
from reconciler.desired import DesiredProject
from reconciler.errors import ReconcilerError
from reconciler.live import Ports
from reconciler.loading import (
    Loaded,
    Narrowing,
    failure,
    inputs_of,
    invalid,
    load_source,
    masker,
    notes_of,
    problems_of,
    window_notes,
)
from reconciler.log import quiet
from reconciler.options import Allow
from reconciler.plan import Plan
from reconciler.reconcile import Inputs, examine
from reconciler.report import (
    ExitCode,
    ProjectReport,
    ProjectRun,
    RunReport,
    project_report,
    run_report,
)
from reconciler.wiring import close, import_sdk, ports

# What one command does with one valid Project.
Work = Callable[[DesiredProject, Inputs, Ports], Awaitable[ProjectRun]]


def over_projects(
    command: str, loaded: Loaded, allow: Allow, work: Work, max_deletes: int | None = None
) -> RunReport:
    """Do `work` for every valid Project, and report on all of them.

    An invalid Project is reported with its problems and left alone (rule I1).
    """

    quiet()

    async def every() -> list[ProjectReport]:
        return [await _one(command, loaded, project, allow, work, max_deletes) for project in loaded.projects]

    try:
        reports = asyncio.run(every())
    finally:
        close()
    return run_report(command, loaded.revision, loaded.snapshot.root, reports)


def load_or_report(command: str, path: str, ref: str | None, narrow: Narrowing, out: Outputs) -> Loaded:
    """The source; where it cannot be read, a report in the wanted format that says why, and exit 1."""
    try:
        return load_source(path, ref, narrow)
    except ReconcilerError as error:
        emit(run_report(command, "", path, [], failure(error)), out)
        raise typer.Exit(ExitCode.ERROR) from None


async def _one(
    command: str, loaded: Loaded, project: DesiredProject, allow: Allow, work: Work, max_deletes: int | None
) -> ProjectReport:
    settings = project.project
    problems = problems_of(project)
    if problems and not (project.invalid_skipped and problems == project.problems):
        run = invalid(project)
    else:
        inputs, waiting = inputs_of(loaded, project, allow, max_deletes), Waiting(settings.name)
        try:
            there = ports(settings.name, settings.endpoint, loaded.zipped, loaded.settings, waiting)
            async with waiting.told(), there as opened:
                run = await work(project, inputs, opened)
        except ReconcilerError as error:
            run = ProjectRun(settings.name, settings.endpoint, failed=failure(error))
    shown = ProjectRun(
        run.name,
        run.endpoint,
        run.plan,
        run.outcomes,
        run.last,
        run.failed,
        (
            *notes_of(loaded, project),
            *(window_notes(project, time.time()) if command == "plan" else ()),
            *(problems if run.failed is None else ()),
        ),
        len(problems),
        masker(project),
    )
    return project_report(command, shown, int(time.time()))


async def examined(project: DesiredProject, inputs: Inputs, there: Ports) -> ProjectRun:
    """Read and decide, nothing else: the work of `plan` and `drift`."""
    plan = await examine(inputs, there)
    return ProjectRun(project.project.name, project.project.endpoint, plan)


def import_sdk_early(plan: Plan) -> None:
    """Start the SDK's import, which takes a second or more, while a person or a reading takes its time."""
    if plan.needs_sdk and not plan.observe:
        threading.Thread(target=import_sdk, daemon=True).start()
