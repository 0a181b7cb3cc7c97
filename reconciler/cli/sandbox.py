"""`reconciler sandbox`: a Foundry-shaped service on this machine."""

from __future__ import annotations

from typing import Annotated

import typer


def sandbox(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8099,
    state: Annotated[
        str | None, typer.Option("--state", help="State file; default is that of sandbox://.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the sandbox until Ctrl-C. A Project's endpoint is its URL + /api/projects/NAME."""
    import os
    from pathlib import Path

    from reconciler.errors import StateError
    from reconciler.sandbox import SandboxError, serve
    from reconciler.settings import read

    file = Path(state) if state else read(os.environ).sandbox_state
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        serve(file, host, port, _ready)
    except SandboxError as error:
        raise StateError(str(error), hint=error.hint) from error
    except OSError as error:
        raise StateError(f"cannot use the sandbox state {file}", hint="Check its folder.") from error


def _ready(url: str) -> None:
    typer.echo(f"Sandbox at {url}")
    typer.echo(f"  a Project's endpoint: {url}/api/projects/NAME   settings and faults: {url}/_sandbox/")
