"""Which Projects of a pull request are looked at, and by whose rules. Pure.

Whoever can open a pull request must not be able to change the rules that judge it, to have our credential
sent to an endpoint of theirs, or to read what the service's environment holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from reconciler.desired import BrokenProject, DesiredProject
from reconciler.kinds.registry import KINDS
from reconciler.loading import Loaded
from reconciler.manifest import Library
from reconciler.project import ProjectSettings
from reconciler.repository import Repository
from reconciler.resource import Json
from reconciler.snapshot import Snapshot

_SETTINGS: Final = ("owner", "owner_aliases", "sync", "policies")


@dataclass(frozen=True)
class Judged:
    """The Projects of a pull request.

    `looked_at` have the settings of the base and the resources of the pull request. `untouched` are equal
    on both sides. `broken` are those whose files it breaks, or leaves broken in another way. `notes` are
    sentences: what comes before the colon is ours, a name may follow it.
    """

    looked_at: tuple[DesiredProject, ...]
    untouched: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    broken: tuple[BrokenProject, ...] = ()


@dataclass(frozen=True)
class Note:
    """One remark on a Project that a reviewer should read."""

    project: str
    text: str


def judged(base: Loaded, head: Loaded, handles: Callable[[str], bool]) -> Judged:
    """What of a pull request is looked at.

    Args:
        base: the branch that it would be merged into.
        handles: whether this service takes care of a Project of this name.
    """
    known = {project.project.name: project for project in base.projects}
    looked_at: list[DesiredProject] = []
    untouched: list[str] = []
    notes: list[Note] = []
    for project in head.projects:
        name = project.project.name
        old = known.pop(name, None)
        if not handles(name):
            continue
        if old is None:
            what = "is new" if base.broken_as(name) is None else "cannot be read without this"
            notes.append(Note(name, f"{what}: nothing is read from its endpoint before it is merged"))
        elif project.project.endpoint != old.project.endpoint:
            notes.append(Note(name, "gets another endpoint: nothing is read from it before it is merged"))
        elif _same(old, project):
            untouched.append(name)
        else:
            notes += [Note(name, text) for text in _changed_settings(old.project, project.project)]
            looked_at.append(replace(project, project=old.project, masked=project.masked | old.masked))
    there = {project.project.name for project in head.projects}
    broken = [one for one in head.broken if not one.name or handles(one.name)]
    untouched += [one.name for one in broken if one.name and one in base.broken]
    for name in sorted(known.keys() | {one.name for one in base.broken if one.name} - there):
        if handles(name) and head.broken_as(name) is None:
            notes.append(Note(name, "is removed: its agents stay as they are, and nobody looks after them"))
    return Judged(
        tuple(looked_at),
        tuple(untouched),
        tuple(notes),
        tuple(one for one in broken if one not in base.broken),
    )


def _same(old: DesiredProject, new: DesiredProject) -> bool:
    """Whether both want the same, apart from where it is written."""
    return (
        _settings(old.project) == _settings(new.project)
        and old.problems == new.problems
        and dict(old.elsewhere) == dict(new.elsewhere)
        and bool(old.unread) == bool(new.unread)
        and [_want(desired) for desired in old.resources] == [_want(desired) for desired in new.resources]
    )


def _want(desired: Json) -> Json:
    code = desired.code.tree if desired.code else ""
    return (
        desired.key,
        desired.fingerprint,
        desired.release,
        desired.lifecycle,
        desired.details,
        desired.enabled,
        desired.labels,
        code,
    )


def _settings(settings: ProjectSettings) -> tuple[object, ...]:
    return tuple(getattr(settings, name) for name in _SETTINGS)


def _changed_settings(old: ProjectSettings, new: ProjectSettings) -> list[str]:
    changed = [name for name in _SETTINGS if getattr(old, name) != getattr(new, name)]
    if not changed:
        return []
    listed = ", ".join(f"`{name}`" for name in changed)
    return [f"changes {listed}: that holds after the merge, and this plan is judged by what holds now"]


def permitted(base: Snapshot, environ: Mapping[str, str]) -> dict[str, str]:
    """What a pull request may take from the environment: the variables that the base takes already.

    Raises:
        InvalidInput: the base holds no Project that can be read.
        SourceError: the base cannot be read.
    """
    repository = Repository(Library(base, KINDS, None), environ, each_alone=True)
    projects = (*repository.here, *repository.others)
    named = {variable for project in projects for variable in project.spec.values_from_env.values()}
    return {name: environ[name] for name in sorted(named) if name in environ}
