"""Which Project an import writes for: one of the folder, or a new one. Reads files, writes none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from reconciler.cli.new_files import check_project
from reconciler.cli.starter import name_from, project_manifest
from reconciler.errors import InvalidInput
from reconciler.kinds.registry import KINDS
from reconciler.manifest import PROJECT, Library
from reconciler.project import Project, owner_of, read_project
from reconciler.repository import Repository
from reconciler.resource import Key
from reconciler.source import Snapshot, open_source

_MAYBE_PROJECT: Final = re.compile(rb"\bProject\b")
_RESOURCES: Final = "agents/*.yaml"


@dataclass(frozen=True)
class Target:
    """The Project that gets the manifests.

    `folder` is where paths of written files start, `prefix` the same from the source root ("" or "dir/").
    `file` is the Project's file from the root and `text` its content; `fresh` says that it is not
    written yet. `known` maps each agent that the Project has already to its file from the root;
    `owners` are its names in marks.
    """

    folder: Path
    prefix: str
    origin: str
    name: str
    endpoint: str
    file: str
    text: bytes
    fresh: bool
    known: dict[Key, str]
    labels: dict[str, str]
    owners: frozenset[str]

    @property
    def source(self) -> Path:
        """The folder of the Project's file."""
        root = self.folder.resolve()
        for _ in PurePosixPath(self.prefix).parts:
            root = root.parent
        return root / PurePosixPath(self.file).parent

    def with_policies(self, lenient: dict[str, str]) -> Target:
        """The same fresh Project with some rules turned down to warnings, and a comment that says why."""
        lines = [f"    {rule}: {severity}" for rule, severity in sorted(lenient.items())]
        text = (
            self.text.decode()
            + "\n  # Live agents break these rules, so they warn. Remove the lines once that is mended.\n"
            + "  policies:\n"
            + "".join(f"{line}\n" for line in lines)
        )
        return replace(self, text=text.encode())


def target(folder: Path, endpoint: str | None, project_file: Path | None, name: str | None) -> Target:
    """The Project that the flags and the folder, which exists, name.

    Raises:
        InvalidInput: no endpoint, two Projects that fit, or another Project that would take the files too.
        SourceError: the folder cannot be read.
    """
    if endpoint is not None and project_file is not None:
        raise InvalidInput("both --endpoint and --project-file name a project", hint="Give one of the two.")
    snapshot = open_source(str(folder), environ=os.environ)
    projects = list(_projects(snapshot))
    if project_file is not None:
        return _existing(folder, snapshot, _of_file(folder, snapshot, projects, project_file))
    here = [project for project in projects if _in_scope(snapshot, project)]
    if endpoint is None:
        if not here:
            raise InvalidInput(
                f"which project shall be imported? No Project in {folder}",
                hint="Name it: --endpoint https://ACCOUNT.services.ai.azure.com/api/projects/NAME.",
            )
        fitting = [project for project in here if name in (None, project.name)]
    else:
        check_project(name or "project", endpoint)
        wanted = endpoint.strip().rstrip("/")
        fitting = [project for project in here if project.spec.endpoint.casefold() == wanted.casefold()]
        fitting = [project for project in fitting if name in (None, project.name)]
        if not fitting:
            return _fresh(folder, snapshot, projects, wanted, name)
    if len(fitting) != 1:
        names = ", ".join(sorted(f"{one.name} in {one.manifest.file}" for one in fitting or here))
        what = "several Projects fit" if fitting else f"no Project `{name}`"
        raise InvalidInput(
            f"{what}: {folder} has {names}", hint="Choose one with --name, or with --project-file FILE."
        )
    return _existing(folder, snapshot, fitting[0])


def _projects(snapshot: Snapshot) -> Iterator[Project]:
    """Every Project of the source that can be read."""
    library = Library(snapshot, KINDS)
    for path in sorted(snapshot.files):
        if path.endswith((".yaml", ".yml")) and library.mentions(path, _MAYBE_PROJECT):
            for manifest in library.content(path).manifests:
                if manifest.kind == PROJECT:
                    yield read_project(manifest, os.environ, snapshot.origin)


