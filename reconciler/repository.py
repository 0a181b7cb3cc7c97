"""Which Projects a source holds, and which manifests belong to each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from reconciler.errors import InvalidInput, Place, Problem
from reconciler.manifest import PROJECT, Content, Library, Manifest, Misformed
from reconciler.project import Project, duplicates, names_of, read_project
from reconciler.suggest import did_you_mean

# Cheap enough for every YAML file of a repository; what it finds is parsed.
_MAYBE_PROJECT: Final = re.compile(rb"""(?m)(?:^|[\s{,"'])kind["']?\s*:\s*["']?Project\b""")
# In a text that cannot be parsed, this much makes it a Project's.
_SURELY_PROJECT: Final = re.compile(rb"""(?m)^kind\s*:\s*["']?Project\b""")
_MAYBE_OURS: Final = re.compile(rb"reconciler/v")
# What the problems of an envelope are about where its kind or name cannot be told; "" for what is missing.
_SAYS_WHAT: Final = ("", "kind", "metadata.name")
_SUFFIXES: Final = (".yaml", ".yml")


@dataclass(frozen=True)
class Belongings:
    """The manifests of one Project, those with a broken envelope, and the problems of its files.

    `unread` are the places of those whose kind and name cannot be told.
    """

    manifests: tuple[Manifest, ...]
    broken: tuple[Manifest, ...]
    problems: tuple[Problem, ...]
    unread: tuple[Place, ...] = ()


@dataclass(frozen=True)
class BrokenProject:
    """A Project that does not say where and what to reconcile, or shares its name with another one.

    `name` is "" where not even that can be told: then it may be any Project that is not there otherwise.
    """

    name: str
    problems: tuple[Problem, ...]


class Repository:
    """The Projects of a source.

    `here` are those below the folder that was asked for, and `chosen` those of them to reconcile. `broken`
    are those that would have been chosen, had they no problems. `unread` are the places of Projects that may
    desire any agent, since nobody can tell which manifests are theirs.

    Args:
        wanted: names of those that were asked for; all of them when empty.
        handles: whether a Project of that name is any of our business.
        each_alone: a broken Project stops no other one.

    Raises:
        InvalidInput: there is none, or an unknown name. One of those that were asked for is broken; with
            `each_alone`, all of them are.
    """

    def __init__(
        self,
        library: Library,
        environ: Mapping[str, str],
        wanted: Sequence[str] = (),
        handles: Callable[[str], bool] = lambda _: True,
        *,
        each_alone: bool = False,
    ) -> None:
        self._library = library
        self._wanted = frozenset(wanted)
        self._handles = handles
        self._files: dict[str, tuple[str, ...]] = {}
        self._naming: dict[str, tuple[tuple[str, str], ...]] = {}
        files = tuple(self._candidates(_MAYBE_PROJECT))
        if not each_alone:
            self._require_flawless(files)
        found = [project for path in files for project in self._projects(path, environ)]
        inside = self._code_folders(found)
        every = [project for project in found if not _below_any(project.manifest.file, inside)]
        lost = [one for path in files if not _below_any(path, inside) for one in self._misformed(path)]
        self.here = tuple(project for project in every if self._in_scope(project.manifest.file))
        self.others = tuple(project for project in every if project not in self.here)
        if not each_alone:
            self._require_known(wanted)
        self.broken = tuple(self._broken(lost))
        self.chosen = self._chosen()
        vague = [project.problems for project in every if not project.told]
        vague += [one.problems for one in lost]
        self.unread = tuple(sorted({min(problems).place for problems in vague}))

    def _in_scope(self, path: str) -> bool:
        scope = self._library.snapshot.scope
        return not scope or path.startswith(scope + "/")

    def _projects(self, path: str, environ: Mapping[str, str]) -> Iterator[Project]:
        content = self._library.content(path)
        for manifest in content.manifests:
            if manifest.kind == PROJECT:
                yield read_project(manifest, environ, self._library.snapshot.origin, content.faults)

    def _misformed(self, path: str) -> Iterator[Misformed]:
        """The Projects in a file that cannot be read at all, some of which may only be guessed."""
        content = self._library.content(path)
        yield from content.misformed
        if not content.faults:
            return
        known = content.misformed or any(manifest.kind == PROJECT for manifest in content.manifests)
        surely = self._in_scope(path) and self._library.mentions(path, _SURELY_PROJECT)
        ours = self._library.mentions(path, _MAYBE_OURS)
        if (not content.whole and (ours or surely)) or (surely and not known):
            yield Misformed(None, content.faults)

    def _require_flawless(self, files: Iterable[str]) -> None:
        """Of those that may be wanted: the text of each file and the envelope of each Project is right."""
        problems: list[Problem] = []
        for path in files:
            content = self._library.content(path)
            projects = [m for m in (*content.manifests, *content.broken) if m.kind == PROJECT]
            names = {manifest.name for manifest in projects}
            relevant = not names or any(self._is_wanted(name) for name in names)
            surely = names or self._library.mentions(path, _SURELY_PROJECT)
            if relevant and surely and self._in_scope(path):
                problems += [*content.faults, *content.project_problems]
        if problems:
            raise broken_projects(problems)

    def _candidates(self, pattern: re.Pattern[bytes]) -> Iterator[str]:
        """YAML files of the whole source whose text matches, hidden ones left out."""
        snapshot, mentions = self._library.snapshot, self._library.mentions
        for path in sorted(snapshot.files):
            if path.endswith(_SUFFIXES) and mentions(path, pattern) and not _hidden(path, snapshot.scope):
                yield path

    def _broken(self, lost: Iterable[Misformed]) -> Iterator[BrokenProject]:
        """The Projects here that cannot be reconciled, sorted by name, those without a name as one."""
        problems: defaultdict[str, set[Problem]] = defaultdict(set)
        manifests = [project.manifest for project in self.here]
        for one in lost:
            if self._in_scope(one.problems[0].place.file):
                manifests += [one.manifest] if one.manifest else []
                problems[one.manifest.name if one.manifest else ""].update(one.problems)
        for project in self.here:
            problems[project.name].update(project.problems)
        twins = duplicates(manifest for manifest in manifests if self._handles(manifest.name))
        for manifest in manifests:
            problems[manifest.name].update(twins.get(manifest.name.casefold(), ()))
        for name, found in sorted(problems.items()):
            if found and (not name or self._is_wanted(name)):
                yield BrokenProject(name, tuple(sorted(found)))

    def _require_known(self, wanted: Iterable[str]) -> None:
        """Every name that was asked for is there, and is read without problems."""
        if not self.here:
            raise self._no_project()
        known = {project.name for project in self.here}
        for name in wanted:
            if name not in known:
                raise InvalidInput(f"no Project `{name}`", hint=self._unknown(name))
        twins = duplicates(project.manifest for project in self.here if self._handles(project.name))
        problems = [problem for found in twins.values() for problem in found]
        problems += [item for p in self.here if self._is_wanted(p.name) for item in p.problems]
        if problems:
            raise broken_projects(problems)

    def _chosen(self) -> tuple[Project, ...]:
        broken = {one.name for one in self.broken}
        chosen = [p for p in self.here if self._is_wanted(p.name) and p.name not in broken]
        if broken and not chosen:
            raise broken_projects([problem for one in self.broken for problem in one.problems])
        if not self.here:
            raise self._no_project()
        return tuple(sorted(chosen, key=lambda project: project.name))

    def _is_wanted(self, name: str) -> bool:
        return (not self._wanted or name in self._wanted) and self._handles(name)

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
        unread: list[Place] = []
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
            unread += [problem.place for problem in _nameless(content)]
            # Beside code that lies with its manifest there are files of the code's own.
            if not _below_any(path, self._inside_folders):
                problems += content.strange
                unread += [problem.place for problem in content.strange]
        return Belongings(tuple(manifests), tuple(broken), tuple(problems), tuple(unread))

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


def _nameless(content: Content) -> Iterator[Problem]:
    """Problems with which a document does not say what it is, or may not be there at all."""
    yield from content.faults
    yield from (problem for problem in content.problems if problem.path in _SAYS_WHAT)


def _in_code(content: Content) -> Iterator[Problem]:
    """A manifest of ours inside of code may be meant or not: taking or dropping it could both do harm."""
    for manifest in (*content.manifests, *content.broken):
        if manifest.kind != PROJECT:
            message = f"{manifest.kind}/{manifest.name} lies in a folder that is another agent's code"
            hint = "Move it out, or exclude it in `resources` by a glob that starts with `!`."
            yield Problem(manifest.place, "", message, hint)
