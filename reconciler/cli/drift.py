"""`reconciler drift`: what changed outside of Git, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import options

if TYPE_CHECKING:
    from reconciler.desired import DesiredProject
    from reconciler.kinds.kind import Change
    from reconciler.live import Ports
    from reconciler.reconcile import Inputs
    from reconciler.report import ProjectRun


def drift(
    path: options.Path = ".",
    ref: options.Ref = None,
    project: options.Projects = None,
    selector: options.Selector = None,
    only: options.Only = None,
    format: options.Format = "text",
    output: options.Output = None,
    verify_code: Annotated[
        bool, typer.Option("--verify-code", help="Download deployed code zips and compare their hashes.")
    ] = False,
) -> None:
    """Report what live agents have that Git did not put there. Exits 0 for no drift, 2 for drift."""
    from reconciler.cli.narrow import narrowing
    from reconciler.cli.output import emit, outputs
    from reconciler.cli.run import examined, load_or_report, over_projects
    from reconciler.options import Allow

    where = outputs(format, output)
    loaded = load_or_report("drift", path, ref, narrowing(project, selector, only), where)
    report = over_projects("drift", loaded, Allow(), _verified if verify_code else examined)
    emit(report, where)
    raise typer.Exit(report.exit_code)


async def _verified(project: DesiredProject, inputs: Inputs, ports: Ports) -> ProjectRun:
    """Examine, and compare the bytes of deployed code with what their version says they are."""
    from dataclasses import replace

    from reconciler.cli.run import examined

    run = await examined(project, inputs, ports)
    if run.plan is None:
        return run
    planned = []
    for item in run.plan.planned:
        found = await _tampered(item.change, ports)
        planned.append(replace(item, change=found) if found else item)
    return replace(run, plan=replace(run.plan, planned=tuple(planned)))


async def _tampered(change: Change, ports: Ports) -> Change | None:
    """The change with a drift `changed` when the deployed zip is not the one its version names."""
    import hashlib
    from dataclasses import replace

    from reconciler.fields import FieldDiff
    from reconciler.kinds.kind import Drift

    live = change.live
    version = live.version(live.serving) if live else None
    if change.desired is None or change.desired.code is None or version is None:
        return None
    deployed = await ports[change.key.kind].download_code(change.key.name, version.number)
    found = hashlib.sha256(deployed).hexdigest()
    code = version.form.get("definition", {}).get("code_configuration", {})
    named = (version.mark.code_sha256 if version.mark else "") or code.get("content_hash", "")
    if found == named:
        return None
    field = FieldDiff("replace", "/code", desired=named, live=found)
    gone = Drift("changed", version.number, version.created_at, "somebody else", (field,))
    return replace(change, drift=(*change.drift, gone))
