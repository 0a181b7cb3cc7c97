"""`reconciler apply`: make live agents equal to the manifests."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import options

if TYPE_CHECKING:
    from reconciler.apply import Stop
    from reconciler.cli.receipt import Receipt
    from reconciler.desired import DesiredProject
    from reconciler.live import Ports
    from reconciler.plan import Plan
    from reconciler.policies import Verdict
    from reconciler.reconcile import Inputs
    from reconciler.report import Failed, ProjectRun, RunReport


def apply(
    path: options.Path = ".",
    ref: options.Ref = None,
    project: options.Projects = None,
    selector: options.Selector = None,
    only: options.Only = None,
    format: options.Format = "text",
    output: options.Output = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")] = False,
    plan_digest: Annotated[
        str | None, typer.Option("--plan-digest", help="Apply only if the plan has this digest.")
    ] = None,
    timeout: options.Timeout = 900,
    allow_empty: options.AllowEmpty = False,
    allow_older: options.AllowOlder = False,
    allow_rename: options.AllowRename = False,
    take_over: options.TakeOver = False,
    take_traffic: options.TakeTraffic = False,
    retry_failed: options.RetryFailed = False,
    mark: options.Mark = False,
    delete_edited: options.DeleteEdited = False,
    force_sessions: options.ForceSessions = False,
    outside_window: options.OutsideWindow = False,
    max_deletes: options.MaxDeletes = None,
) -> None:
    """Apply the manifests. Asks on a terminal unless --yes; PATH may be a file of `plan --out`.

    Exits 0 when live agents match, 3 when refused with nothing written, 4 when done in part.
    """
    from reconciler.cli.narrow import narrowing
    from reconciler.cli.output import emit, outputs
    from reconciler.cli.receipt import read_receipt
    from reconciler.cli.run import load_or_report, over_projects
    from reconciler.errors import InvalidInput
    from reconciler.options import Allow

    where = outputs(format, output)
    allow = Allow(
        allow_empty,
        allow_older,
        allow_rename,
        take_over,
        take_traffic,
        retry_failed,
        mark,
        delete_edited,
        force_sessions,
    )
    receipt = read_receipt(path)
    if receipt is not None:
        path, ref = receipt.source, ref or receipt.ref
        project = project or [item.name for item in receipt.projects]
        selector, only = receipt.selector, receipt.only
        # What lifted a guard in the plan was reviewed with it.
        allow = replace(allow, **dict.fromkeys(receipt.allowed, True))
        max_deletes = receipt.max_deletes if max_deletes is None else max_deletes
    loaded = load_or_report("apply", path, ref, narrowing(project, selector, only), where)
    if plan_digest and len(loaded.projects) != 1:
        raise InvalidInput(
            f"--plan-digest is about one Project, and this source has {len(loaded.projects)}",
            hint="Name it with -p, or apply the file of `plan --out`.",
        )
    worker = _Worker(
        text=format == "text",
        ask=not yes and sys.stdin.isatty() and sys.stdout.isatty(),
        timeout_s=timeout,
        receipt=receipt,
        digest=plan_digest,
        log_level=loaded.settings.log_level,
        outside_window=outside_window,
    )
    report = over_projects("apply", loaded, allow, worker.work, max_deletes)
    emit(worker.shortened(report), where)
    raise typer.Exit(report.exit_code)


@dataclass
class _Worker:
    """Applies one Project after the other, shows each plan first and remembers which it has shown.

    `stop` is one for all Projects: who stops the first wants no write in the second either.
    """

    text: bool
    ask: bool
    timeout_s: float
    receipt: Receipt | None
    digest: str | None
    log_level: str
    outside_window: bool = False
    stop: Stop | None = None
    shown: set[str] = field(default_factory=set)

    async def work(self, project: DesiredProject, inputs: Inputs, ports: Ports) -> ProjectRun:
        """Examine, show, ask, and apply until settled."""
        import time

        from reconciler.apply import Stop
        from reconciler.cli.loop import Looping, apply_until_settled, signals
        from reconciler.cli.progress import Progress
        from reconciler.cli.run import import_sdk_early
        from reconciler.loading import closed_window
        from reconciler.plan import approve
        from reconciler.report import ProjectRun

        name = inputs.project
        plan = await self._examined(inputs, ports)
        if plan is None:
            return ProjectRun(name, inputs.endpoint, failed=_not_begun())
        expected = self.receipt.digest(name) if self.receipt else self.digest
        if (self.receipt or self.digest) and expected != plan.digest:
            return ProjectRun(name, inputs.endpoint, _refused_as_stale(plan, expected))
        closed = None if self.outside_window or plan.observe else closed_window(project, time.time())
        if closed and plan.needs_sdk:
            return ProjectRun(name, inputs.endpoint, _without_steps(plan, closed))
        import_sdk_early(plan)
        if plan.steps and self.text:
            self._show(project, plan)
        if self.ask and plan.steps and not plan.observe and not _confirmed(name):
            return ProjectRun(name, inputs.endpoint, _refused_by_user(plan))
        self.stop = stop = self.stop or Stop()
        progress = Progress(self.log_level)
        with signals(stop, _say), progress.of(plan):
            reviewed = approve(plan) if self.ask or expected else None
            looping = Looping(self.timeout_s, stop, progress, reviewed)
            return await apply_until_settled(inputs, ports, plan, looping)

    async def _examined(self, inputs: Inputs, ports: Ports) -> Plan | None:
        """The plan; None where somebody said stop, so that what was done to the Projects before is told."""
        from reconciler.cli.loop import signals
        from reconciler.live import unless
        from reconciler.reconcile import examine

        if self.stop is None:
            return await examine(inputs, ports)
        with signals(self.stop, _say):
            return await unless(self.stop.asked, examine(inputs, ports))

    def _show(self, project: DesiredProject, plan: Plan) -> None:
        import time

        from reconciler.cli.output import emit, outputs
        from reconciler.loading import masker
        from reconciler.report import ProjectRun, project_report, run_report

        run = ProjectRun(plan.project, plan.endpoint, plan, masker=masker(project))
        report = project_report("plan", run, int(time.time()))
        emit(run_report("plan", "", "", [report]), outputs("text", None), ci=False)
        typer.echo()
        self.shown.add(plan.project)

    def shortened(self, report: RunReport) -> RunReport:
        """For text: what was shown before it was applied is not shown again, only what came of it."""
        if not self.text:
            return report
        projects = tuple(
            replace(project, changes=(), verdicts=()) if project.name in self.shown else project
            for project in report.projects
        )
        return replace(report, projects=projects)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _not_begun() -> Failed:
    from reconciler.report import Failed

    return Failed(("the run was asked to stop before this Project was looked at",), "Run it again to go on.")


def _confirmed(project: str) -> bool:
    return typer.confirm(f"Apply this to {project}?", default=False)


def _refused_as_stale(plan: Plan, expected: str | None) -> Plan:
    """The plan without its steps: it is not the one that was reviewed (rule P2)."""
    from reconciler.policies import Severity, Verdict

    what = f"its digest is {plan.digest}, reviewed was {expected or 'no plan for this Project'}"
    verdict = Verdict(
        Severity.REFUSE,
        "stale-plan",
        None,
        f"the plan is not the one that was reviewed: {what}",
        "Something changed in Git or in the project since; plan and review again.",
        None,
    )
    return _without_steps(plan, verdict)


def _refused_by_user(plan: Plan) -> Plan:
    from reconciler.policies import Severity, Verdict

    verdict = Verdict(Severity.REFUSE, "not-confirmed", None, "the plan was not confirmed", "", None)
    return _without_steps(plan, verdict)


def _without_steps(plan: Plan, verdict: Verdict) -> Plan:
    planned = tuple(replace(item, now=(), later=(), refused=bool(item.steps)) for item in plan.planned)
    return replace(plan, planned=planned, verdicts=(*plan.verdicts, verdict))
