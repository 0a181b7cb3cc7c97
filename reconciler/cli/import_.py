"""`reconciler import`: manifests for agents that are live already."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli import options


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
    """Write manifests of live agents; a plan right after it says: no changes."""
    typer.echo(f"{dir} {endpoint} {project_file} {name} {only} {overwrite}")
