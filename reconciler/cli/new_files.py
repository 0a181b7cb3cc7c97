"""Write files that were not there before, all or none; and what a new Project takes from its surroundings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.errors import InvalidInput


def write_new(folder: Path, files: Mapping[str, str]) -> None:
    """Write each text to its path below the folder.

    Raises:
        InvalidInput: one of them exists, or cannot be written; nothing was overwritten.
    """
    there = [str(folder / path) for path in files if os.path.lexists(folder / path)]
    if there:
        raise InvalidInput(
            f"{' and '.join(there)} {'exists' if len(there) == 1 else 'exist'}, so nothing was written",
            hint="Name another folder, or move what is there away; init never overwrites.",
        )
    for path, text in files.items():
        write(folder / path, text.encode(), exclusive=True)


def write(file: Path, content: bytes, *, exclusive: bool = False) -> None:
    """Write one file and the folders above it; `exclusive` refuses to replace what is there.

    A file that is replaced is replaced whole, and a symbolic link is replaced, never written through.

    Raises:
        InvalidInput: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if exclusive:
            with open(file, "xb") as stream:
                stream.write(content)
            return
        partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
        partial.write_bytes(content)
        partial.replace(file)
    except OSError as error:
        raise InvalidInput(
            f"cannot write {file}", hint="Check the folder: does it exist, and who may write there?"
        ) from error


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """A folder that exists inside the block; one that was made for it and stayed empty goes afterwards.

    Raises:
        InvalidInput: it cannot be made.
    """
    new = [parent for parent in (folder, *folder.parents) if not os.path.lexists(parent)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"cannot make the folder {folder}", hint="Is a part of it a file? Who may write there?"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            for parent in new:
                parent.rmdir()


def origin(folder: Path) -> str:
    """`host/path` of the Git remote around a folder that may not exist yet; "" without one."""
    from reconciler.errors import SourceError
    from reconciler.source import open_source

    existing = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.is_dir())
    if not any((parent / ".git").exists() for parent in (existing, *existing.parents)):
        return ""
    try:
        return open_source(str(existing), environ={}).origin
    except SourceError:
        return ""


def check_project(name: str, endpoint: str) -> None:
    """Raises InvalidInput where a name and an endpoint make no valid Project."""
    from pydantic import ValidationError

    from reconciler.location import redact
    from reconciler.manifest import NAME
    from reconciler.model_findings import findings
    from reconciler.project_spec import ProjectSpec

    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"`{name[:80]}` is no name for a Project",
            hint="Use 1 to 63 letters, digits and hyphens; the first and the last are no hyphen.",
        )
    try:
        ProjectSpec.model_validate({"endpoint": endpoint})
    except ValidationError as error:
        found = findings(error, ProjectSpec)[0]
        shown = redact(endpoint).partition("?")[0][:200]
        raise InvalidInput(f"--endpoint {shown!r}: {found.message}", hint=found.hint) from None
