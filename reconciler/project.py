"""A Project file into the settings of a Project: its own values filled in, its owner named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from pydantic import ValidationError

from reconciler import model_findings
from reconciler.errors import Finding, Place, Problem
from reconciler.globs import compiled, joined
from reconciler.manifest import Manifest
from reconciler.project_spec import MOST_OWNER_CHARS, ProjectSpec, SyncSpec
from reconciler.resource import JsonObject
from reconciler.suggest import listed
from reconciler.values import Values, fill, told

# Parts of the spec that are used as written: what `$value` in them means is decided elsewhere, or nothing.
_LITERAL: Final = frozenset({"values", "values_from_env", "patches"})
# The endpoint of a Project that does not say where it is.
_NOWHERE: Final = "sandbox://unknown"


@dataclass(frozen=True)
class ProjectSettings:
    """What everybody needs to know about a Project.

    `owner` is the name in our marks (rule M4), `policies` the severity by rule.
    """

    name: str
    endpoint: str
    owner: str
    owner_aliases: tuple[str, ...]
    sync: SyncSpec
    policies: Mapping[str, str]
    place: Place


@dataclass(frozen=True)
class Globs:
    """The files of a Project: globs as paths from the source root, and those to leave out."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]

    def match(self, path: str) -> bool:
        """Whether a file belongs to the Project."""
        return bool(self.matches((path,)))

    def matches(self, paths: Iterable[str]) -> list[str]:
        """Those of the files that belong to the Project."""
        include, exclude = _any_of(self.include), _any_of(self.exclude)
        found = [path for path in paths if include.fullmatch(path)] if self.include else []
        return [path for path in found if not exclude.fullmatch(path)] if self.exclude else found


@dataclass(frozen=True)
class Project:
    """A Project as its file says it.

    `readable` is False when only parts of its spec could be read, and `told` when these do not say for
    certain which manifests are its own.
    """

    manifest: Manifest
    spec: ProjectSpec
    values: Values
    problems: tuple[Problem, ...] = ()
    readable: bool = True
    told: bool = True

    @property
    def name(self) -> str:
        return self.manifest.name

    @cached_property
    def endpoint(self) -> str:
        """The endpoint that it states, for comparing; "" where that cannot be told."""
        nowhere = not self.readable and self.spec.endpoint == _NOWHERE
        return "" if nowhere else self.spec.endpoint.casefold()

    @cached_property
    def globs(self) -> Globs:
        """The resources of the Project; a glob that leaves the root matches nothing and is a problem."""
        return globs_of(self.manifest.folder, self.spec.resources)

    def selects(self, manifest: Manifest) -> bool:
        """Whether the labels of a manifest match the selector."""
        wanted = self.spec.selector
        return not wanted or has_labels(manifest.labels, wanted)

    def settings(self, origin: str) -> ProjectSettings:
        """The settings, with the owner from the Git remote where the file does not name one."""
        spec = self.spec
        return ProjectSettings(
            name=self.name,
            endpoint=spec.endpoint,
            owner=owner_of(self, origin),
            owner_aliases=spec.owner_aliases,
            sync=spec.sync,
            policies=spec.policies,
            place=self.manifest.place,
        )


def _any_of(globs: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{compiled(glob).pattern})" for glob in globs))


def globs_of(folder: str, resources: Iterable[str]) -> Globs:
    """The globs relative to a folder; those that leave the root are left out."""
    include: list[str] = []
    exclude: list[str] = []
    for glob in resources:
        path = joined(folder, glob.removeprefix("!"))
        if path is not None:
            (exclude if glob.startswith("!") else include).append(path)
    return Globs(tuple(include), tuple(exclude))


