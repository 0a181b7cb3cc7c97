"""The tables of the store. Types are those that both databases know; `DOUBLE PRECISION` has 64 bits.

`NAME` is text that sorts by its bytes, `SERIAL_ID` a number that only grows, also after rows went.
"""

from __future__ import annotations

from typing import Final

from reconciler.service.records import (
    Approved,
    AuditRecord,
    EventRecord,
    Pin,
    ProjectRecord,
    ResourceRecord,
    Retry,
    RunRecord,
    SourceRecord,
    Suspension,
)
from reconciler.service.store.rows import Table

# As `WORST_FIRST`. An index has this expression in it: another order takes another migration.
WORST_FIRST_SQL: Final = (
    "(CASE health WHEN 'failed' THEN 0 WHEN 'refused' THEN 1 WHEN 'drifted' THEN 2 WHEN 'observed' THEN 3"
    " WHEN 'waiting' THEN 4 WHEN 'unknown' THEN 5 WHEN 'in-sync' THEN 6 ELSE 7 END)"
)

PREFIX: Final = "rc_"
"""Of every table here: the queue of the replicas keeps its own tables in the same database."""

MIGRATIONS: Final = (
    (
        "CREATE TABLE rc_pulse (one BIGINT PRIMARY KEY, n BIGINT NOT NULL)",
        "INSERT INTO rc_pulse (one, n) VALUES (1, 1)",
        """CREATE TABLE rc_sources (
            name NAME PRIMARY KEY, url TEXT NOT NULL, ref TEXT NOT NULL, head TEXT NOT NULL,
            good TEXT NOT NULL, good_time BIGINT NOT NULL,
            seen_at DOUBLE PRECISION NOT NULL, fetched_at DOUBLE PRECISION NOT NULL,
            stale_since DOUBLE PRECISION NOT NULL,
            error TEXT NOT NULL, hint TEXT NOT NULL, problems TEXT NOT NULL)""",
        # Whoever learns first of a Project knows only its name, its source and the commit that names it.
        """CREATE TABLE rc_projects (
            name NAME PRIMARY KEY, source NAME NOT NULL,
            endpoint TEXT NOT NULL DEFAULT '', owner TEXT NOT NULL DEFAULT '',
            mode TEXT NOT NULL DEFAULT 'enforce', interval_s BIGINT NOT NULL DEFAULT 300,
            health TEXT NOT NULL DEFAULT 'unknown', reason TEXT NOT NULL DEFAULT '',
            revision TEXT NOT NULL DEFAULT '', wanted TEXT NOT NULL DEFAULT '',
            digest TEXT NOT NULL DEFAULT '', asks TEXT NOT NULL DEFAULT '',
            summary TEXT NOT NULL DEFAULT '{}', conditions TEXT NOT NULL DEFAULT '[]',
            resources BIGINT NOT NULL DEFAULT 0, last_run TEXT NOT NULL DEFAULT '',
            last_run_at DOUBLE PRECISION NOT NULL DEFAULT 0, last_good_at DOUBLE PRECISION NOT NULL DEFAULT 0,
            next_at DOUBLE PRECISION NOT NULL DEFAULT 0,
            failures BIGINT NOT NULL DEFAULT 0, removed BIGINT NOT NULL DEFAULT 0, words TEXT NOT NULL)""",
        """CREATE TABLE rc_suspensions (
            project NAME PRIMARY KEY, "by" TEXT NOT NULL, why TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)""",
        """CREATE TABLE rc_pins (
            project NAME NOT NULL, resource NAME NOT NULL, version TEXT NOT NULL,
            "by" TEXT NOT NULL, why TEXT NOT NULL,
            at DOUBLE PRECISION NOT NULL, expires_at DOUBLE PRECISION NOT NULL, "commit" TEXT NOT NULL,
            PRIMARY KEY (project, resource))""",
        """CREATE TABLE rc_approvals (
            project NAME PRIMARY KEY, digest TEXT NOT NULL, "by" TEXT NOT NULL, why TEXT NOT NULL,
            at DOUBLE PRECISION NOT NULL, expires_at DOUBLE PRECISION NOT NULL)""",
        # `detail` stays last: SQLite then skips it when it looks through the other columns.
        """CREATE TABLE rc_resources (
            project NAME NOT NULL, resource NAME NOT NULL, health TEXT NOT NULL,
            definition_kind TEXT NOT NULL, words TEXT NOT NULL,
            reason TEXT NOT NULL, action TEXT NOT NULL, serving TEXT NOT NULL, latest TEXT NOT NULL,
            place TEXT NOT NULL, labels TEXT NOT NULL, "references" TEXT NOT NULL,
            changed_at DOUBLE PRECISION NOT NULL, detail TEXT NOT NULL,
            PRIMARY KEY (project, resource))""",
        "CREATE INDEX rc_resources_health ON rc_resources (project, health, resource)",
        "CREATE INDEX rc_resources_kind ON rc_resources (project, definition_kind, resource)",
        """CREATE TABLE rc_runs (
            id NAME PRIMARY KEY, project NAME NOT NULL, source NAME NOT NULL, result TEXT NOT NULL,
            started_at DOUBLE PRECISION NOT NULL, ended_at DOUBLE PRECISION NOT NULL,
            reasons TEXT NOT NULL, "commit" TEXT NOT NULL, summary TEXT NOT NULL,
            replica TEXT NOT NULL, report BYTEA NOT NULL)""",
        "CREATE INDEX rc_runs_time ON rc_runs (started_at, id)",
        "CREATE INDEX rc_runs_project ON rc_runs (project, started_at, id)",
        "CREATE INDEX rc_runs_source ON rc_runs (source, started_at, id)",
        "CREATE INDEX rc_runs_result ON rc_runs (result, started_at, id)",
        """CREATE TABLE rc_events (
            id SERIAL_ID, at DOUBLE PRECISION NOT NULL, type TEXT NOT NULL, severity TEXT NOT NULL,
            project NAME NOT NULL, resource NAME NOT NULL, source NAME NOT NULL, run TEXT NOT NULL,
            "commit" TEXT NOT NULL, message TEXT NOT NULL, hint TEXT NOT NULL)""",
        "CREATE INDEX rc_events_project ON rc_events (project, id)",
        "CREATE INDEX rc_events_type ON rc_events (type, id)",
        "CREATE INDEX rc_events_severity ON rc_events (severity, id)",
        "CREATE INDEX rc_events_time ON rc_events (at)",
        """CREATE TABLE rc_audit (
            id SERIAL_ID, at DOUBLE PRECISION NOT NULL, actor NAME NOT NULL, action TEXT NOT NULL,
            project NAME NOT NULL, resource TEXT NOT NULL, why TEXT NOT NULL, detail TEXT NOT NULL)""",
        "CREATE INDEX rc_audit_project ON rc_audit (project, id)",
        "CREATE INDEX rc_audit_actor ON rc_audit (actor, id)",
        "CREATE INDEX rc_audit_time ON rc_audit (at)",
        """CREATE TABLE rc_seen (
            scope NAME NOT NULL, key NAME NOT NULL, at DOUBLE PRECISION NOT NULL,
            until DOUBLE PRECISION NOT NULL, PRIMARY KEY (scope, key))""",
        "CREATE INDEX rc_seen_until ON rc_seen (until)",
        "CREATE TABLE rc_cursors (name NAME PRIMARY KEY, n BIGINT NOT NULL)",
    ),
    (
        f"CREATE INDEX rc_projects_worst ON rc_projects ({WORST_FIRST_SQL}, name)",
        f"CREATE INDEX rc_resources_worst ON rc_resources (project, {WORST_FIRST_SQL}, resource)",
        "CREATE INDEX rc_resources_kind_worst ON rc_resources"
        f" (project, definition_kind, {WORST_FIRST_SQL}, resource)",
    ),
    (
        """CREATE TABLE rc_retries (
            project NAME NOT NULL, resource NAME NOT NULL, "by" TEXT NOT NULL, why TEXT NOT NULL,
            at DOUBLE PRECISION NOT NULL, expires_at DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (project, resource))""",
    ),
    (
        """ALTER TABLE rc_approvals ADD COLUMN "commit" TEXT NOT NULL DEFAULT ''""",
        "ALTER TABLE rc_approvals ADD COLUMN covers TEXT NOT NULL DEFAULT '[]'",
    ),
)
"""Append only: entry N brings a database from schema N to N+1. A statement each, in order."""


def _resource_words(record: ResourceRecord) -> str:
    # A line each, so that a search never matches across the end of one and the start of the next.
    return "\n".join((record.resource, *(f"{name}={value}" for name, value in record.labels.items())))


SOURCES: Final = Table("rc_sources", SourceRecord, key=("name",))
PROJECTS: Final = Table("rc_projects", ProjectRecord, key=("name",), words=lambda record: record.name)
SUSPENSIONS: Final = Table("rc_suspensions", Suspension, key=("project",))
PINS: Final = Table("rc_pins", Pin, key=("project", "resource"))
APPROVALS: Final = Table("rc_approvals", Approved, key=("project",))
RETRIES: Final = Table("rc_retries", Retry, key=("project", "resource"))
RESOURCES: Final = Table("rc_resources", ResourceRecord, key=("project", "resource"), words=_resource_words)
RUNS: Final = Table("rc_runs", RunRecord, key=("id",), packed=("report",))
EVENTS: Final = Table("rc_events", EventRecord)
AUDIT: Final = Table("rc_audit", AuditRecord)
