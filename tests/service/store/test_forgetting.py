"""History goes beyond its limits, a little at a time, and what is newest stays."""

from __future__ import annotations

import asyncio

from reconciler.service.records import Approved, Retry
from reconciler.service.store import Store
from tests.service.store.records import audit, event, project, run


async def test_forgetting_keeps_the_newest_run_of_each_project(store: Store) -> None:
    for n in range(6):
        await store.end_run(run(f"prod-{n}", started_at=n, result="applied"))
    await store.end_run(run("dev-0", project="dev", started_at=0, result="failed"))
    await store.start_run(run("slow", project="eu", started_at=0))
    await store.end_run(run("eu-1", project="eu", started_at=1, result="applied"))
    assert await store.forget(runs=3, older_than=4, audit_older_than=0, now=100) == 4
    assert sorted(row.id for row in (await store.runs())[0]) == ["dev-0", "eu-1", "prod-4", "prod-5", "slow"]
    assert await store.forget(runs=0, older_than=1000, audit_older_than=0, now=100) == 1
    assert sorted(row.id for row in (await store.runs())[0]) == ["dev-0", "eu-1", "prod-5", "slow"]


async def test_forgetting_has_a_limit_for_each_kind_of_history(store: Store) -> None:
    await store.add_events([event(n) for n in range(10)])
    for n in range(10):
        await store.add_audit(audit(n))
    await store.approve(Approved("prod", "d", "ada", "", 1, 50))
    await store.approve(Approved("dev", "d", "ada", "", 1, 150))
    await store.retry(Retry("prod", "Agent/a", "ada", "", 1, 50))
    await store.retry(Retry("prod", "Agent/b", "ada", "", 1, 150))
    await store.first_time("a", "b", now=0, within_s=10)
    await store.first_time("a", "c", now=95, within_s=10)
    assert await store.forget(runs=9, older_than=6, audit_older_than=3, now=100) == 6 + 3 + 1 + 1 + 1
    assert [row.at for row in (await store.events())[0]] == [9, 8, 7, 6]
    assert [row.at for row in (await store.audits())[0]][-1] == 3
    assert await store.approved("prod") is None
    assert await store.approved("dev") is not None
    assert [order.resource for order in await store.retries("prod")] == ["Agent/b"]
    assert await store.first_time("a", "c", now=100, within_s=10) is False


async def test_forgetting_much_lets_others_write_meanwhile(store: Store) -> None:
    await store.add_events([event(n) for n in range(3000)])
    forgetting = asyncio.create_task(store.forget(runs=1, older_than=1e9, audit_older_than=0, now=0))
    written = 0
    while not forgetting.done():
        await store.put_project(project(f"p{written}"))
        written += 1
    assert await forgetting == 3000
    assert written >= 5


async def test_ids_of_events_never_come_back(store: Store) -> None:
    await store.add_events([event(1), event(2)])
    last = (await store.events())[0][0].id
    await store.forget(runs=1, older_than=10, audit_older_than=0, now=0)
    await store.add_events([event(20)])
    assert (await store.events())[0][0].id > last
