"""What a pull request would do, as a comment on it. Read only: nothing is ever applied from one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from reconciler.desired import DesiredProject
from reconciler.errors import ReconcilerError
from reconciler.loading import Loaded, failure, invalid, problems_of
from reconciler.render.markdown import code, document
from reconciler.report import ProjectReport, ProjectRun, RunReport, project_report, run_report
from reconciler.service.notify.forges import Forge, PullRequest
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
        link: an address for people who want to see more, "" for none.
    """

    source: str
    branch: str
    forge: Forge
    store: Store
    load: Load
    examine: Examine
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
        planned = 0
        for pull in await self.forge.pull_requests(self.branch):
            done = f"pull/{self.source}/{pull.number}/{pull.head}"
            if pull.fork or await self.store.cursor(done):
                continue
            if planned == _MOST_AT_ONCE:
                return True
            sent = await plan_pull_request(self, pull, base)
            await self.store.move_cursor(done, 1)
            planned += 1
            log.info("pull_request_planned", source=self.source, number=pull.number, changed=sent)
        return False


async def plan_pull_request(plans: PullPlans, pull: PullRequest, base: Loaded) -> bool:
    """Comment on one pull request with its plan; False when the comment said this already.

    Args:
        base: the branch it would be merged into; its Projects give the rules and the endpoints.

    Raises:
        ForgeError: the forge does not answer, or refuses.
        ReconcilerError: retryable, when the repository cannot be fetched now.
    """
    found, behind = Judged(()), False
    try:
        loaded = await plans.load(pull.ref)
    except ReconcilerError as error:
        if error.retryable:
            raise
        report = run_report("plan", pull.head, plans.source, [], failure(error))
    else:
        found = judged(base.projects, loaded.projects, plans.handles)
        behind = loaded.snapshot.is_ancestor(base.revision) is not True
        reports = [await _examined(plans, project, loaded) for project in found.looked_at]
        report = run_report("plan", loaded.revision or pull.head, plans.source, reports)
    text = comment_text(plans, report, found, behind=behind)
    return await plans.forge.comment(pull.number, marker(plans.source), text)


async def _examined(plans: PullPlans, project: DesiredProject, loaded: Loaded) -> ProjectReport:
    """The plan of one Project; what is invalid or cannot be read is part of the comment, not its end."""
    problems = problems_of(project)
    if problems and not (project.invalid_skipped and problems == project.problems):
        # Nothing is read for it: it would show as a wish to delete every agent.
        return project_report("plan", invalid(project), 0)
    try:
        return await plans.examine(project, loaded)
    except ReconcilerError as error:
        settings = project.project
        run = ProjectRun(settings.name, settings.endpoint, failed=failure(error))
        return project_report("plan", run, 0)


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
