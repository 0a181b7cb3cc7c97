"""`reconciler import`: manifests for agents that are live already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import options

if TYPE_CHECKING:
    from reconciler.cli.importing.importer import After, Imported, Importer
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
    from reconciler.cli.new_files import made
    from reconciler.settings import read
    from reconciler.wiring import close

    settings = read(os.environ)
    try:
        with made(Path(dir)):
            wanted = target(Path(dir), endpoint, Path(project_file) if project_file else None, name)
            importer = Importer(wanted, settings, overwrite=overwrite)
            done, after = asyncio.run(_imported(importer, wanted, settings, only or []))
    finally:
        close()
    typer.echo(show(done, after), nl=False)
    raise typer.Exit(4 if done.left_out or after.changed else 0)


async def _imported(
    importer: Importer, target: Target, settings: Settings, only: list[str]
) -> tuple[Imported, After]:
    """What was imported, and what a plan of the folder on disk says after it."""
    from reconciler.cli.importing.importer import After
    from reconciler.wiring import ports

    # An import makes no zip for the service; whatever compares hashes does so through its own source.
    async with ports(target.name, target.endpoint, lambda code: b"", settings) as there:
        done = await importer.run(there["Agent"], only)
        wrote = bool(done.written) or not target.fresh
        return done, await _after(done, there["Agent"]) if wrote and done.read else After()


async def _after(done: Imported, port: Port[object]) -> After:
    """A plan of the folder: files on disk may be others than those that were tried in memory.

    Git may ignore some of them, or the folder may hold a manifest that stands in the way.
    """
    from reconciler.cli.importing.checking import clean
    from reconciler.cli.importing.importer import After
    from reconciler.cli.narrow import narrowing
    from reconciler.kinds.kind import Action
    from reconciler.loading import inputs_of, load_source
    from reconciler.options import Allow
    from reconciler.reconcile import examine

    loaded = load_source(str(done.target.source), None, narrowing([done.target.name], None, None))
    project = loaded.projects[0]
    names = sorted(one.name for one in done.written)
    if project.problems:
        return After(changed=tuple(names))
    plan = await examine(inputs_of(loaded, project, Allow()), {"Agent": port})
    there = {planned.key.name: planned for planned in plan.planned}
    missing = {one.name for one in done.left_out}
    return After(
        changed=tuple(name for name in names if name not in there or not clean(plan, there[name])),
        deleted=tuple(
            name
            for name in sorted(missing & there.keys())
            if there[name].change.action is Action.DELETE and project.project.sync.mode != "observe"
        ),
    )
