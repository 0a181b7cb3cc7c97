"""A rollback in Git: the manifest of an agent gets `release.version`, and somebody commits it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import InvalidInput, Place

if TYPE_CHECKING:
    from reconciler.cli.target import Target
    from reconciler.loading import Loaded

_VERSION: Final = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True)
class Edited:
    """A manifest that was edited: `others` are further Projects that it serves; `command` commits it."""

    file: Path
    place: Place
    others: tuple[str, ...]
    command: str


def edit(path: str, target: Target, version: str | None, why: str) -> Edited:
    """Set `release.version` of an agent's manifest, or remove it.

    Args:
        path: a checkout or a folder in it.
        version: the version to serve; None removes it, so that the newest one is released again.

    Raises:
        InvalidInput: the version is none, there is no such agent, its manifest cannot be edited safely, or
            what it says afterwards is not what was asked; the file is then as it was.
        SourceError: the checkout cannot be read.
    """
    from reconciler.cli.release_version import with_version

    if version is not None and not _VERSION.fullmatch(version):
        raise InvalidInput(
            f"{version[:40]!r} is no version", hint="Write the number of a version, such as 7."
        )
    loaded = _loaded(path, target)
    place = _place(loaded, target)
    file = Path(loaded.snapshot.root) / place.file
    text = _read(file)
    edited = with_version(text, target.kind, target.name, version)
    if edited == text:
        state = "has no `release.version`" if version is None else f"has version {version} already"
        raise InvalidInput(f"{place.file} {state}", hint="There is nothing to commit.")
    _write(file, edited)
    try:
        _check(path, target, version)
    except BaseException:
        _write(file, text)
        raise
    subject = (
        f"Release the newest {target.name}" if version is None else f"Roll {target.name} back to {version}"
    )
    words = ["git", "-C", str(file.parent), "commit", "-m", subject, *(("-m", why) if why else ()), file.name]
    return Edited(file, place, _others(path, target, place), shlex.join(words))


def _loaded(path: str, target: Target) -> Loaded:
    from reconciler.loading import Narrowing, load_source

    if "://" in path or not Path(path).is_dir():
        raise InvalidInput(
            f"{path} is no folder", hint="Name a checkout of the repository with the manifest."
        )
    return load_source(path, None, Narrowing((target.project,), None, (target.resource,)))


def _place(loaded: Loaded, target: Target) -> Place:
    for project in loaded.projects:
        if project.problems:
            raise InvalidInput(
                f"Project {target.project} has problems", project.problems, hint="Correct them first."
            )
        for desired in project.resources:
            if desired.key.local == target.resource:
                return desired.place
    raise InvalidInput(f"no manifest here is {target}", hint="`reconciler validate` lists what there is.")


def _check(path: str, target: Target, version: str | None) -> None:
    """What the Project now says of the agent."""
    loaded = _loaded(path, target)
    _place(loaded, target)
    for desired in loaded.projects[0].resources:
        said = desired.release.version
        if desired.key.local == target.resource and said != (version or ""):
            raise InvalidInput(
                f"Project {target.project} would still say version {said!r}, so nothing was changed",
                hint="A patch of the Project sets it: change `patches` in the Project's file.",
            )


def _others(path: str, target: Target, place: Place) -> tuple[str, ...]:
    """Further Projects of the checkout whose agents come from the same manifest."""
    from reconciler.loading import Narrowing, load_source

    return tuple(
        project.project.name
        for project in load_source(path, None, Narrowing()).projects
        if project.project.name != target.project
        and any(desired.place == place for desired in project.resources)
    )


def _read(file: Path) -> str:
    try:
        if file.is_symlink():
            raise InvalidInput(f"{file} is a symbolic link", hint="Edit the file that it leads to.")
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {file}", hint="Check the file and its permissions.") from error


def _write(file: Path, text: str) -> None:
    try:
        file.write_bytes(text.encode())
    except OSError as error:
        raise InvalidInput(f"cannot write {file}", hint="Check the file and its permissions.") from error
