"""What the service remembers, as one protocol; SQLite and PostgreSQL keep it with the same SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from reconciler.errors import ReconcilerError
from reconciler.service.records import (
    FIRST,
    Approved,
    AuditRecord,
    EventRecord,
    Page,
    Pin,
    ProjectRecord,
    ResourceRecord,
    Retry,
    RunRecord,
    SourceRecord,
    Suspension,
)


class StoreDown(ReconcilerError):
    """The store's database does not answer."""

    retryable = True


class Store(Protocol):
    """Rows that survive restarts and are shared by replicas. Every call is one transaction.

    Texts that no database takes come back changed: NUL and half characters are written out (`\\x00`).
    Searches disregard case; filters that are "" do not matter.

    Raises (every method):
        StoreDown: the database did not answer within some seconds; retryable.
        StateError: it answers, and cannot be used: damaged, or newer than this program.
    """

    async def open(self) -> None:
        """Connect, and bring the schema up to date (rule P10: older is migrated, newer is refused).

        After a failure it may be called again.
        """
        ...

    async def close(self) -> None: ...

    async def pulse(self) -> int:
        """A number that grows with every write below that a page could show."""
        ...

    # Sources and Projects

    async def put_source(self, record: SourceRecord) -> None: ...
    async def source(self, name: str) -> SourceRecord | None: ...
    async def sources(self) -> tuple[SourceRecord, ...]: ...
    async def put_project(self, record: ProjectRecord, *, keep: Collection[str] = ()) -> None:
        """Write this row. `wanted` of a row that exists stays: only `want` moves it, since a newer commit
        may be seen while a run of an older one ends.

        Args:
            keep: fields that stay too where there is a row, because somebody else writes them at any time.
        """
        ...

    async def project(self, name: str) -> ProjectRecord | None: ...
    async def projects(
        self,
        *,
        source: str = "",
        search: str = "",
        health: str = "",
        worst_first: bool = False,
        page: Page = FIRST,
    ) -> tuple[tuple[ProjectRecord, ...], int]:
        """The Projects by name and how many there are in all; `search` is a part of the name.

        Args:
            worst_first: by health as in `WORST_FIRST`, and then by name.
        """
        ...

    async def want(self, source: str, projects: Collection[str], commit: str) -> None:
        """Set `wanted` of these Projects, and nothing else of their rows; where there is none, make one."""
        ...

    # What people said

    async def suspend(self, suspension: Suspension) -> None: ...
    async def resume(self, project: str) -> None: ...
    async def suspension(self, project: str) -> Suspension | None: ...
    async def suspensions(self) -> tuple[Suspension, ...]: ...
    async def put_pin(self, pin: Pin) -> None: ...
    async def remove_pin(self, pin: Pin) -> None:
        """Remove this very rollback; one that has come in its place stays."""
        ...

    async def pins(self, project: str = "") -> tuple[Pin, ...]: ...
    async def retry(self, retry: Retry) -> None: ...
    async def retries(self, project: str) -> tuple[Retry, ...]: ...
    async def take_retry(self, project: str, resource: str) -> None:
        """Remove it: one order is one try."""
        ...

    async def approve(self, approved: Approved) -> None: ...
    async def approved(self, project: str) -> Approved | None: ...
    async def take_approval(self, approved: Approved) -> None:
        """Remove it; one of another plan that has come in its place stays."""
        ...

    # Resources

    async def put_resources(
        self, project: str, changed: Sequence[ResourceRecord], gone: Collection[str]
    ) -> None:
        """Write these rows and remove those of `gone` (`Agent/NAME`), in one transaction."""
        ...

    async def resource(self, project: str, resource: str) -> ResourceRecord | None: ...
    async def resources(
        self,
        project: str,
        *,
        search: str = "",
        health: str = "",
        kind: str = "",
        worst_first: bool = False,
        page: Page = FIRST,
    ) -> tuple[tuple[ResourceRecord, ...], int]:
        """Resources by name and how many match.

        Args:
            search: a part of the name (`Agent/NAME`) or of a label (`name=value`).
            kind: the definition's kind, such as `hosted`.
            worst_first: by health as in `WORST_FIRST`, and then by name.
        """
        ...

    async def health_counts(self, project: str) -> dict[str, int]: ...

    # Runs, events, audit

    async def start_run(self, record: RunRecord) -> None:
        """Add a run. Any other run of this Project that is still `running` becomes `interrupted`."""
        ...

    async def end_run(self, record: RunRecord) -> None:
        """Write the run as it ended, also where it was taken for interrupted or never started here."""
        ...

    async def run(self, id: str) -> RunRecord | None: ...
    async def runs(
        self, *, project: str = "", source: str = "", result: str = "", page: Page = FIRST
    ) -> tuple[tuple[RunRecord, ...], int]:
        """Runs, newest first, without their reports."""
        ...

    async def add_events(self, events: Sequence[EventRecord]) -> None: ...
    async def events(
        self,
        *,
        project: str = "",
        resource: str = "",
        type: str = "",
        severity: str = "",
        after_id: int | None = None,
        page: Page = FIRST,
    ) -> tuple[tuple[EventRecord, ...], int]:
        """Events, newest first; with `after_id` only those behind it, oldest first.

        Ids are above 0 and grow in the order in which events can be seen: who follows them by `after_id`,
        from 0 on, misses none.
        """
        ...

    async def add_audit(self, record: AuditRecord) -> None: ...
    async def audits(
        self, *, project: str = "", actor: str = "", page: Page = FIRST
    ) -> tuple[tuple[AuditRecord, ...], int]: ...

    # Small things that replicas must agree on

    async def first_time(self, scope: str, key: str, *, now: float, within_s: float) -> bool:
        """Whether nobody heard True for (scope, key) in the last `within_s` seconds.

        For webhook deliveries and notifications: of several replicas that ask at once, one hears True.
        Asking again does not put off the next True.
        """
        ...

    async def cursor(self, name: str) -> int:
        """How far a reader of events got, 0 at first."""
        ...

    async def move_cursor(self, name: str, to: int) -> None:
        """Move it forward; it never goes back."""
        ...

    async def forget(self, *, runs: int, older_than: float, audit_older_than: float, now: float) -> int:
        """Remove history beyond these limits, in small transactions; how many rows went.

        The newest run of a Project and the one that goes on always stay.

        Args:
            runs: how many of a Project are kept, at least 1.
            older_than: the moment (Unix seconds) before which runs and events go.
            audit_older_than: the same for the audit log.
            now: approvals and retries that have expired by then go too, and what `first_time` need not know
                any more.
        """
        ...