def _in_scope(snapshot: Snapshot, project: Project) -> bool:
    return not snapshot.scope or project.manifest.file.startswith(snapshot.scope + "/")


def _of_file(folder: Path, snapshot: Snapshot, projects: list[Project], file: Path) -> Project:
    """The one Project in a file of the source that the folder belongs to."""
    if not file.is_file():
        raise InvalidInput(f"no file {file}", hint="Name a file with `kind: Project`.")
    root = folder.resolve()
    for _ in PurePosixPath(snapshot.scope).parts:
        root = root.parent
    inside = file.resolve()
    if not inside.is_relative_to(root):
        raise InvalidInput(
            f"{file} is not in the source of {folder}",
            hint="Import into the folder or the repository of the Project.",
        )
    path = inside.relative_to(root).as_posix()
    found = [project for project in projects if project.manifest.file == path]
    if len(found) != 1:
        count = "no" if not found else "more than one"
        raise InvalidInput(f"{file} holds {count} Project", hint="Run `reconciler validate` on its folder.")
    return found[0]


def _prefix(snapshot: Snapshot) -> str:
    return f"{snapshot.scope}/" if snapshot.scope else ""


def _existing(folder: Path, snapshot: Snapshot, project: Project) -> Target:
    """A Project that is there, with the agents it has.

    Raises:
        InvalidInput: its file has problems, or its globs do not take what would be written.
    """
    own_folder, prefix = PurePosixPath(project.manifest.file).parent.as_posix(), _prefix(snapshot)
    if not project.globs.match(f"{prefix}agents/x.yaml"):
        raise InvalidInput(
            f"the Project `{project.name}` does not take files from {folder / 'agents'}",
            hint=f"Add `agents/*.yaml`, relative to {own_folder}, to its `resources`, or import elsewhere.",
        )
    # The whole source, since the Project may lie above the folder.
    whole = Library(replace(snapshot, scope=""), KINDS)
    repository = Repository(whole, os.environ, (project.name,))
    found = repository.belongings(repository.chosen[0])
    known = {
        Key(project.name, manifest.kind, manifest.name): manifest.file
        for manifest in (*found.manifests, *found.broken)
    }
    return Target(
        folder=folder,
        prefix=prefix,
        origin=snapshot.origin,
        name=project.name,
        endpoint=project.spec.endpoint,
        file=project.manifest.file,
        text=snapshot.read(project.manifest.file),
        fresh=False,
        known=known,
        labels=dict(project.spec.selector),
        owners=frozenset({owner_of(project, snapshot.origin), *project.spec.owner_aliases}),
    )


def _fresh(
    folder: Path, snapshot: Snapshot, projects: list[Project], endpoint: str, name: str | None
) -> Target:
    """A Project to write.

    Raises:
        InvalidInput: another Project of the source would take the same files, or has this name.
    """
    prefix = _prefix(snapshot)
    named = name or name_from(endpoint.rstrip("/").rpartition("/")[2])
    for other in projects:
        if other.name.casefold() == named.casefold():
            raise InvalidInput(
                f"a Project `{other.name}` is already in {other.manifest.file}, for another endpoint",
                hint="Choose another name with --name.",
            )
        if other.globs.match(f"{prefix}agents/x.yaml"):
            raise InvalidInput(
                f"the Project `{other.name}` takes every file of {folder / 'agents'} too, and would make "
                "these agents on its own endpoint",
                hint=f"Import into another folder, or narrow the `resources` in {other.manifest.file}.",
            )
    owner = f"{snapshot.origin or 'local'}#{named}"
    file = "project.yaml" if not os.path.lexists(folder / "project.yaml") else f"{named}.project.yaml"
    if os.path.lexists(folder / file):
        raise InvalidInput(f"{folder / file} exists", hint="Move it away, or import into another folder.")
    text = project_manifest(named, endpoint, owner, "observe", (_RESOURCES,))
    return Target(
        folder=folder,
        prefix=prefix,
        origin=snapshot.origin,
        name=named,
        endpoint=endpoint,
        file=prefix + file,
        text=text.encode(),
        fresh=True,
        known={},
        labels={},
        owners=frozenset({owner}),
    )
