"""`reconciler serve`: keep projects in line with their repositories, for as long as it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    config: Annotated[Path, typer.Option("--config", "-c", help="The service's configuration, a YAML file.")],
    check: Annotated[bool, typer.Option("--check", help="Only check the configuration, and exit.")] = False,
) -> None:
    """Watch repositories and keep any number of Foundry projects equal to them."""
    import asyncio
    import os

    from reconciler.log import quiet, set_up
    from reconciler.service.config import load_config
    from reconciler.settings import read

    loaded = load_config(config, os.environ)
    if check:
        count = len(loaded.spec.sources)
        typer.echo(f"{config} is valid: {count} source{'s' * (count != 1)}, store {loaded.spec.store}")
        return
    from reconciler.service.main import Running
    from reconciler.service.main import serve as run

    set_up(loaded.spec.log, json=True)
    quiet()

    def ready(service: Running) -> None:
        typer.echo(f"reconciler listens on {service.url}", err=True)

    asyncio.run(run(loaded, read(os.environ), os.environ, ready))
