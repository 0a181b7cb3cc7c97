"""`reconciler import`: manifests for agents that are live already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import options

if TYPE_CHECKING:
    from reconciler.cli.importing.importer import Imported, Importer
    from reconciler.cli.importing.target import Target
    from reconciler.kinds.port import Port
    from reconciler.settings import Settings


def import_(
    dir: Annotated[str, typer.Argument(metavar="DIR", help="Where to write; made if it is missing.")] = ".",
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="The Foundry project to read.")] = None,
    project_file: Annotated[
        str | None,
        typer.Option("--project-file", metavar="FILE", help="Read the endpoint from this Project instead."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the Project; by default the endpoint's last part.")
    ] = None,
    only: options.Only = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace manifests that are there already.")
    ] = False,
) -> None:
    """Write manifests of live agents, such that a plan right after it says: no changes.

    Exits 0, 1 for errors, 4 when some agents were left out.
    """
    import asyncio
    import os
    from pathlib import Path

    from reconciler.cli.import_view import show
    from reconciler.cli.importing.importer import Importer
    from reconciler.cli.importing.target import target
    from reconciler.settings import read
    from reconciler.wiring import close

    settings = read(os.environ)
    wanted = target(Path(dir), endpoint, Path(project_file) if project_file else None, name)
    importer = Importer(wanted, settings, overwrite=overwrite)
    try:
        done, left = asyncio.run(_imported(importer, wanted, settings, only or []))
    finally:
        close()
    typer.echo(show(done, left), nl=False)
    raise typer.Exit(4 if done.left_out or left else 0)


async def _imported(
    importer: Importer, target: Target, settings: Settings, only: list[str]
) -> tuple[Imported, tuple[str, ...]]:
    """What was imported, and the agents that a plan of the folder on disk would still change."""
    from reconciler.wiring import ports

    # An import makes no zip for the service; whatever compares hashes does so through its own source.
    async with ports(target.name, target.endpoint, lambda code: b"", settings) as there:
        done = await importer.run(there["Agent"], only)
        return done, await _left(done, there["Agent"]) if done.written else ()


async def _left(done: Imported, port: Port[object]) -> tuple[str, ...]:
    """Names of imported agents that a plan of the written folder would change: files on disk may be others.

    Git may ignore some of them, or the folder may hold a manifest that stands in the way.
    """
    from reconciler.cli.importing.checking import clean
    from reconciler.cli.load import inputs_of, load_source, narrowing
    from reconciler.options import Allow
    from reconciler.reconcile import examine

    loaded = load_source(str(done.target.source), None, narrowing([done.target.name], None, None))
    project = loaded.projects[0]
    names = {one.name for one in done.written}
    if project.problems:
        return tuple(sorted(names))
    plan = await examine(inputs_of(loaded, project, Allow()), {"Agent": port})
    there = {planned.key.name: planned for planned in plan.planned}
    return tuple(name for name in sorted(names) if name not in there or not clean(plan, there[name]))
