"""`reconciler init`: the files that a new repository of agents starts with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    dir: Annotated[str, typer.Argument(metavar="DIR", help="Where to write; made if it is missing.")] = ".",
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", help="The Foundry project; by default a sandbox on this machine."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the Project; by default that of the folder.")
    ] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Also write a workflow for GitHub Actions.")
    ] = False,
) -> None:
    """Write a Project and an example agent. Never overwrites. Exits 0, or 1 with nothing written."""
    import shlex

    from reconciler.cli.new_files import write_new
    from reconciler.cli.starter import AGENT, GITHUB, name_from, project_manifest

    folder = Path(dir)
    project = name or name_from(folder.resolve().name)
    address = endpoint or f"sandbox://{project}"
    text = project_manifest(project, address, _owner(folder, project), "enforce", ("agents/**/*.yaml",))
    files = {"project.yaml": text, "agents/hello.yaml": AGENT}
    if github:
        files[".github/workflows/reconciler.yml"] = GITHUB
    _checked(project, address)
    write_new(folder, files)
    for path in files:
        typer.echo(f"Wrote {folder / path}")
    typer.echo("\nNext:")
    for command, what in (
        ("validate", "are the manifests right?"),
        ("plan", "what would be done?"),
        ("apply", "do it"),
    ):
        typer.echo(f"  reconciler {command} {shlex.quote(dir)}".ljust(40) + f"  {what}")


def _owner(folder: Path, project: str) -> str:
    """`host/path` of the Git remote with the Project's name, `local#NAME` outside of Git."""
    from reconciler.cli.new_files import origin

    return f"{origin(folder) or 'local'}#{project}"


def _checked(project: str, endpoint: str) -> None:
    """Raises InvalidInput where the flags make no valid Project."""
    from reconciler.cli.new_files import check_project

    check_project(project, endpoint)
