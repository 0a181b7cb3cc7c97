"""What people may do to a Project: checked, written down with who and why, and done by its next turn.

Nothing here writes to the Foundry service.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from reconciler.service.auth.identity import Identity, Role
from reconciler.service.config_fields import SPAN
from reconciler.service.config_spec import seconds
from reconciler.service.deps import Deps
from reconciler.service.orders import APPROVAL_S
from reconciler.service.records import (
    Approved,
    AuditRecord,
    EventRecord,
    Health,
    Pin,
    ProjectRecord,
    Retry,
    Suspension,
)
from reconciler.service.refusals import Conflicting, Forbidden, NotFound, Refusal
from reconciler.service.version_checks import check_rollback, failed_version
from reconciler.service.views import Views
from reconciler.service.webhooks.limits import Buckets
from reconciler.suggest import did_you_mean

DAY_S: Final = 86_400
# A rollback is a stopgap until Git says the same; beyond a month it is a second source of truth.
_LONGEST_PIN_S: Final = 30 * DAY_S
_SHORTEST_PIN_S: Final = 60
_RETRY_S: Final = 3600
_MOST_WHY: Final = 500
_VERSION: Final = re.compile(r"[1-9][0-9]{0,9}")
# Lines about refused requests that one person can add in a minute.
_DENIALS_PER_MINUTE: Final = 10

# Who may do what.
ROLES: Final = {
    "sync": Role.OPERATOR,
    "suspend": Role.OPERATOR,
    "resume": Role.OPERATOR,
    "rollback": Role.OPERATOR,
    "unpin": Role.OPERATOR,
    "retry": Role.OPERATOR,
    "approve": Role.ADMIN,
}


@dataclass(frozen=True)
class Acted:
    """What was done, as a sentence for whoever did it; `notes` are what they should know beside it."""

    action: str
    project: str
    message: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rollback:
    """Which version shall serve `resource` (`Agent/NAME`), why, and for how many seconds."""

    resource: str
    version: str
    why: str
    for_s: int = DAY_S


class Actions:
    """Does what people ask of Projects.

    Raises (every method):
        NotFound: there is no such Project, or whoever asks may not look at it.
        Forbidden: they may look at it, and not do this.
        Refusal: the reason is missing or too long.
        StoreDown: the store does not answer.
    """

    def __init__(self, deps: Deps, views: Views) -> None:
        self._deps = deps
        self._views = views
        self._denials = Buckets()

    async def sync(self, who: Identity, project: str, why: str = "") -> Acted:
        """Look at a Project now, also outside of its sync windows."""
        row = await self._allowed(who, "sync", project, "", why)
        if row.removed:
            raise Conflicting(
                f"the file of Project {project} is gone from its source",
                hint="Put it back in Git; until then nothing of the Project is changed.",
            )
        await self._written(who, "sync", row, why=self._reason(why))
        await self._trigger(project, f"manual by {who.name}")
        notes = []
        if await self._deps.store.suspension(project):
            notes.append("The Project is suspended: it is looked at, and nothing is written.")
        return Acted("sync", project, f"Project {project} is looked at now.", tuple(notes))

    async def suspend(self, who: Identity, project: str, why: str) -> Acted:
        """Stop all writes to a Project until it is resumed; it is still looked at."""
        row = await self._allowed(who, "suspend", project, "", why)
        why = self._reason(why, "suspending")
        await self._written(who, "suspend", row, why=why)
        await self._deps.store.suspend(Suspension(project, who.name, why, self._deps.now()))
        await self._told(row, "suspended", "warning", f"Project {project} was suspended by {who.name}: {why}")
        await self._trigger(project, f"suspended by {who.name}")
        return Acted("suspend", project, f"Project {project} is suspended: no write starts any more.")

    async def resume(self, who: Identity, project: str, why: str = "") -> Acted:
        """Let a suspended Project be written again.

        Raises:
            Conflicting: it is not suspended.
        """
        row = await self._allowed(who, "resume", project, "", why)
        why = self._reason(why)
        if await self._deps.store.suspension(project) is None:
            raise Conflicting(f"Project {project} is not suspended", hint="There is nothing to resume.")
        await self._written(who, "resume", row, why=why)
        await self._deps.store.resume(project)
        message = f"Project {project} was resumed by {who.name}" + (f": {why}" if why else "")
        await self._told(row, "resumed", "info", message)
        await self._trigger(project, f"resumed by {who.name}")
        return Acted("resume", project, f"Project {project} is resumed; it is looked at now.")

    async def rollback(self, who: Identity, project: str, order: Rollback) -> Acted:
        """Let an older version serve, and hold it there for a while.

        Raises:
            NotFound: there is no such resource.
            Conflicting: Git does not manage it, or its version is not there or did not start.
        """
        row = await self._allowed(who, "rollback", project, order.resource, order.why)
        why = self._reason(order.why, "rolling back")
        if not _VERSION.fullmatch(order.version):
            raise Refusal(
                f"{order.version[:64]!r} is no version", hint="Write the number of a version, such as 7."
            )
        if not _SHORTEST_PIN_S <= order.for_s <= _LONGEST_PIN_S:
            raise Refusal(
                "a rollback holds for one minute to 30 days", hint="Ask for 24h, 7d or at most 30d."
            )
        known = await self._checked(who, project, order)
        now = self._deps.now()
        pin = Pin(project, order.resource, order.version, who.name, why, now, now + order.for_s, row.revision)
        until = datetime.fromtimestamp(pin.expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        detail = {"version": order.version, "until": until, "commit": row.revision}
        await self._written(who, "rollback", row, resource=order.resource, why=why, detail=detail)
        await self._deps.store.put_pin(pin)
        message = f"{order.resource} was rolled back to version {order.version} by {who.name}: {why}"
        await self._told(row, "rollback", "warning", message, order.resource)
        await self._trigger(project, f"manual by {who.name}")
        what = f"version {order.version} of {project}/{order.resource}"
        text = f"From the next run on {what} serves, until {until}."
        return Acted("rollback", project, text, await self._rollback_notes(row, known))

    async def _rollback_notes(self, row: ProjectRecord, known: bool) -> tuple[str, ...]:
        notes = [
            "Only this service knows of it: a CI run of `reconciler apply` would undo it. To keep it, set"
            " `release.version` in the manifest, as `reconciler rollback --in-git` does."
        ]
        if not known:
            notes.append("The versions could not be read now; the next run says if this one is not there.")
        return (*notes, *await self._notes_on_writes(row, "The rollback"))

    async def _notes_on_writes(self, row: ProjectRecord, what: str) -> tuple[str, ...]:
        notes = []
        if row.mode == "observe":
            notes.append("The Project only observes: nothing is written until its plan is approved.")
        if await self._deps.store.suspension(row.name):
            notes.append(f"The Project is suspended. {what} waits until it is resumed.")
        return tuple(notes)

    async def _checked(self, who: Identity, project: str, order: Rollback) -> bool:
        """Whether the version was seen to be there.

        Raises:
            Conflicting: it was seen that this version cannot serve.
        """
        record = await self._views.resource_record(project, order.resource, who.scope)
        if record.health is Health.UNMANAGED:
            raise Conflicting(
                f"{order.resource} has no manifest in Git, so no run would hold it",
                hint="Move its traffic in the portal, or write a manifest with `reconciler import`.",
            )
        found = await self._views.timeline_now(project, order.resource)
        if found is None or found.old:
            return False
        check_rollback(order.resource, order.version, found)
        return any(version.number == order.version for version in found.versions)

    async def unpin(self, who: Identity, project: str, resource: str, why: str = "") -> Acted:
        """End a rollback now; Git decides again.

        Raises:
            Conflicting: there is no rollback of this resource.
        """
        row = await self._allowed(who, "unpin", project, resource, why)
        why = self._reason(why)
        now = self._deps.now()
        pins = [
            pin
            for pin in await self._deps.store.pins(project)
            if pin.resource == resource and pin.expires_at > now
        ]
        if not pins:
            raise Conflicting(
                f"no rollback holds {resource[:150]}",
                hint="`reconciler history PROJECT` shows what there is.",
            )
        await self._written(
            who, "unpin", row, resource=resource, why=why, detail={"version": pins[0].version}
        )
        # Over, not gone: the next run must know that the traffic is where we put it, or it would take it
        # for somebody's and leave it there (rule R5). The run removes the row.
        await self._deps.store.put_pin(replace(pins[0], expires_at=now))
        message = f"the rollback of {resource} to version {pins[0].version} was ended by {who.name}"
        await self._told(row, "rollback", "info", message + (f": {why}" if why else ""), resource)
        await self._trigger(project, f"manual by {who.name}")
        return Acted("unpin", project, f"The rollback of {project}/{resource} is over; Git decides again.")

    async def retry(self, who: Identity, project: str, resource: str, why: str = "") -> Acted:
        """Make a version that failed to start once more, although Git did not move (rule R4).

        Raises:
            NotFound: there is no such resource.
            Conflicting: no version of it failed, or Git does not manage it.
        """
        row = await self._allowed(who, "retry", project, resource, why)
        why = self._reason(why)
        record = await self._views.resource_record(project, resource, who.scope)
        version = failed_version(record, await self._views.timeline_now(project, resource))
        now = self._deps.now()
        await self._written(who, "retry", row, resource=resource, why=why, detail={"version": version})
        await self._deps.store.retry(Retry(project, resource, who.name, why, now, now + _RETRY_S))
        await self._trigger(project, f"manual by {who.name}")
        text = f"The next run makes version {version} of {project}/{resource} once more."
        return Acted("retry", project, text, await self._notes_on_writes(row, "This"))

    async def approve(self, who: Identity, project: str, digest: str, why: str) -> Acted:
        """Let through what a limit or a policy refused, once, and only exactly this plan.

        Raises:
            Conflicting: nothing is asked, or the plan is another one by now.
        """
        row = await self._allowed(who, "approve", project, "", why)
        why = self._reason(why, "approving")
        if not row.asks or not row.digest:
            raise Conflicting(
                f"Project {project} asks for no approval", hint="Look at it again: its plan has changed."
            )
        if digest != row.digest:
            raise Conflicting(
                f"the plan of Project {project} has changed since you looked at it",
                hint=f"Look at it again. It now asks for: {row.asks}.",
            )
        now = self._deps.now()
        await self._written(who, "approve", row, why=why, detail={"digest": digest, "lets": row.asks})
        await self._deps.store.approve(Approved(project, digest, who.name, why, now, now + APPROVAL_S))
        message = f"{who.name} approved for Project {project}: {row.asks}; {why}"
        await self._told(row, "approved", "warning", message)
        await self._trigger(project, f"manual by {who.name}")
        return Acted("approve", project, f"Approved once for Project {project}: {row.asks}.")

    # What every action does

    async def _allowed(
        self, who: Identity, action: str, project: str, resource: str = "", why: str = ""
    ) -> ProjectRecord:
        row = await self._deps.store.project(project) if project in who.scope else None
        if row is None:
            known = [view.name for view in (await self._views.projects(who.scope)).items]
            raise NotFound(
                f"there is no Project {project[:100]!r}",
                hint=did_you_mean(
                    project[:100],
                    known,
                    "The dashboard lists those that you may see.",
                ),
            )
        needed = ROLES[action]
        if not who.may(needed, project):
            has = who.role_on(project)
            if not self._denials.take(who.name, _DENIALS_PER_MINUTE, self._deps.now()):
                detail = {"action": action, "role": str(has), "needs": str(needed)}
                kept = self._kept(why)[:_MOST_WHY]
                await self._written(who, "denied", row, resource=resource[:150], why=kept, detail=detail)
            raise Forbidden(
                f"{who.name} may not {action} Project {project}: the role {needed} is needed, yours is {has}",
                hint="Whoever keeps the service's configuration gives roles under `auth.roles`.",
            )
        return row

    def _reason(self, why: str, doing: str = "") -> str:
        """The reason, as it is kept.

        Raises:
            Refusal: there is none where one is needed, or it is too long.
        """
        text = self._kept(why)
        if doing and not text:
            raise Refusal(f"{doing} needs a reason", hint="Say why: it is kept in the audit log.")
        if len(text) > _MOST_WHY:
            raise Refusal(
                f"the reason has more than {_MOST_WHY} characters", hint="Keep it to a sentence or a link."
            )
        return text

    def _kept(self, why: str) -> str:
        """Words of a person as they are kept: one line, printable, without secrets."""
        return self._deps.configured.current.masker().text(" ".join(why.split()))

    async def _written(
        self,
        who: Identity,
        action: str,
        row: ProjectRecord,
        *,
        resource: str = "",
        why: str = "",
        detail: dict[str, str] | None = None,
    ) -> None:
        """First of all: what has no line in the audit log is not done."""
        now = self._deps.now()
        await self._deps.store.add_audit(
            AuditRecord(now, who.name, action, row.name, resource, why, detail or {})
        )

    async def _told(
        self, row: ProjectRecord, type_: str, severity: str, message: str, resource: str = ""
    ) -> None:
        event = EventRecord(
            self._deps.now(),
            type_,
            severity,
            row.name,
            message,
            resource=resource,
            source=row.source,
            commit=row.revision,
        )
        await self._deps.store.add_events([event])
        await self._deps.engine.trigger("outbox", "event")

    async def _trigger(self, project: str, reason: str) -> None:
        await self._deps.engine.trigger(f"project/{project}", reason)


def span_s(text: str) -> int:
    """A span such as `24h` or `7d` in seconds.

    Raises:
        Refusal: it is none.
    """
    if not SPAN.fullmatch(text):
        raise Refusal(f"{text[:20]!r} is no span of time", hint="Write 30m, 24h or 7d.")
    return seconds(text)