def has_labels(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether every wanted label is there with its value."""
    return all(labels.get(key) == value for key, value in wanted.items())


def owner_of(project: Project, origin: str) -> str:
    """The name in the marks of a Project (rule M4)."""
    return project.spec.owner or f"{origin or 'local'}#{project.name}"


def read_project(
    manifest: Manifest, environ: Mapping[str, str], origin: str, faults: tuple[Problem, ...] = ()
) -> Project:
    """The Project of a manifest, with every problem of its file.

    Args:
        environ: where `values_from_env` come from.
        origin: `host/path` of the Git remote, for the owner.
        faults: what is wrong with the text of the file: the manifest may lack a part of what it says.
    """
    raw: JsonObject = manifest.value["spec"]
    values = values_of(raw, environ)
    literal = {key: value for key, value in raw.items() if key in _LITERAL}
    filled = fill({key: value for key, value in raw.items() if key not in _LITERAL}, values, _no_files)
    found = list(filled.findings)
    spec = None
    try:
        spec = ProjectSpec.model_validate({**filled.value, **literal})
    except ValidationError as error:
        found += model_findings.findings(error, ProjectSpec)
    if spec is not None:
        # Values of the Project's own address are shown by design, and must not blank out its reports.
        public = Values(values.known, values.missing, values.secret - filled.used)
        project = Project(manifest, spec, public)
        found += _owner_findings(project, origin)
        found += _glob_findings(project)
    problems = (*faults, *(manifest.problem(finding, "spec") for finding in told(found, filled)))
    if spec is None:
        least, certain = _least(filled.value, raw)
        return Project(manifest, least, values, problems, readable=False, told=certain and not faults)
    return Project(manifest, spec, public, problems, told=not faults)


def values_of(raw: JsonObject, environ: Mapping[str, str]) -> Values:
    """The values of a Project, those from the environment first of all; odd shapes give none."""
    stated, asked = raw.get("values"), raw.get("values_from_env")
    known: dict[str, Any] = dict(stated) if isinstance(stated, dict) else {}
    names = {name: name for name in asked if isinstance(name, str)} if isinstance(asked, list) else asked
    missing: dict[str, str] = {}
    secret: set[str] = set()
    for name, variable in names.items() if isinstance(names, dict) else ():
        if isinstance(variable, str) and variable in environ:
            known[name] = environ[variable]
            secret.add(name)
        elif isinstance(variable, str) and name not in known:
            missing[name] = variable
    return Values(known, missing, frozenset(secret))


def _no_files(path: str) -> tuple[str, str]:
    return "a Project takes no files", "Use `values`, or put the file into the Agent."


def _least(filled: JsonObject, raw: JsonObject) -> tuple[ProjectSpec, bool]:
    """What a spec with problems says all the same, and whether its manifests are certain.

    They are not where `resources` or `selector` is wrong, or an unknown key may be one of the two misspelt.
    """
    stated = {**filled, "values_from_env": raw.get("values_from_env")}
    sound: dict[str, Any] = {"endpoint": _NOWHERE}
    for key in ("endpoint", "resources", "selector", "values_from_env"):
        try:
            ProjectSpec.model_validate({**sound, key: stated.get(key)})
        except ValidationError:
            continue
        sound[key] = stated[key]
    unsound = {"resources", "selector"} & raw.keys() - sound.keys()
    known = {field.alias or name for name, field in ProjectSpec.model_fields.items()}
    return ProjectSpec.model_validate(sound), not unsound and raw.keys() <= known


def _owner_findings(project: Project, origin: str) -> list[Finding]:
    owner = owner_of(project, origin)
    if len(owner) <= MOST_OWNER_CHARS:
        return []
    message = (
        f"the owner `{owner[:40]}…` has {len(owner)} characters, and a mark has room for {MOST_OWNER_CHARS}"
    )
    return [Finding(("owner",), message, "Set a shorter `owner`.")]


def _glob_findings(project: Project) -> list[Finding]:
    return [
        Finding(
            ("resources", index), f"`{glob}` leaves the source", "Keep the manifests inside the repository."
        )
        for index, glob in enumerate(project.spec.resources)
        if joined(project.manifest.folder, glob.removeprefix("!")) is None
    ]


def duplicates(projects: Iterable[Manifest]) -> dict[str, list[Problem]]:
    """Projects with one name (or equal but for case) in one source, by their name in lower case.

    Each after the first is a problem.
    """
    first: dict[str, Manifest] = {}
    found: dict[str, list[Problem]] = {}
    for project in projects:
        name = project.name.casefold()
        other = first.setdefault(name, project)
        if other is not project:
            message = f"the Project `{other.name}` is already in {other.place}"
            problem = Problem(project.place, "metadata.name", message, "Give it another name.")
            found.setdefault(name, []).append(problem)
    return found


def names_of(projects: list[Project]) -> str:
    """The names of Projects for a sentence."""
    return listed(sorted(project.name for project in projects))
