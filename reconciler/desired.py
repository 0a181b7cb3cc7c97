"""Projects and their manifests into ordered desired values. Reads the snapshot; knows nothing of live."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.building import Building, Built, BuiltBefore, build
from reconciler.errors import Place, Problem
from reconciler.garbage import collected_later
from reconciler.kinds.kind import Registry
from reconciler.manifest import Known, Library, Manifest, Snapshot
from reconciler.patches import matches, patched
from reconciler.project import Project, ProjectSettings, globs_of, has_labels
from reconciler.repository import Belongings, BrokenProject, Repository
from reconciler.resource import Desired, Key
from reconciler.suggest import did_you_mean_key


@dataclass(frozen=True)
class DesiredProject:
    """What Git wants of one Project.

    With `problems` the Project must not be written (rule I1), and `resources` is empty unless
    `sync.on_invalid` is `skip`: then the valid ones are here, and nothing may be deleted. `invalid` are
    the keys that have problems. `narrowed`: `resources` is a part, so nothing is missing (rule I4).
    `elsewhere` maps agent names to another Project of the repository that desires them on this endpoint
    (rule D4). `unread` are the places of manifests that may make another Project desire any name, so that
    none may be deleted.
    `masked` are values from the environment that no output may show.
    """

    project: ProjectSettings
    resources: tuple[Desired, ...]
    invalid: tuple[Key, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    narrowed: bool = False
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[Place, ...] = ()
    masked: frozenset[str] = frozenset()

    @property
    def invalid_skipped(self) -> bool:
        """Whether the valid resources may be applied although others have problems."""
        return bool(self.problems) and self.project.sync.on_invalid == "skip"


@dataclass(frozen=True)
class Found:
    """The Projects of a source that say what they want, and those that do not; each sorted by name."""

    projects: tuple[DesiredProject, ...]
    broken: tuple[BrokenProject, ...] = ()


class Earlier:
    """What loads of one source found so far, for the next one to read and build only what changed.

    Serves one load at a time. Holds secrets that came from the environment as far as desired values do.
    """

    def __init__(self) -> None:
        self.known = Known()
        self.built: dict[str, BuiltBefore] = {}

    def fork(self) -> Earlier:
        """The same to go on from, for a load beside: of a pull request, say."""
        other = Earlier()
        other.known = self.known.fork()
        other.built = {name: built.fork() for name, built in self.built.items()}
        return other


def load(  # noqa: PLR0913 - each way to narrow a run is an argument of its own
    snapshot: Snapshot,
    *,
    environ: Mapping[str, str],
    kinds: Registry,
    projects: Collection[str] = (),
    selector: Mapping[str, str] | None = None,
    only: Collection[str] = (),
    earlier: Earlier | None = None,
) -> tuple[DesiredProject, ...]:
    """The Projects below the snapshot's scope, sorted by name, each with its resources and problems.

    Args:
        environ: where `values_from_env` come from.
        projects: names of the Projects to load; all of them when empty.
        selector: labels that a resource must have.
        only: `Agent/NAME` of the resources to look at; with a Project in front for that one only.
        earlier: what earlier loads of this source found, kept from run to run by a long-running caller.

    Raises:
        InvalidInput: no Project, an unknown name, or a Project file that does not say what it wants.
    """
    with collected_later():
        library = Library(snapshot, kinds, earlier.known if earlier else None)
        repository = Repository(library, environ, tuple(projects))
        narrow = _Narrow(dict(selector or {}), tuple(only))
        return _loaded(library, repository, kinds, narrow, earlier)


def load_each(
    snapshot: Snapshot,
    *,
    environ: Mapping[str, str],
    kinds: Registry,
    earlier: Earlier,
    handles: Callable[[str], bool],
) -> Found:
    """As `load`, all of them, for a caller to whom a broken Project file is that Project's problem alone.

    Args:
        handles: whether a Project is this caller's by its name; nothing is told of others.

    Raises:
        InvalidInput: no Project, or all of them are broken.
    """
    with collected_later():
        library = Library(snapshot, kinds, earlier.known)
        repository = Repository(library, environ, handles=handles, each_alone=True)
        return Found(_loaded(library, repository, kinds, _Narrow({}, ()), earlier), repository.broken)


def _loaded(
    library: Library, repository: Repository, kinds: Registry, narrow: _Narrow, earlier: Earlier | None
) -> tuple[DesiredProject, ...]:
    every = (*repository.here, *repository.others)
    found = {id(project): repository.belongings(project) for project in every}
    before = {p.name: earlier.built.get(p.name) or BuiltBefore() for p in repository.chosen if earlier}
    loading = _Loading(library.snapshot, kinds, repository, found, before)
    result = tuple(loading.project(project, narrow) for project in repository.chosen)
    if earlier is not None:
        library.settle()
        # Of a Project that is broken now most will be the same when it is right again.
        earlier.built = (earlier.built if repository.broken else {}) | before
    return result


@dataclass(frozen=True)
class _Narrow:
    selector: Mapping[str, str]
    only: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.selector or self.only)

    def keeps(self, desired: Desired) -> bool:
        named = not self.only or bool({desired.key.local, str(desired.key)} & set(self.only))
        return named and has_labels(desired.labels, self.selector)

    def unmatched(self, project: str, keys: Collection[Key]) -> Iterator[str]:
        """What `--only` names and this Project does not have; names of other Projects do not count."""
        known = {name for key in keys for name in (key.local, str(key))}
        for name in self.only:
            if name not in known and (name.count("/") < 2 or name.startswith(project + "/")):
                yield name


@dataclass(frozen=True)
class _Loading:
    """One run over a source: what belongs to whom is known, values are built Project by Project."""

    snapshot: Snapshot
    kinds: Registry
    repository: Repository
    found: Mapping[int, Belongings]
    before: Mapping[str, BuiltBefore]

    def project(self, project: Project, narrow: _Narrow) -> DesiredProject:
        own = self.found[id(project)]
        settings = project.settings(self.snapshot.origin)
        building = Building(project, self.kinds, self.snapshot)
        patching = _Patching(project)
        notes = patching.unmatched(own.manifests)
        before = self.before.get(project.name)
        if before is not None:
            built = before.build(own.manifests, building, patching.patched)
        else:
            built = [build(patching.patched(manifest)[0], building) for manifest in own.manifests]
        clashes = [*_same_name(own.manifests), *self._same_endpoint(project, own.manifests)]
        problems = [*own.problems, *patching.problems, *(problem for _, problem in clashes)]
        problems += [problem for one in built for problem in one.problems]
        notes += [note for one in built for note in one.notes]
        notes += self._globs_without_files(project)
        wrong = {one.key for one in built if one.problems} | {
            Key(project.name, manifest.kind, manifest.name)
            for manifest in (*own.broken, *(manifest for manifest, _ in clashes))
        }
        notes += _unmatched(project, narrow, [one.key for one in built])
        good = _good(built, wrong) if not problems or settings.sync.on_invalid == "skip" else []
        return DesiredProject(
            project=settings,
            resources=tuple(desired for desired in good if narrow.keeps(desired)) if narrow else tuple(good),
            invalid=tuple(sorted(wrong)),
            problems=tuple(sorted(set(problems))),
            notes=tuple(sorted(set(notes))),
            narrowed=bool(narrow),
            elsewhere=self._elsewhere(project),
            unread=self._unread(project),
            masked=project.values.masked,
        )

    def _elsewhere(self, project: Project) -> dict[str, str]:
        """The names that other Projects desire on this endpoint, with the first of them by name.

        On another endpoint the same name is another agent. A Project that cannot be read may be on any.
        """
        others = sorted(self._beside(project), key=lambda other: other.name, reverse=True)
        return {
            manifest.name: other.name
            for other in others
            for manifest in (*self.found[id(other)].manifests, *self.found[id(other)].broken)
        }

    def _unread(self, project: Project) -> tuple[Place, ...]:
        """The manifests that may make another Project desire any name here."""
        places = (place for other in self._beside(project) for place in self.found[id(other)].unread)
        return tuple(sorted({*self.repository.unread, *places}))

    def _beside(self, project: Project) -> Iterator[Project]:
        """The other Projects that are on this endpoint, or may be."""
        for other in self._every():
            if other is not project and (not other.readable or other.endpoint == project.endpoint):
                yield other

    def _every(self) -> tuple[Project, ...]:
        return (*self.repository.here, *self.repository.others)

    def _same_endpoint(
        self, project: Project, manifests: Iterable[Manifest]
    ) -> Iterator[tuple[Manifest, Problem]]:
        """Rule I5: two Projects that want one name on one endpoint would overwrite each other for ever."""
        for other in self._every():
            if other is project or other.endpoint != project.endpoint:
                continue
            theirs = {(m.kind, m.name.casefold()): m for m in self.found[id(other)].manifests}
            for manifest in manifests:
                twin = theirs.get((manifest.kind, manifest.name.casefold()))
                if twin is not None:
                    who = f"the Project `{other.name}`"
                    message = f"{who} desires {twin.kind}/{twin.name} on the same endpoint"
                    hint = "Give each Project its own endpoint, or its own agents by `resources`."
                    yield manifest, Problem(manifest.place, "metadata.name", message, hint)

    def _globs_without_files(self, project: Project) -> Iterator[Problem]:
        stated = project.manifest.value["spec"].get("resources")
        for index, glob in enumerate(project.spec.resources if stated is not None else ()):
            one = globs_of(project.manifest.folder, (glob.removeprefix("!"),))
            if not one.matches(self.snapshot.files):
                place = project.manifest.at(("spec", "resources", index))
                message = f"the glob `{glob}` matches no file"
                hint = f"It is relative to the folder of {project.manifest.file}."
                yield Problem(place, f"spec.resources.{index}", message, hint, note=True)


def _good(built: Iterable[Built], wrong: Collection[Key]) -> list[Desired]:
    found = [one.desired for one in built if one.desired is not None and one.key not in wrong]
    return sorted(found, key=lambda desired: desired.key)


class _Patching:
    """The patches of one Project at work: manifests with them, and what is wrong with the patches."""

    def __init__(self, project: Project) -> None:
        self._manifest = project.manifest
        self._patches = tuple(enumerate(project.spec.patches))
        self.problems: list[Problem] = []

    def patched(self, manifest: Manifest) -> tuple[Manifest, bool]:
        """The manifest with every patch that is for it, and whether all of these could be applied."""
        whole = True
        # A patch changes nothing that a target looks at, so their order does not decide what they match.
        for index, patch in self._patches:
            if not matches(patch.target, manifest):
                continue
            manifest, finding = patched(manifest, patch)
            if finding is not None:
                whole = False
                self.problems.append(self._manifest.problem(finding, "spec", "patches", index))
            else:
                place = self._manifest.at(("spec", "patches", index))
                manifest = replace(manifest, patched_at=(*manifest.patched_at, place))
        return manifest, whole

    def unmatched(self, manifests: Iterable[Manifest]) -> list[Problem]:
        """A note for each patch that is for none of the manifests."""
        message, hint = "the patch matches no manifest", "Check its `target`."
        return [
            Problem(
                self._manifest.at(("spec", "patches", index)),
                f"spec.patches.{index}",
                message,
                hint,
                note=True,
            )
            for index, patch in self._patches
            if not any(matches(patch.target, manifest) for manifest in manifests)
        ]


def _same_name(manifests: Iterable[Manifest]) -> Iterator[tuple[Manifest, Problem]]:
    """Rule I5: names that are equal, or equal but for case; a problem for each of them."""
    groups: dict[tuple[str, str], list[Manifest]] = {}
    for manifest in manifests:
        groups.setdefault((manifest.kind, manifest.name.casefold()), []).append(manifest)
    for group in groups.values():
        for manifest in group if len(group) > 1 else ():
            other = next(twin for twin in group if twin is not manifest)
            same = "the same name" if other.name == manifest.name else "a name equal but for case"
            message = f"{other.kind}/{other.name} in {other.place} has {same}"
            hint = "Rename or remove one of them."
            yield manifest, Problem(manifest.place, "metadata.name", message, hint)


def _unmatched(project: Project, narrow: _Narrow, keys: Collection[Key]) -> Iterator[Problem]:
    if not narrow.only:
        return
    for name in narrow.unmatched(project.name, keys):
        hint = did_you_mean_key(name, (key.local for key in keys), "Names are written KIND/NAME.")
        message = f"`--only {name}` matches nothing in the Project `{project.name}`"
        yield Problem(project.manifest.place, "", message, hint, note=True)


__all__ = ["BrokenProject", "DesiredProject", "Found", "ProjectSettings", "load", "load_each"]
