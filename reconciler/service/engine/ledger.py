"""What is asked of each key, beside procrastinate's jobs: every change of both is one transaction.

All of them take the row of the key first, so that a trigger, the start and the end of a turn, and the rescue
of a dead one never see half of each other. A key that is asked for always has a job.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.tasks import Task
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from reconciler.service.engine import Again, Queue
from reconciler.service.engine.claims import LOCK_OF
from reconciler.service.engine.server import Server

QUEUE: Final = "turns"
NEWS: Final = "rq_news"
"""The channel on which replicas hear of triggers for keys that run: `NUMBER KEY`."""

_MOST_REASONS: Final = 50
"""Of one turn; they inform people, and a storm may bring thousands."""

# The server's clock alone counts: those of replicas differ.
_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"

_ASK: Final = f"""
WITH moment AS (SELECT {_NOW} + %(after_s)s AS due)
INSERT INTO rq_turns AS t (key, asked, waiting)
SELECT %(key)s, %(triggers)s, jsonb_build_object(%(reason)s::text, due) FROM moment
ON CONFLICT (key) DO UPDATE SET asked = t.asked + excluded.asked, waiting = CASE
    WHEN (t.waiting ->> %(reason)s)::float8 <= (excluded.waiting ->> %(reason)s)::float8 THEN t.waiting
    WHEN (SELECT count(*) FROM jsonb_object_keys(t.waiting)) >= {_MOST_REASONS} THEN t.waiting
    ELSE t.waiting || excluded.waiting END
RETURNING asked, running <> '{{}}', to_timestamp((SELECT due FROM moment))
""".encode()

_ROW: Final = b"""
INSERT INTO rq_turns (key) VALUES (%s) ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING asked, waiting, running, failures, extract(epoch FROM clock_timestamp())::float8
"""

_START: Final = b"UPDATE rq_turns SET running = %s, waiting = '{}' WHERE key = %s"
_END: Final = b"UPDATE rq_turns SET running = '{}', failures = %s WHERE key = %s"
_WAITING_JOB: Final = (
    b"SELECT id, scheduled_at FROM procrastinate_jobs WHERE queueing_lock = %s AND status = 'todo'"
)
_PULL_FORWARD: Final = b"UPDATE procrastinate_jobs SET scheduled_at = %s WHERE id = %s AND status = 'todo'"
_WAKE: Final = (
    b"SELECT pg_notify('procrastinate_queue_v1#' || queue_name,"
    b" json_build_object('type', 'job_inserted', 'job_id', id)::text)"
    b" FROM procrastinate_jobs WHERE queueing_lock = %s AND status = 'todo'"
    b" AND (scheduled_at IS NULL OR scheduled_at <= clock_timestamp())"
)
_REMOVE_JOB: Final = b"DELETE FROM procrastinate_jobs WHERE id = %s AND lock = %s AND status = 'doing'"

_GIVE_BACK: Final = f"""
UPDATE rq_turns SET running = '{{}}', waiting = waiting || coalesce(
    (SELECT jsonb_object_agg(reason, {_NOW}) FROM jsonb_object_keys(running) AS reason), '{{}}')
WHERE key = %s RETURNING to_timestamp({_NOW} + %s)
""".encode()

_COUNTS: Final = b"""
SELECT count(*) FILTER (WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now())),
    count(*) FILTER (WHERE status = 'todo' AND scheduled_at > now()),
    count(*) FILTER (WHERE status = 'doing')
