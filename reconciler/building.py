"""One manifest into a desired value: values filled in, old shapes upgraded, spec checked, kind asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from posixpath import basename, dirname
from typing import Final

from pydantic import ValidationError

from reconciler import model_findings
from reconciler.errors import Place, Problem, SourceError
from reconciler.globs import joined
from reconciler.kinds.kind import Registry
from reconciler.manifest import Manifest, Snapshot
from reconciler.project import Project
from reconciler.resource import Code, Desired, Key
from reconciler.suggest import did_you_mean
from reconciler.values import LEAST_MASKED_CHARS, fill, told
from reconciler.yaml_nodes import MAX_BYTES

_LEAVES: Final = "Paths are relative to the manifest and stay inside the repository."


@dataclass(frozen=True)
class Building:
    """What every manifest of one Project is built with."""

    project: Project
    kinds: Registry
    snapshot: Snapshot


@dataclass(frozen=True)
class Built:
    """The desired value of a manifest, None with problems."""

    key: Key
    desired: Desired | None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


def build(manifest: Manifest, building: Building) -> Built:
    """The desired value of one manifest, or every problem of it."""
    project, kind = building.project, building.kinds[manifest.kind]
    beside = Beside(building.snapshot, manifest.folder)
    key = Key(project.name, manifest.kind, manifest.name)
    filled = fill(manifest.value["spec"], project.values, beside.text)
    spec = {"schema": project.spec.checks, **filled.value}
    spec, upgrades = kind.upgrade(spec)
    found = [*filled.findings, *upgrades, *kind.check(spec)]
    desired = None
    try:
        checked = kind.spec.model_validate(spec)
    except ValidationError as error:
        found += model_findings.findings(error, kind.spec)
    else:
        desired, wishes = kind.desire(key, checked, beside)
        found += wishes
    shown = [manifest.problem(finding, "spec") for finding in told(found, filled)]
    problems = tuple(_unmasked(problem, project) for problem in shown if not problem.note)
    notes = tuple(_unmasked(problem, project) for problem in shown if problem.note)
    if problems or desired is None:
        return Built(key, None, problems, notes)
    secret = (str(project.values.known[name]) for name in filled.used & project.values.secret)
    masked = tuple(sorted(value for value in secret if len(value) >= LEAST_MASKED_CHARS))
    whole = replace(desired, place=manifest.place, labels=manifest.labels, masked=masked)
    return Built(key, whole, (), notes)


def _unmasked(problem: Problem, project: Project) -> Problem:
    """The problem without whole values from the environment (rule P11)."""
    message = problem.message
    for value in sorted(project.values.masked, key=len, reverse=True):
        message = message.replace(value, "***")
    return problem if message == problem.message else replace(problem, message=message)


@dataclass(frozen=True)
class Beside:
    """The source as one manifest sees it: paths relative to its folder, never out of the root."""

    snapshot: Snapshot
    folder: str

    def code(self, folder: str, ignore_file: str = ".agentignore") -> tuple[Code | None, tuple[Problem, ...]]:
        """A folder of code."""
        path = joined(self.folder, folder)
        if path is None:
            message = f"`{folder}` leaves the source"
            return None, (Problem(Place(self.folder or "."), "", message, _LEAVES),)
        return self.snapshot.code(path, ignore_file)

    def text(self, file: str) -> str | tuple[str, str]:
        """The text of a file with lines ended by `\\n`, or a message and a hint."""
        path = joined(self.folder, file)
        if path is None:
            return f"`{file}` leaves the source", _LEAVES
        if path not in self.snapshot.files:
            near = [basename(other) for other in self.snapshot.files if dirname(other) == dirname(path)]
            hint = did_you_mean(basename(path), near, "Check the path; it is relative to the manifest.")
            return f"no file `{path}` in the source", hint
        try:
            content = self.snapshot.read(path)
        except SourceError as error:
            return str(error), error.hint
        if len(content) > MAX_BYTES:
            return f"`{path}` has {len(content):,} bytes, more than {MAX_BYTES:,}", "Shorten it."
        try:
            # The line ends of a checkout differ between machines, and must not make a new version.
            return content.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError:
            return f"`{path}` is not UTF-8 text", "Save it as UTF-8."
