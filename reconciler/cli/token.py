"""`reconciler token`: a token for the service's token file."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def token(
    name: Annotated[str, typer.Argument(help="Whose token it is; roles name it so.", metavar="NAME")],
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Hash the words on standard input instead of making a token.")
    ] = False,
) -> None:
    """Make a token: it goes to standard error once, its line for the token file to standard output."""
    from reconciler.errors import InvalidInput
    from reconciler.service.auth import tokens

    if not tokens.NAME.fullmatch(name):
        raise InvalidInput(
            f"{name[:63]!r} is no name for a token", hint="Use letters, digits and `._@-`, at most 63."
        )
    if passphrase:
        words = sys.stdin.readline().rstrip("\r\n")
        if len(words) < tokens.LEAST_PASSPHRASE:
            raise InvalidInput(
                f"the passphrase has fewer than {tokens.LEAST_PASSPHRASE} characters",
                hint="Pipe longer words into the command, or let it make a token.",
            )
        typer.echo(f"{name}: {tokens.hash_of_passphrase(words)}")
        return
    made = tokens.new_token()
    typer.echo(f"Token (shown this once): {made}", err=True)
    typer.echo(f"{name}: {tokens.hash_of(made)}")
