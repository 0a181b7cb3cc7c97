"""From a source to what a run needs: its Projects, and inputs for each. Command line and service share it."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Protocol

from reconciler.desired import BrokenProject, DesiredProject, load
from reconciler.diff import Scope
from reconciler.errors import Place, Problem, ReconcilerError, ServiceError, explain
from reconciler.guards import Limits
from reconciler.kinds.agent.package import build
from reconciler.kinds.kind import Context
from reconciler.kinds.registry import KINDS
from reconciler.masking import Masker
from reconciler.options import Allow
from reconciler.policies import Severity, Verdict, judge, unknown_rules
from reconciler.reconcile import Inputs
from reconciler.report import Failed, ProjectRun
from reconciler.resource import Code, Desired
from reconciler.settings import Settings, read
from reconciler.source import Snapshot
from reconciler.windows import open_at
from reconciler.wiring import source


class Judge(Protocol):
    """The verdicts of the policies on resources, see `policies.judge`."""

    def __call__(
        self, resources: Sequence[Desired], *, today: date, severities: Mapping[str, str]
    ) -> tuple[Verdict, ...]: ...


@dataclass(frozen=True)
class Narrowing:
    """Which part of the source a run looks at; everything by default."""

    projects: Sequence[str] = ()
    selector: Mapping[str, str] | None = None
    only: Sequence[str] = ()


@dataclass(frozen=True)
class Loaded:
    """A source with its Projects, each valid or with its problems.

    `broken` are those whose files do not say what they want; where any would be an error, there are none.
    """

    snapshot: Snapshot
    projects: tuple[DesiredProject, ...]
    settings: Settings
    revision: str
    broken: tuple[BrokenProject, ...] = ()

    def broken_as(self, name: str) -> BrokenProject | None:
        """What is wrong with the Project of this name; None where it is read, or not in the source."""
        if any(project.project.name == name for project in self.projects):
            return None
        broken = {one.name: one for one in self.broken}
        return broken.get(name) or broken.get("")

    def zipped(self, code: Code) -> bytes:
        """The code zip of a folder."""
        return build(code, self.snapshot.read)


def load_source(path: str, ref: str | None, narrow: Narrowing) -> Loaded:
    """Read the source and every Project in it.

    Raises:
        InvalidInput: no Project can be told apart.
        SourceError: the source cannot be read.
    """
    settings = read(os.environ)
    snapshot = source(path, ref, settings, os.environ)
    projects = load(
        snapshot,
        environ=os.environ,
        kinds=KINDS,
        projects=narrow.projects,
        selector=narrow.selector,
        only=narrow.only,
    )
    # A run keeps its manifests to the end: looking through them for garbage, also at exit, finds none.
    gc.freeze()
    return Loaded(snapshot, projects, settings, revision_text(snapshot))


def revision_text(snapshot: Snapshot) -> str:
    """The commit, `+dirty` with uncommitted changes, "" without Git."""
    revision = snapshot.revision
    return "" if revision is None else revision.commit + ("+dirty" if revision.dirty else "")


def inputs_of(
    loaded: Loaded,
    project: DesiredProject,
    allow: Allow,
    max_deletes: int | None = None,
    judge: Judge = judge,
) -> Inputs:
    """Everything that decides about one valid Project beside its live state.

    Args:
        judge: the policies, or a way to them that remembers what they said.
    """
    settings, sync = project.project, project.project.sync
    now = int(time.time())
    limits = Limits(sync.limits.deletes, sync.limits.deletes_percent, sync.limits.updates_percent)
    if max_deletes is not None:
        limits = replace(limits, deletes=max_deletes, deletes_percent=100)
    today = datetime.fromtimestamp(now, UTC).date()
    prune = sync.prune and sync.mode == "enforce" and not project.problems
    return Inputs(
        project=settings.name,
        endpoint=settings.endpoint,
        resources=project.resources,
        ctx=context(loaded, project, allow, now),
        kinds=KINDS,
        scope=Scope(
            prune=prune and not project.unread,
            kept_because=_kept_because(project),
            protect=tuple(sync.protect),
            forget=tuple(sync.forget),
            elsewhere=project.elsewhere,
            narrowed=project.narrowed,
            invalid=frozenset(project.invalid),
        ),
        limits=limits,
        allow=allow,
        verdicts=(
            *judge(project.resources, today=today, severities=settings.policies),
            *(_unread(project.unread) if prune else ()),
        ),
        is_ancestor=loaded.snapshot.is_ancestor,
        observe=sync.mode == "observe",
        workers=loaded.settings.concurrency,
    )


def _kept_because(project: DesiredProject) -> str:
    sync = project.project.sync
    if project.problems:
        return "other manifests have problems"
    if sync.mode == "observe":
        return "the Project is in `mode: observe`"
    if not sync.prune:
        return "`sync.prune` is off"
    return f"{project.unread[0]} cannot be read and may want it" if project.unread else ""


def _unread(places: Sequence[Place]) -> Iterator[Verdict]:
    """That nothing is deleted while nobody knows which names another Project desires (rule D4)."""
    if places:
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        message = f"{places[0]}{more} cannot be read and may make another Project want any agent"
        hint = "Correct that file, or take it out of the repository; nothing is deleted before."
        yield Verdict(Severity.INFO, "unread-manifest", None, message, hint, places[0])


def context(loaded: Loaded, project: DesiredProject, allow: Allow, now: int) -> Context:
    """Who we are in this run, and what was allowed."""
    revision, settings = loaded.snapshot.revision, project.project
    return Context(
        owner=settings.owner,
        owner_aliases=frozenset(settings.owner_aliases),
        commit=revision.commit if revision else "",
        time=revision.time if revision else 0,
        dirty=revision.dirty if revision else False,
        now=now,
        code_sha256=_hasher(loaded.zipped),
        take_traffic=allow.take_traffic,
        take_over=allow.take_over,
        retry_failed=allow.retry_failed,
        mark_equal=allow.mark,
        delete_edited=allow.delete_edited,
        force_sessions=allow.force_sessions,
    )


def _hasher(zipped: Callable[[Code], bytes]) -> Callable[[Code], str]:
    """Hashes a folder's zip, once for each content; called only where a mark does not tell."""
    import hashlib

    known: dict[str, str] = {}

    def sha256(code: Code) -> str:
        if code.tree not in known:
            known[code.tree] = hashlib.sha256(zipped(code)).hexdigest()
        return known[code.tree]

    return sha256


