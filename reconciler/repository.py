"""Which Projects a source holds, and which manifests belong to each."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from reconciler.errors import InvalidInput, Problem
from reconciler.manifest import PROJECT, Content, Library, Manifest
from reconciler.project import Project, duplicates, names_of, read_project
from reconciler.suggest import did_you_mean

# Cheap enough for every YAML file of a repository; what it finds is parsed.
_MAYBE_PROJECT: Final = re.compile(rb"""(?m)(?:^|[\s{,"'])kind["']?\s*:\s*["']?Project\b""")
# In a text that cannot be parsed, this much makes it a Project's.
_SURELY_PROJECT: Final = re.compile(rb"""(?m)^kind\s*:\s*["']?Project\b""")
_MAYBE_OURS: Final = re.compile(rb"reconciler/v")
_SUFFIXES: Final = (".yaml", ".yml")


@dataclass(frozen=True)
class Belongings:
    """The manifests of one Project, those with a broken envelope, and the problems of its files."""

    manifests: tuple[Manifest, ...]
    broken: tuple[Manifest, ...]
    problems: tuple[Problem, ...]


class Repository:
    """The Projects of a source. `here` are those below the folder that was asked for.

    Args:
        wanted: names of those that were asked for; all of them when empty.
        handles: whether a Project of that name is any of our business.

    Raises:
        InvalidInput: there is none, one of those that were asked for is broken, or an unknown name.
    """

    def __init__(
        self,
        library: Library,
        environ: Mapping[str, str],
        wanted: Sequence[str] = (),
        handles: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._library = library
        self._handles = handles
        self._files: dict[str, tuple[str, ...]] = {}
        self._naming: dict[str, tuple[tuple[str, str], ...]] = {}
        found = list(self._projects(environ, wanted))
        inside = self._code_folders(found)
        every = [project for project in found if not _below_any(project.manifest.file, inside)]
        self.here = tuple(project for project in every if self._in_scope(project.manifest.file))
        self.others = tuple(project for project in every if project not in self.here)
        self.chosen = self._chosen(wanted)

    def _in_scope(self, path: str) -> bool:
        scope = self._library.snapshot.scope
        return not scope or path.startswith(scope + "/")

    def _projects(self, environ: Mapping[str, str], wanted: Sequence[str]) -> Iterator[Project]:
        """Every Project that can be read at all; broken ones count only where they may be wanted."""
        problems: list[Problem] = []
        library, snapshot = self._library, self._library.snapshot
        for path in self._candidates(_MAYBE_PROJECT):
            surely = library.mentions(path, _SURELY_PROJECT)
            content = library.content(path)
            projects = [manifest for manifest in content.manifests if manifest.kind == PROJECT]
            names = {m.name for m in (*projects, *content.broken) if m.kind == PROJECT}
            relevant = not names or any(self._is_wanted(name, wanted) for name in names)
            if relevant and self._in_scope(path) and (names or surely):
                problems += [*content.faults, *content.project_problems]
            for manifest in projects:
                yield read_project(manifest, environ, snapshot.origin)
        if problems:
            raise broken_projects(problems)

    def _candidates(self, pattern: re.Pattern[bytes]) -> Iterator[str]:
        """YAML files of the whole source whose text matches, hidden ones left out."""
        snapshot, mentions = self._library.snapshot, self._library.mentions
        for path in sorted(snapshot.files):
            if path.endswith(_SUFFIXES) and mentions(path, pattern) and not _hidden(path, snapshot.scope):
                yield path

    def _chosen(self, wanted: Sequence[str]) -> tuple[Project, ...]:
        if not self.here:
            raise self._no_project()
        known = {project.name: project for project in self.here}
        for name in wanted:
            if name not in known:
                raise InvalidInput(f"no Project `{name}`", hint=self._unknown(name))
        chosen = [project for project in self.here if self._is_wanted(project.name, wanted)]
        ours = [project for project in self.here if self._handles(project.name)]
        problems = [*duplicates(ours), *(item for project in chosen for item in project.problems)]
        if problems:
            raise broken_projects(problems)
        return tuple(sorted(chosen, key=lambda project: project.name))

    def _is_wanted(self, name: str, wanted: Sequence[str]) -> bool:
        return (not wanted or name in wanted) and self._handles(name)

    def _no_project(self) -> InvalidInput:
        """A misspelt kind or version is the likeliest reason, so what is wrong with ours is told."""
        snapshot = self._library.snapshot
        where = f"{snapshot.root} below {snapshot.scope}" if snapshot.scope else snapshot.root
        contents = [self._library.content(p) for p in self._candidates(_MAYBE_OURS) if self._in_scope(p)]
        return InvalidInput(
            f"no Project in {where}",
            [found for content in contents for found in (*content.faults, *content.problems)],
            hint="A Project names the endpoint: add a file with `kind: Project`; `reconciler init` does.",
        )

    def _unknown(self, name: str) -> str:
        elsewhere = [project for project in self.others if project.name == name]
        if elsewhere:
            return f"It is in {elsewhere[0].manifest.file}, outside of the folder that was asked for."
        return did_you_mean(name, (p.name for p in self.here), f"There is {names_of(list(self.here))}.")

    def belongings(self, project: Project) -> Belongings:
        """The manifests of a Project: its globs and its selector, without code folders."""
        manifests: list[Manifest] = []
        broken: list[Manifest] = []
        problems: list[Problem] = []
        for path in self.files(project):
            content = self._library.content(path)
            if _below_any(path, self._outside_folders):
                problems += _in_code(content)
                continue
            manifests += [m for m in content.manifests if m.kind != PROJECT and project.selects(m)]
            if content.flawless:
                continue
            broken += [m for m in content.broken if m.kind != PROJECT]
            problems += [*content.faults, *content.problems]
            # Beside code that lies with its manifest there are files of the code's own.
            if not _below_any(path, self._inside_folders):
                problems += content.strange
        return Belongings(tuple(manifests), tuple(broken), tuple(problems))

    def files(self, project: Project) -> tuple[str, ...]:
        """The files that the globs of a Project match, sorted."""
        key = project.manifest.file + "#" + project.name
        if key not in self._files:
            self._files[key] = tuple(sorted(project.globs.matches(self._library.snapshot.files)))
        return self._files[key]

    @cached_property
    def _outside_folders(self) -> frozenset[str]:
        return self._code_folders([*self.here, *self.others])

    @cached_property
    def _inside_folders(self) -> frozenset[str]:
        return self._code_folders([*self.here, *self.others], inside=True)

    def _code_folders(self, projects: Iterable[Project], *, inside: bool = False) -> frozenset[str]:
        """Folders that manifests name as code: those that lie apart, or those that hold their manifest."""
        named = {pair for project in projects for pair in self._naming_code(project)}
        return frozenset(folder for path, folder in named if _below_any(path, (folder,)) == inside)

    def _naming_code(self, project: Project) -> tuple[tuple[str, str], ...]:
        """Files of a Project that name a folder as code, with that folder."""
        key = project.manifest.file + "#" + project.name
        if key not in self._naming:
            content = self._library.content
            self._naming[key] = tuple(
                (path, folder) for path in self.files(project) for folder in content(path).code_folders
            )
        return self._naming[key]


def broken_projects(problems: list[Problem]) -> InvalidInput:
    """The error of Project files that do not say where and what to reconcile."""
    count = len(problems)
    return InvalidInput(
        f"{count} problem{'s' * (count != 1)} in Project files",
        problems,
        hint="Nothing was read from the service and nothing was written.",
    )


def _hidden(path: str, scope: str) -> bool:
    """Whether a folder or the file starts with a dot, below the folder that was asked for."""
    below = path[len(scope) + 1 :] if scope and path.startswith(scope + "/") else path
    return below.startswith(".") or "/." in below


def _below_any(path: str, folders: Collection[str]) -> bool:
    return bool(folders) and any(not folder or path.startswith(folder + "/") for folder in folders)


def _in_code(content: Content) -> Iterator[Problem]:
    """A manifest of ours inside of code may be meant or not: taking or dropping it could both do harm."""
    for manifest in (*content.manifests, *content.broken):
        if manifest.kind != PROJECT:
            message = f"{manifest.kind}/{manifest.name} lies in a folder that is another agent's code"
            hint = "Move it out, or exclude it in `resources` by a glob that starts with `!`."
            yield Problem(manifest.place, "", message, hint)
