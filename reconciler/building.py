"""One manifest into a desired value: values filled in, old shapes upgraded, spec checked, kind asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from posixpath import basename, dirname
from typing import Final

from pydantic import ValidationError

from reconciler import model_findings
from reconciler.errors import Place, Problem, SourceError
from reconciler.globs import joined
from reconciler.kinds.kind import Registry
from reconciler.manifest import Manifest, Snapshot, SourceFile
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


@dataclass(frozen=True, slots=True)
class Built:
    """The desired value of a manifest, None with problems."""

    key: Key
    desired: Desired | None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


def build(manifest: Manifest, building: Building) -> Built:
    """The desired value of one manifest, or every problem of it."""
    return _build(manifest, building, Beside(building.snapshot, manifest.folder))


@dataclass(frozen=True, slots=True)
class _Kept:
    """A manifest that was built without problems, and the files that it was built from.

    `texts` are path and id of each, `codes` the same of folders.
    """

    manifest: Manifest
    built: Built
    texts: tuple[tuple[str, str], ...]
    codes: tuple[tuple[str, str], ...]

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether the same would be built from this snapshot."""
        for path, blob in self.texts:
            file = snapshot.files.get(path)
            if file is None or file.link or file.blob != blob:
                return False
        return all(tree and snapshot.tree(folder) == tree for folder, tree in self.codes)


class BuiltBefore:
    """The desired values of one Project from load to load: what still holds is not built again.

    Another name, other values or patches of the Project make all of them void.
    """

    def __init__(self) -> None:
        self._settings = ""
        # By identity: an unchanged file gives the same manifest again, and `_Kept` keeps it alive.
        self._kept: Mapping[int, _Kept] = {}

    def fork(self) -> BuiltBefore:
        """The same to go on from, for a load of its own."""
        other = BuiltBefore()
        other._settings, other._kept = self._settings, self._kept
        return other

    def build(
        self,
        manifests: Sequence[Manifest],
        building: Building,
        patched: Callable[[Manifest], tuple[Manifest, bool]],
    ) -> list[Built]:
        """Each manifest as `build` makes it, after its patches; in their order.

        Args:
            patched: the manifest with the Project's patches, and whether all of them could be applied.
        """
        settings = _digest(building.project)
        before = self._kept if settings == self._settings else {}
        after: dict[int, _Kept] = {}
        result: list[Built] = []
        for manifest in manifests:
            kept = before.get(id(manifest))
            if kept is None or not kept.holds(building.snapshot):
                ready, whole = patched(manifest)
                beside = Beside(building.snapshot, manifest.folder)
                built = _build(ready, building, beside)
                if not whole or built.problems:
                    # What it looked for and did not find is not recorded: it is built again next time.
                    result.append(built)
                    continue
                texts = tuple((file.path, file.blob) for file in beside.texts)
                kept = _Kept(manifest, built, texts, tuple(beside.codes))
            after[id(manifest)] = kept
            result.append(kept.built)
        self._settings, self._kept = settings, after
        return result


def _digest(project: Project) -> str:
    """Changes whenever the Project would make something else of a manifest; tells no value of it."""
    spec, values = project.spec, project.values
    places = [project.manifest.at(("spec", "patches", index)) for index in range(len(spec.patches))]
    patches = list(zip(spec.patches, places, strict=True))
    # `repr`, since 1, 1.0 and true are equal in Python and not in JSON.
    text = repr((project.name, values.known, values.missing, sorted(values.secret), spec.checks, patches))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _build(manifest: Manifest, building: Building, beside: Beside) -> Built:
    project, kind = building.project, building.kinds[manifest.kind]
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
    """The source as one manifest sees it: paths relative to its folder, never out of the root.

    `texts` and `codes` collect the files and folders that were read, folders with their id.
    """

    snapshot: Snapshot
    folder: str
    texts: list[SourceFile] = field(default_factory=list)
    codes: list[tuple[str, str]] = field(default_factory=list)

    def code(self, folder: str, ignore_file: str = ".agentignore") -> tuple[Code | None, tuple[Problem, ...]]:
        """A folder of code."""
        path = joined(self.folder, folder)
        if path is None:
            message = f"`{folder}` leaves the source"
            return None, (Problem(Place(self.folder or "."), "", message, _LEAVES),)
        self.codes.append((path, self.snapshot.tree(path)))
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
        self.texts.append(self.snapshot.files[path])
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
