"""`reconciler doctor`: test everything that a run needs, and say what to do about what is missing."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli import options


def doctor(
    path: options.Path = ".",
    ref: options.Ref = None,
    project: options.Projects = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help="What standard output gets: text or json.")
    ] = "text",
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Longest wait for each answer, in seconds.")
    ] = 10,
) -> None:
    """Test source, network, sign-in, permissions and clock. Exits 0, or 1 when a check failed."""
    from reconciler.cli.load import load_source, narrowing

    loaded = load_source(path, ref, narrowing(project, None, None))
    for one in loaded.projects:
        typer.echo(f"{one.project.name}: {one.project.endpoint}")
