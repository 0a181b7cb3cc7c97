"""`reconciler serve`: keep projects in line with their repositories, for as long as it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from reconciler.service.config import Config
    from reconciler.service.main import Running


def serve(
    config: Annotated[Path, typer.Option("--config", "-c", help="The service's configuration, a YAML file.")],
    check: Annotated[bool, typer.Option("--check", help="Only check the configuration, and exit.")] = False,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Only bring the store's schema up to date, and exit.")
    ] = False,
) -> None:
    """Watch repositories and keep any number of Foundry projects equal to them."""
    import asyncio
    import os

    from reconciler.service.config import load_config
    from reconciler.service.config_text import check_text
    from reconciler.service.engine.opening import pooler_problem
    from reconciler.service.store.opening import place_problem
    from reconciler.settings import read

    loaded = load_config(config, os.environ)
    if check:
        read(os.environ)
        typer.echo(check_text(loaded))
        # Only warnings: the file may be checked on another machine than it is for.
        for problem in (pooler_problem(loaded.spec.store), place_problem(loaded.spec.store)):
            if problem:
                typer.echo(f"Warning: {problem}")
    elif migrate:
        from reconciler.service.store.opening import migrate as bring_up_to_date

        asyncio.run(bring_up_to_date(loaded.spec.store))
        typer.echo("The store's schema is up to date.")
    else:
        _run(loaded)


def _run(config: Config) -> None:
    import asyncio
    import os

    import structlog

    from reconciler.log import set_up_service
    from reconciler.service.engine.opening import pooler_problem
    from reconciler.service.main import serve as run
    from reconciler.settings import read

    set_up_service(config.spec.log, config.masker().text)

    if problem := pooler_problem(config.spec.store):
        structlog.get_logger("reconciler").warning("store_behind_pooler", problem=problem)

    def ready(service: Running) -> None:
        structlog.get_logger("reconciler").info(
            "listening", url=service.url, sources=len(config.spec.sources)
        )

    asyncio.run(run(config, read(os.environ), os.environ, ready))
