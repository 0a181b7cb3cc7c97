"""`reconciler plan`: what would be done, and nothing else."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli import options


def plan(
    path: options.Path = ".",
    ref: options.Ref = None,
    project: options.Projects = None,
    selector: options.Selector = None,
    only: options.Only = None,
    format: options.Format = "text",
    output: options.Output = None,
    out: Annotated[
        str | None, typer.Option("--out", help="Write a receipt that `apply PLAN` compares with.")
    ] = None,
    allow_empty: options.AllowEmpty = False,
    allow_older: options.AllowOlder = False,
    allow_rename: options.AllowRename = False,
    take_over: options.TakeOver = False,
    take_traffic: options.TakeTraffic = False,
    retry_failed: options.RetryFailed = False,
    mark: options.Mark = False,
    delete_edited: options.DeleteEdited = False,
    force_sessions: options.ForceSessions = False,
    max_deletes: options.MaxDeletes = None,
) -> None:
    """Show what apply would do. Exits 0 for nothing, 2 for changes, 3 for a refusal."""
    from reconciler.cli.narrow import narrowing
    from reconciler.cli.output import emit, outputs
    from reconciler.cli.receipt import Origin, write_receipt
    from reconciler.cli.run import examined, load_or_report, over_projects
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
    loaded = load_or_report("plan", path, ref, narrowing(project, selector, only), where)
    report = over_projects("plan", loaded, allow, examined, max_deletes)
    if out:
        write_receipt(report, out, Origin(path, ref, selector or (), only or (), allow, max_deletes))
    emit(report, where)
    raise typer.Exit(report.exit_code)
