"""What one turn of a Project works with: what Git wants of it, and what people and the clock want now."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from reconciler.desired import BrokenProject, DesiredProject
from reconciler.errors import Problem, ReconcilerError, SourceError
from reconciler.loading import Loaded, inputs_of, invalid, masker, problems_of, unreadable
from reconciler.options import Allow
from reconciler.reconcile import Inputs
from reconciler.report import Failed, ProjectRun
from reconciler.resource import Key
from reconciler.service.checkouts import Checkouts
from reconciler.service.deps import Deps
from reconciler.service.engine import Turn
from reconciler.service.orders import Orders, hold_of, ordered
from reconciler.service.records import ProjectRecord
from reconciler.service.source import Checkout
from reconciler.service.verdicts import Verdicts
from reconciler.windows import open_at


@dataclass(frozen=True)
class Going:
    """A release under way: the commit that it began with, and whether a person asked for it."""

    commit: str
    manual: bool


@dataclass(frozen=True)
class Sight:
    """What one turn works with: its row, the Project as Git has it, and what people and the clock want.

    `failed` says what is wrong with the newest commit, `newest`, where an older one is used instead.
    """

    row: ProjectRecord
    loaded: Loaded
    project: DesiredProject
    orders: Orders
    failed: Failed | None = None
    newest: str = ""

    @property
    def commit(self) -> str:
        return self.loaded.revision

    @property
    def changes_at(self) -> float:
        """When the clock changes next what is wanted: a window opens, a rollback ends; 0 for never."""
        in_force, _ = self.orders.split()
        moments = (self.orders.opens_at, *(pin.expires_at for pin in in_force))
        return min((at for at in moments if at), default=0.0)

    def stale(self, error: SourceError) -> Sight:
        """The same, where the source turned out to be away: only a release that began may go on (V2)."""
        return replace(self, orders=replace(self.orders, keep=_unread(str(error))))

    def inputs(self, keys: Collection[Key], verdicts: Verdicts) -> Inputs:
        """Everything that decides, of the whole Project or of some keys. Takes a second for thousands."""
        project = self.project
        if keys:
            chosen = tuple(want for want in project.resources if want.key in keys)
            project = replace(project, resources=chosen)
        # A checkout that seems old is the newest there is: the server is asked before the first write (P3).
        allow = Allow(older=not self.orders.keep)
        return ordered(inputs_of(self.loaded, project, allow, judge=verdicts.judge), self.orders)


class Sights:
    """Finds what Git wants of a Project now, or why nobody can say."""

    def __init__(self, deps: Deps, checkouts: Checkouts) -> None:
        self._deps = deps
        self._checkouts = checkouts

    async def of(self, turn: Turn, row: ProjectRecord, *, going: Going | None) -> Sight | ProjectRun:
        """What Git wants at the newest commit, with what people want laid over it.

        A Project with problems is looked at as it was before them, and not written (rule I1); without
        such a state its problems are all there is to say.

        Args:
            going: the release that began and waits, None without one.
        """
        checkout, stale = await self._checkout(row)
        loaded, failed, newest = checkout.loaded, None, ""
        project = next((one for one in loaded.projects if one.project.name == row.name), None)
        where, problems = _wrong(project, loaded.broken_as(row.name))
        if problems:
            good = await self._good(row)
            if good is None:
                return _with_problems(row, project, problems)
            loaded, project = good
            newest = checkout.commit
            failed = _instead(where, problems, newest, loaded.revision)
        elif project is None:
            raise SourceError(
                f"Project {row.name} is not in source {row.source} at {checkout.commit[:12]}",
                hint="The next look at the source tells whether it was removed.",
            )
        else:
            self._checkouts.keep_good(loaded, project)
        hold = failed.messages[0] if failed is not None else ""
        same = going if going is not None and going.commit == loaded.revision else None
        orders = await self._orders(turn, project, (stale, hold), going=same)
        return Sight(row, loaded, project, orders, failed, newest)

    async def _checkout(self, row: ProjectRecord) -> tuple[Checkout, str]:
        """The source at the newest commit that could be read, and why that may be old, "" when it is not."""
        source, known = await self._deps.store.source(row.source), self._checkouts.newest(row.source)
        stale = source.error if source is not None else ""
        if known is not None and (stale or (source is not None and source.good == known.commit)):
            return known, stale
        try:
            return await self._checkouts.read(row.source, source.good if source else row.wanted), stale
        except SourceError as error:
            if known is None:
                raise
            return known, stale or str(error)

    async def _good(self, row: ProjectRecord) -> tuple[Loaded, DesiredProject] | None:
        """The newest state without problems: what this process read, or what another one ran since."""
        known = self._checkouts.last_good(row.name)
        if known is not None and known[0].revision == row.revision:
            return known
        found = await self._found_again(row)
        if found is None or (known is not None and _time(known[0]) > _time(found[0])):
            return known
        self._checkouts.keep_good(*found)
        return found

    async def _found_again(self, row: ProjectRecord) -> tuple[Loaded, DesiredProject] | None:
        """The Project as the last run had it, after a restart; None where the repository cannot give it."""
        if not row.revision:
            return None
        reader = self._checkouts.reader(row.source)
        try:
            loaded = await asyncio.to_thread(reader.at, row.revision, self._checkouts.environ)
        except ReconcilerError:
            return None
        for project in loaded.projects:
            if project.project.name == row.name and not problems_of(project):
                return loaded, project
        return None

    async def _orders(
        self, turn: Turn, project: DesiredProject, why: tuple[str, str], *, going: Going | None
    ) -> Orders:
        store, now, name = self._deps.store, self._deps.now(), project.project.name
        stale, hold = why
        asked = any(reason.startswith("manual") for reason in turn.reasons)
        manual = asked or (going is not None and going.manual)
        window = open_at(project.project.sync.windows, now, manual=manual)
        keep = _unread(stale) if stale else ""
        # A release that began goes on; everything else waits until we know what is newest (rule P3).
        old = "" if going else keep
        return Orders(
            hold=hold or hold_of(await store.suspension(name), "" if window.open else window.why, old),
            keep=keep,
            opens_at=0.0 if window.open else window.until or 0.0,
            manual=manual,
            pins=await store.pins(name),
            retries=tuple(retry for retry in await store.retries(name) if retry.expires_at > now),
            approval=await store.approved(name),
            now=now,
        )


def _wrong(project: DesiredProject | None, broken: BrokenProject | None) -> tuple[str, tuple[Problem, ...]]:
    """The problems for which nothing may be written, and where they are."""
    if broken is not None:
        return "Project files", broken.problems
    problems = problems_of(project) if project is not None else ()
    skipped = project is not None and project.invalid_skipped and problems == project.problems
    return "the manifests", () if skipped else problems


def _instead(where: str, problems: Sequence[Problem], newest: str, good: str) -> Failed:
    """What is told of a commit with problems while an older one holds."""
    count = len(problems)
    return Failed(
        (f"{count} problem{'s' * (count != 1)} in {where} at {newest[:12]}, so {good[:12]} holds",),
        f"Correct {where}. Nothing is written until then; drift is still reported.",
        tuple(problems),
    )


def _time(loaded: Loaded) -> int:
    revision = loaded.snapshot.revision
    return revision.time if revision else 0


def _unread(why: str) -> str:
    return f"the source cannot be read: {why}"


def _with_problems(
    row: ProjectRecord, project: DesiredProject | None, problems: tuple[Problem, ...]
) -> ProjectRun:
    """The run of a Project that has problems, and no state without them."""
    if project is None:
        return unreadable(row.name, row.endpoint, problems)
    return replace(invalid(project), masker=masker(project))
