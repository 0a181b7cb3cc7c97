"""What a pull request would do, as a comment on it. Read only: nothing is ever applied from one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import structlog

from reconciler.desired import BrokenProject, DesiredProject
from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.loading import Loaded, failure, invalid, problems_of, unreadable
from reconciler.render.markdown import code, document
from reconciler.report import ProjectReport, ProjectRun, RunReport, project_report, run_report
from reconciler.service.notify.beside_pulls import FROM_A_FORK, BesidePulls, Tries, plan_status
from reconciler.service.notify.forges import Forge, ForgeError, PullRequest
from reconciler.service.notify.judging import Judged, judged
from reconciler.service.store import Store

log = structlog.get_logger("reconciler")

Load = Callable[[str], Awaitable[Loaded]]
Examine = Callable[[DesiredProject, Loaded], Awaitable[ProjectReport]]

# One turn holds one of the service's slots; the rest comes with the next one.
_MOST_AT_ONCE: Final = 20
_MOST_NOTES: Final = 50
# Room for the marker, the notes and the footer.
_RESERVED: Final = 12_000
_MOST_PLAN: Final = 500_000


@dataclass(frozen=True)
class PullPlans:
    """Plans for the open pull requests of one source.

    Args:
        branch: the branch that the service follows; requests against others are left alone.
        load: the manifests at a full ref name, with no more of the environment than `permitted` gives.
        examine: reads what is live and decides; it must write nothing.
        statuses: shows beside each request what its plan says.
        tries: when what could not be read is tried again.
        link: an address for people who want to see more, "" for none.
    """

    source: str
    branch: str
    forge: Forge
    store: Store
    load: Load
    examine: Examine
    statuses: BesidePulls
    tries: Tries = field(default_factory=Tries)
    handles: Callable[[str], bool] = field(default=lambda name: True)
    link: str = ""

    async def look(self, base: Loaded) -> bool:
        """Plan every pull request whose head moved since it was last planned; whether some are left.

        Those from forks are left alone: a stranger could read agents with them that Git does not name.

        Raises:
            ForgeError: the forge does not answer, or refuses.
            ReconcilerError: retryable, when the repository cannot be fetched now.
            StoreDown: the store does not answer.
        """
        pulls = await self.forge.pull_requests(self.branch)
        self.tries.keep({self._done(pull) for pull in pulls})
        ours = {pull.head for pull in pulls if not pull.fork}
        planned = 0
        for pull in sorted(pulls, key=lambda pull: self.tries.order(self._done(pull))):
            done = self._done(pull)
            if await self.store.cursor(done) or not self.tries.due(done, self.statuses.now()):
                continue
            if planned == _MOST_AT_ONCE:
                return True
            planned += 1
            try:
                # A stranger's request for a commit of ours must not take its status away.
                settled = (
                    await plan_pull_request(self, pull, base)
                    if not pull.fork
                    else pull.head in ours or await self.statuses.show(pull, FROM_A_FORK)
                )
            except ReconcilerError:
                self.tries.ended(done, self.statuses.now())
                raise
            if settled:
                await self.store.move_cursor(done, 1)
            else:
                self.tries.failed(done, self.statuses.now(), self.statuses.rest_s or 0.0)
        return False

    def _done(self, pull: PullRequest) -> str:
        return f"pull/{self.source}/{pull.number}/{pull.head}"


@dataclass(frozen=True)
class _Made:
    """The plan of one pull request. `unmade`: part of it could not be read; `again`: later it may be."""

    report: RunReport
    found: Judged = field(default=Judged(()))
    behind: bool = False
    unmade: bool = False
    again: bool = False


async def plan_pull_request(plans: PullPlans, pull: PullRequest, base: Loaded) -> bool:
    """Comment on one pull request with its plan, and show its result; False when it is worth another try.

    Args:
        base: the branch it would be merged into; its Projects give the rules and the endpoints.

    Raises:
        ForgeError: the forge does not answer, or refuses.
        ReconcilerError: retryable, when the repository cannot be fetched now.
    """
    await plans.statuses.planning(pull)
    made = await _made(plans, pull, base)
    text = comment_text(plans, made.report, made.found, behind=made.behind)
    commented = await _commented(plans, pull, text)
    if made.report.revision != pull.head:
        # Pushed to meanwhile: this plan says nothing about the head that the status would stand on.
        return False
    status = plan_status(made.report, made.found, unmade=made.unmade)
    return await plans.statuses.show(pull, status) and commented and not made.again


async def _commented(plans: PullPlans, pull: PullRequest, text: str) -> bool:
    """Whether the comment stands there; False where this request takes none, such as a locked one."""
    try:
        sent = await plans.forge.comment(pull.number, marker(plans.source), text)
    except ForgeError as error:
        plans.statuses.count("comment", "failed")
        if error.retryable or error.status == HTTPStatus.UNAUTHORIZED:
            raise
        log.warning(
            "comment_not_written",
            source=plans.source,
            number=pull.number,
            error=str(error),
            hint=error.hint,
        )
        return False
    if sent:
        plans.statuses.count("comment", "sent")
    log.info("pull_request_planned", source=plans.source, number=pull.number, changed=sent)
    return True


async def _made(plans: PullPlans, pull: PullRequest, base: Loaded) -> _Made:
    try:
        loaded = await plans.load(pull.ref)
    except ReconcilerError as error:
        if error.retryable:
            raise
        report = run_report("plan", pull.head, plans.source, [], failure(error))
        return _Made(report, unmade=not isinstance(error, InvalidInput))
    found = judged(base, loaded, plans.handles)
    behind = loaded.snapshot.is_ancestor(base.revision) is not True
    reports = [await _examined(plans, project, loaded) for project in found.looked_at]
    every = [*(_broken(one) for one in found.broken), *(one for one, _ in reports)]
    whole = run_report("plan", loaded.revision or pull.head, plans.source, every)
    unread = any(not read for _, read in reports)
    return _Made(whole, found, behind, unmade=unread, again=unread)


def _broken(project: BrokenProject) -> ProjectReport:
    """The report of a Project that is not planned; without a name it goes by that of its file."""
    name = project.name or project.problems[0].place.file
    return project_report("plan", unreadable(name, "", project.problems), 0)


async def _examined(plans: PullPlans, project: DesiredProject, loaded: Loaded) -> tuple[ProjectReport, bool]:
    """The plan of one Project, and whether what is live could be read; no error ends the comment."""
    problems = problems_of(project)
    if problems and not (project.invalid_skipped and problems == project.problems):
        # Nothing is read for it: it would show as a wish to delete every agent.
        return project_report("plan", invalid(project), 0), True
    try:
        return await plans.examine(project, loaded), True
    except ReconcilerError as error:
        settings = project.project
        run = ProjectRun(settings.name, settings.endpoint, failed=failure(error))
        return project_report("plan", run, 0), False


def marker(source: str) -> str:
    """The first line of our comment, by which it is found again."""
    return f"<!-- reconciler:pull:{source} -->"


def comment_text(plans: PullPlans, report: RunReport, found: Judged, *, behind: bool) -> str:
    """The comment without its marker, below the forge's limit.

    Args:
        behind: the branch may lack commits of the one it would be merged into.
    """
    parts = []
    if report.projects or report.failed is not None:
        most = min(plans.forge.most - _RESERVED, _MOST_PLAN)
        parts.append(document(report, most, marker=False).rstrip())
    else:
        parts.append("**No Project that is looked after here changes.**")
    notes = [f"- {code(note.project)} {note.text}." for note in found.notes[:_MOST_NOTES]]
    if len(found.notes) > _MOST_NOTES:
        notes.append(f"- and {len(found.notes) - _MOST_NOTES} more Projects")
    if notes:
        parts.append("**Projects that need a look:**\n\n" + "\n".join(notes))
    parts.append(_footer(plans, found.untouched, behind=behind))
    return "\n\n".join(parts) + "\n"


def _footer(plans: PullPlans, untouched: Sequence[str], *, behind: bool) -> str:
    said = ["Nothing is applied from a pull request."]
    if behind:
        branch = code(plans.branch)
        said.append(f"What {branch} got since this branch left it shows as undone: merge or rebase to see.")
    if untouched:
        said.append(f"{len(untouched)} Project{'s' * (len(untouched) != 1)} untouched.")
    if plans.link:
        said.append(f"[Dashboard]({plans.link})")
    return f"<sub>{' '.join(said)}</sub>"
