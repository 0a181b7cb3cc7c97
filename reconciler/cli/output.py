"""Where a report goes: standard output, files, and what CI systems read by themselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from reconciler.errors import InvalidInput
from reconciler.report import RunReport


@dataclass(frozen=True)
class Outputs:
    """The format of standard output, and format and file of every further one."""

    stdout: str
    files: tuple[tuple[str, Path], ...]


def outputs(format: str, output: Sequence[str] | None) -> Outputs:
    """The flags as values, checked before anything is read.

    Raises:
        InvalidInput: an unknown format, or not FORMAT=FILE.
    """
    from reconciler.render import check_format

    check_format(format)
    files = []
    for pair in output or ():
        name, equals, file = pair.partition("=")
        if not equals or not file:
            raise InvalidInput(
                f"--output {pair!r} is not FORMAT=FILE", hint="For example --output junit=report.xml."
            )
        check_format(name)
        files.append((name, writable(Path(file))))
    return Outputs(format, tuple(files))


def writable(file: Path) -> Path:
    """The file, once it is known that it can be written: before anything is done, not after.

    Raises:
        InvalidInput: it is a folder, or there is no way to write it.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab"):
            pass
    except OSError as error:
        raise InvalidInput(f"cannot write {file}", hint="Check the folder and its permissions.") from error
    return file


def emit(report: RunReport, out: Outputs, *, ci: bool = True) -> None:
    """Write the report everywhere it shall go; with `ci` also what the CI system reads by itself.

    Raises:
        typer.Exit: a file could not be written after all; everything else was.
    """
    from reconciler.render import render

    text = render(report, out.stdout, color=_color(), width=_width())
    typer.echo(text, nl=not text.endswith("\n"), color=True)
    if ci:
        _for_ci(report, out)
    failed = [file for name, file in out.files if not _written(file, render(report, name))]
    for file in failed:
        typer.echo(f"Error: cannot write {file}", err=True)
    if failed:
        # Of an apply exit 1 would say that nothing was written.
        raise typer.Exit(4 if report.command == "apply" else 1)


def _written(file: Path, text: str) -> bool:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError:
        return False
    return True


def _for_ci(report: RunReport, out: Outputs) -> None:
    """In GitHub Actions annotations and the step summary come by themselves."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    from reconciler.render import render
    from reconciler.render.github import step_summary

    if out.stdout == "text":
        typer.echo(render(report, "github"), nl=False)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with open(summary, "a", encoding="utf-8") as file:
                file.write(step_summary(report))
        except OSError:
            typer.echo("The step summary could not be written.", err=True)


def _color() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _width() -> int:
    try:
        return min(os.get_terminal_size(sys.stdout.fileno()).columns, 140)
    except (OSError, ValueError):
        return 100