FROM procrastinate_jobs WHERE queue_name = %s AND status IN ('todo', 'doing')
"""

NUMBERS: Final = b"SELECT key, asked FROM rq_turns WHERE key = ANY(%s)"
"""How often each of these keys was triggered so far."""

ORPHANS: Final = f"""
SELECT id, lock FROM procrastinate_jobs WHERE status = 'doing' AND queue_name = '{QUEUE}' AND NOT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) = {LOCK_OF.format("lock")})
""".encode()
"""Jobs that are said to run, while nobody has their key."""


@dataclass(frozen=True)
class Asked:
    """What a turn answers: its reasons, triggers up to a number; and how many turns before it raised."""

    reasons: tuple[str, ...]
    number: int
    failures: int


@dataclass(frozen=True)
class _Row:
    """A key's row, and what the server's clock says."""

    asked: int
    waiting: dict[str, float]
    running: dict[str, float]
    failures: int
    now: float


class Ledger:
    """The queue in the database. `task` makes the jobs, each with its key as `lock` and `queueing_lock`.

    Raises (every method):
        StoreDown: the database does not answer.
        StateError: it answers, and cannot be used.
    """

    def __init__(self, server: Server, task: Task[..., Any, Any]) -> None:
        self._server, self._task = server, task

    async def trigger(self, key: str, reason: str, after_s: float) -> bool:
        """Ask for a turn; False when one waits already."""
        async with self._server.transaction() as db:
            number, runs, due = await _ask(db, key, Again(max(0.0, after_s), reason), 1)
            fresh = await self._ensure_job(db, key, due if after_s > 0 else None)
            if runs:
                await db.execute("SELECT pg_notify(%s, %s)", (NEWS, f"{number} {key}"))
            return fresh

    async def start(self, job: int, key: str) -> Asked | None:
        """Move what is asked of a key to its turn, whose claim this process has.

        Returns:
            None when there is nothing to do: an earlier turn has answered it, or the job was taken away.
        """
        async with self._server.transaction() as db:
            row = await _row(db, key)
            asked = row.waiting | row.running
            if not asked:
                await db.execute(_REMOVE_JOB, (job, key))
                return None
            if not await _runs(db, job):
                return None
            counting = {reason: due for reason, due in asked.items() if due <= row.now} or asked
            await db.execute(_START, (Jsonb(counting), key))
            reasons = tuple(sorted(counting, key=lambda reason: (counting[reason], reason)))
            return Asked(reasons, row.asked, row.failures)

    async def end(self, job: int, key: str, again: Again | None, failures: int) -> None:
        """File a turn that ended. Nothing when its job was taken away: then another turn answers for it."""
        async with self._server.transaction() as db:
            await _row(db, key)
            if not (await db.execute(_REMOVE_JOB, (job, key))).rowcount:
                return
            await db.execute(_END, (failures, key))
            if again is not None:
                _, _, due = await _ask(db, key, again, 0)
                await self._ensure_job(db, key, due)
            # Workers do not look again by themselves when a key is free.
            await db.execute(_WAKE, (key,))

    async def give_back(self, job: int, key: str, after_s: float = 0.0) -> bool:
        """End a turn that did not take place, or only in part; everything it answers is asked for again.

        Returns:
            False when its job was taken away before.
        """
        async with self._server.transaction() as db:
            await _row(db, key)
            if not (await db.execute(_REMOVE_JOB, (job, key))).rowcount:
                return False
            ((due,),) = await (await db.execute(_GIVE_BACK, (key, after_s))).fetchall()
            await self._ensure_job(db, key, due if after_s > 0 else None)
            await db.execute(_WAKE, (key,))
            return True

    async def counts(self) -> Queue:
        async with self._server.transaction() as db:
            ((due, later, running),) = await (await db.execute(_COUNTS, (QUEUE,))).fetchall()
            return Queue(due=due, later=later, running=running)

    async def _ensure_job(self, db: AsyncConnection, key: str, due: datetime | None) -> bool:
        """Make a job that waits for this moment (None: now), or pull the one that waits forward to it.

        Returns:
            Whether none waited.
        """
        found = await (await db.execute(_WAITING_JOB, (key,))).fetchall()
        if not found:
            try:
                async with db.transaction():
                    await self._task.configure(
                        lock=key, queueing_lock=key, schedule_at=due, connection=db
                    ).defer_async(key=key)
            except AlreadyEnqueued:
                return False
            except ConnectorException as error:
                # As from any other statement here, so that it is told apart in one place.
                raise error.__cause__ or error from None
            return True
        ((job, planned),) = found
        if planned is not None and (due is None or due < planned):
            # A job that starts meanwhile waits for the row of its key, and answers this too.
            await db.execute(_PULL_FORWARD, (due, job))
            await db.execute(_WAKE, (key,))
        return False


async def _row(db: AsyncConnection, key: str) -> _Row:
    """The row of a key, which nobody else changes until the transaction ends."""
    (row,) = await (await db.execute(_ROW, (key,))).fetchall()
    return _Row(*row)


async def _runs(db: AsyncConnection, job: int) -> bool:
    cursor = await db.execute("SELECT status = 'doing' FROM procrastinate_jobs WHERE id = %s", (job,))
    return await cursor.fetchall() == [(True,)]


async def _ask(db: AsyncConnection, key: str, again: Again, triggers: int) -> tuple[int, bool, datetime]:
    """Add a reason; the number of triggers so far, whether a turn runs, and the moment this counts from."""
    values = {"key": key, "reason": _text(again.reason), "after_s": again.after_s, "triggers": triggers}
    ((number, runs, due),) = await (await db.execute(_ASK, values)).fetchall()
    return number, runs, due


def _text(reason: str) -> str:
    """The reason as PostgreSQL takes it: without NUL and half characters."""
    return reason.replace("\x00", "").encode("utf-8", "replace").decode()
