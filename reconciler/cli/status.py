"""`reconciler status`: what serves now, version by version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli import options

if TYPE_CHECKING:
    from reconciler.desired import DesiredProject
    from reconciler.live import Ports
    from reconciler.reconcile import Inputs
    from reconciler.report import ProjectRun


def status(
    path: options.Path = ".",
    ref: options.Ref = None,
    project: options.Projects = None,
    selector: options.Selector = None,
    only: options.Only = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help="What standard output gets: text or json.")
    ] = "text",
) -> None:
    """Show each agent: whether it is in sync, which versions serve, who made them. Exits 0 or 1."""
    from reconciler.cli.narrow import narrowing
    from reconciler.cli.run import over_projects
    from reconciler.cli.status_view import rows_of, show
    from reconciler.errors import InvalidInput
    from reconciler.loading import load_source
    from reconciler.options import Allow

    if format not in ("text", "json"):
        raise InvalidInput(f"status has no format {format!r}", hint="Use text or json.")
    loaded = load_source(path, ref, narrowing(project, selector, only))
    rows: list[dict[str, Any]] = []

    async def look(project: DesiredProject, inputs: Inputs, ports: Ports) -> ProjectRun:
        from reconciler.cli.run import examined

        run = await examined(project, inputs, ports)
        rows.extend(rows_of(run.plan, inputs.ctx) if run.plan else ())
        return run

    report = over_projects("status", loaded, Allow(), look)
    show(report, rows, format)
    raise typer.Exit(1 if report.exit_code == 1 else 0)
