"""The command line: one file per command, heavy imports inside the commands."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from reconciler import __version__
from reconciler.cli import (
    apply,
    demo,
    doctor,
    drift,
    history,
    import_,
    init,
    plan,
    rollback,
    sandbox,
    schema,
    serve,
    status,
    token,
    validate,
)

app = typer.Typer(
    name="reconciler",
    help="Keeps the agents of Microsoft Foundry projects equal to the manifests in a Git repository.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("init")(init.init)
app.command("validate")(validate.validate)
app.command("plan")(plan.plan)
app.command("apply")(apply.apply)
app.command("drift")(drift.drift)
app.command("status")(status.status)
app.command("history")(history.history)
app.command("rollback")(rollback.rollback)
app.command("import")(import_.import_)
app.command("serve")(serve.serve)
app.command("sandbox")(sandbox.sandbox)
app.command("token")(token.token)
app.command("schema")(schema.schema)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"reconciler {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keeps the agents of Microsoft Foundry projects equal to the manifests in a Git repository."""


def main() -> None:
    """Run the command line; every failure a user can cause ends in a message and an exit code."""
    from reconciler.errors import InvalidInput, ReconcilerError, explain

    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        sys.exit(130)
    except TyperException as error:
        # A usage error: typer's own exit code for it, 2, would say "changes pending" to a script.
        getattr(error, "show", lambda: None)()
        sys.exit(1)
    except ReconcilerError as error:
        for problem in error.problems if isinstance(error, InvalidInput) else ():
            typer.echo(str(problem), err=True)
        first, *causes = explain(error)
        typer.echo(f"Error: {first}", err=True)
        for cause in causes:
            typer.echo(f"  because: {cause}", err=True)
        if error.hint:
            typer.echo(f"  → {error.hint}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does; nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(int(code) if isinstance(code, int) else 0)
