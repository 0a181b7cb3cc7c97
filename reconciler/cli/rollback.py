"""`reconciler rollback`: let an older version serve, by a running service or by a change of the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import service_api

if TYPE_CHECKING:
    from reconciler.cli.target import Target


def rollback(
    target: Annotated[str, typer.Argument(help="The agent, as PROJECT/Agent/NAME.", metavar="TARGET")],
    to: Annotated[str, typer.Option("--to", help="The version that shall serve.", metavar="VERSION")] = "",
    why: Annotated[
        str, typer.Option("--why", help="The reason; kept in the audit log.", metavar="TEXT")
    ] = "",
    hold: Annotated[
        str, typer.Option("--for", help="How long the service holds it; at most 30d.", metavar="SPAN")
    ] = "24h",
    undo: Annotated[bool, typer.Option("--undo", help="End a rollback: Git decides again.")] = False,
    in_git: Annotated[
        str | None,
        typer.Option(
            "--in-git",
            help="Edit `release.version` in this checkout instead; no service is asked.",
            metavar="PATH",
        ),
    ] = None,
    server: service_api.Server = service_api.DEFAULT_SERVER,
    token: service_api.Token = "",
) -> None:
    """Let an older version of an agent serve, and hold it there for a while."""
    from reconciler.cli.target import resource_target
    from reconciler.errors import InvalidInput

    wanted = resource_target(target)
    if undo == bool(to):
        raise InvalidInput(
            "either --to VERSION or --undo is needed" if not undo else "--to and --undo exclude each other",
            hint=f"`reconciler history {target}` lists the versions.",
        )
    if in_git is not None:
        _in_git(in_git, wanted, None if undo else to, why)
        return
    if not undo and not why.strip():
        raise InvalidInput("a rollback needs a reason", hint="Add --why; it is kept in the audit log.")
    service = service_api.Service(server, token)
    path = ("projects", wanted.project, "resources", wanted.kind, wanted.name, "rollback")
    if undo:
        done = service.delete(*path, **({"why": why} if why else {}))
    else:
        done = service.post(*path, body={"version": to, "why": why, "for": hold})
    from reconciler.masking import visible

    for line in (done["message"], *done["notes"]):
        typer.echo(visible(line))


def _in_git(path: str, wanted: Target, version: str | None, why: str) -> None:
    from reconciler.cli.in_git import edit

    edited = edit(path, wanted, version, why)
    if version is None:
        typer.echo(f"Removed spec.release.version from {edited.file}.")
    else:
        typer.echo(f'Set spec.release.version to "{version}" in {edited.file}.')
    if edited.others:
        typer.echo(f"The same manifest serves the Projects {', '.join(edited.others)}: they change too.")
    typer.echo(f"Commit it:\n  {edited.command}")