def masker(project: DesiredProject) -> Masker:
    """Hides what came from the environment from everything that is shown or stored."""
    return Masker(project.masked)


def problems_of(project: DesiredProject) -> tuple[Problem, ...]:
    """Everything wrong with a Project: its manifests, and rule names in `policies` that no policy has."""
    unknown = tuple(
        Problem(project.project.place, "spec.policies", message)
        for message in unknown_rules(project.project.policies)
    )
    return (*project.problems, *unknown)


def notes_of(loaded: Loaded, project: DesiredProject) -> tuple[Problem, ...]:
    """What is worth knowing and fails nothing: of the source as a whole, then of the Project."""
    return (*loaded.snapshot.notes, *project.notes)


def closed_window(project: DesiredProject, now: float) -> Verdict | None:
    """The refusal of everything while no sync window lets a pipeline write (rule W1); None while one does."""
    found = open_at(project.project.sync.windows, now)
    if found.open:
        return None
    again = f"Run again after {found.opens}" if found.opens else "Change `sync.windows`"
    hint = f"{again}, or pass --outside-window to write now."
    return Verdict(Severity.REFUSE, "closed-window", None, found.why, hint, project.project.place)


def window_notes(project: DesiredProject, now: float) -> tuple[Problem, ...]:
    """That an `apply` at this moment would be refused, for a plan that is read by people."""
    closed = closed_window(project, now)
    if closed is None:
        return ()
    message = f"{closed.message}: `apply` would be refused now"
    return (Problem(project.project.place, "spec.sync.windows", message, closed.hint, note=True),)


def invalid(project: DesiredProject) -> ProjectRun:
    """The run of a Project whose manifests have problems: nothing was read or written."""
    settings = project.project
    return _refused(
        settings.name, settings.endpoint, f"the manifests of Project {settings.name}", problems_of(project)
    )


def unreadable(name: str, endpoint: str, problems: tuple[Problem, ...]) -> ProjectRun:
    """The run of a Project whose file does not say what it wants; the endpoint is the one known before."""
    return _refused(name, endpoint, "Project files", problems)


def _refused(name: str, endpoint: str, where: str, problems: tuple[Problem, ...]) -> ProjectRun:
    count = len(problems)
    failed = Failed(
        (f"{count} problem{'s' * (count != 1)} in {where}",),
        "Nothing was read from the service and nothing was written.",
        problems,
    )
    return ProjectRun(name, endpoint, failed=failed)


def failure(error: ReconcilerError) -> Failed:
    """An error as the report shows it."""
    service = error if isinstance(error, ServiceError) else None
    problems = getattr(error, "problems", ())
    return Failed(
        tuple(explain(error)),
        error.hint,
        problems,
        service.code if service else "",
        service.request_id if service else "",
    )
