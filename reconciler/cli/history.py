"""`reconciler history`: what a running service did, and which versions an agent has."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli import service_api


def history(
    target: Annotated[
        str, typer.Argument(help="A Project, or one agent as PROJECT/Agent/NAME.", metavar="[TARGET]")
    ] = "",
    server: service_api.Server = service_api.DEFAULT_SERVER,
    token: service_api.Token = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many lines.")] = 20,
    format: Annotated[
        str, typer.Option("--format", "-f", help="What standard output gets: text or json.")
    ] = "text",
) -> None:
    """Show runs and events of a service; of an agent its versions, who made them, and its rollback."""
    from reconciler.cli.history_view import as_text, of_agent, of_project
    from reconciler.cli.target import target as parsed
    from reconciler.errors import InvalidInput

    if format not in ("text", "json"):
        raise InvalidInput(f"history has no format {format!r}", hint="Use text or json.")
    service = service_api.Service(server, token)
    wanted = parsed(target) if target else None
    if wanted is not None and wanted.name:
        found = of_agent(service, wanted, limit)
    else:
        found = of_project(service, wanted.project if wanted else "", limit)
    if format == "json":
        import orjson

        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo(as_text(found))
