"""Replicas as processes that are killed, stopped and cut off: nothing overlaps, nothing is lost."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from reconciler.service.engine.replicas import Replicas
from reconciler.service.store import StoreDown
from tests.postgres import own_server
from tests.service.engine.record import Cast, cast

pytestmark = [pytest.mark.crash, pytest.mark.xdist_group("storm")]

SEED = 20261121
KEYS = [f"project/{number:02}" for number in range(50)]


async def storm(engine: Replicas, triggers: int, pause_s: float, prefix: str) -> tuple[set[str], int]:
    """Trigger keys at random; the reasons that were accepted, and how many coalesced."""
    chance, accepted, coalesced = random.Random(f"{SEED} {prefix}"), set[str](), 0
    for number in range(triggers):
        reason = f"{prefix} {number}"
        try:
            coalesced += not await engine.trigger(chance.choice(KEYS), reason)
            accepted.add(reason)
        except StoreDown:
            pass
        await asyncio.sleep(chance.uniform(0, 2 * pause_s))
    return accepted, coalesced


async def faults(company: Cast, over: asyncio.Event) -> tuple[int, int]:
    """Kill and stop replicas in turn until it is over; never both stopped."""
    kills = stops = 0
    while not over.is_set():
        await asyncio.sleep(1.0)
        await company.kill(company.alive[0])
        kills += 1
        await company.enter()
        await asyncio.sleep(1.5)
        stopped = company.alive[0]
        stopped.send(signal.SIGSTOP)
        stops += 1
        await asyncio.sleep(3.0)
        stopped.send(signal.SIGCONT)
    return kills, stops


async def test_a_storm_with_kills_and_stops_overlaps_nothing_and_loses_nothing(
    postgres_url: str, tmp_path: Path, record_property: Any
) -> None:
    engine = Replicas(postgres_url, concurrency=1)
    async with cast(postgres_url, tmp_path / "record", 2, (0.03, 0.8)) as company:
        await engine.trigger("project/first", "first")
        await company.until(lambda: "first" in company.answered(), 20.0)
        over = asyncio.Event()
        trouble = asyncio.create_task(faults(company, over))
        async with asyncio.timeout(75):
            parts = await asyncio.gather(*(storm(engine, 250, 0.03, f"sender {n}") for n in range(4)))
        accepted = set().union(*(part for part, _ in parts))
        coalesced = sum(number for _, number in parts)
        over.set()
        kills, stops = await trouble
        await company.until(lambda: accepted <= company.answered(), 30.0)
        spans, lost, overlaps = company.spans(), accepted - company.answered(), company.overlaps()
    await engine.close()
    record_property(
        "counts",
        f"storm: {len(accepted)} triggers over {len(KEYS)} keys, {coalesced} coalesced, {len(spans)} turns on"
        f" 2 replicas, {kills} kills, {stops} stops of 3 s: {overlaps} overlaps, {len(lost)} lost",
    )
    assert len(accepted) == 1000
    assert kills >= 2
    assert stops >= 2
    assert overlaps == 0
    assert not lost


async def test_turns_of_a_killed_replica_begin_again_elsewhere_within_3_s(
    postgres_url: str, tmp_path: Path, record_property: Any
) -> None:
    engine, waits_s = Replicas(postgres_url, concurrency=1), []
    async with cast(postgres_url, tmp_path / "record", 2, (60.0, 60.0)) as company:
        await engine.trigger("project/long", "webhook")
        for turns in range(1, 3):
            await company.until(lambda turns=turns: len(company.spans()) == turns, 20.0)
            (victim,) = (one for one in company.alive if one.pid == company.spans()[-1].pid)
            died = await company.kill(victim)
            await company.until(lambda turns=turns: len(company.spans()) == turns + 1, 10.0)
            waits_s.append(company.spans()[-1].start - died)
            await company.ready(await company.enter())
        assert all(span.reasons == ("webhook",) for span in company.spans())
        overlaps = company.overlaps()
        for replica in list(company.alive):
            await company.kill(replica)
    await engine.close()
    shown = ", ".join(f"{wait_s:.2f}" for wait_s in waits_s)
    record_property("counts", f"take-over after kill -9: {shown} s, {overlaps} overlaps")
    assert overlaps == 0
    assert max(waits_s) <= 3.0


async def test_an_outage_of_the_database_is_survived(tmp_path: Path, record_property: Any) -> None:
    with own_server() as server:
        url = server.create()
        engine = Replicas(url, concurrency=1)
        async with cast(url, tmp_path / "record", 2, (0.05, 1.0)) as company:
            await engine.trigger("project/first", "first")
            await company.until(lambda: "first" in company.answered(), 20.0)
            before = asyncio.create_task(storm(engine, 150, 0.01, "before"))
            await asyncio.sleep(1.0)
            await asyncio.to_thread(server.crash)
            cut_off = time.monotonic()
            with pytest.raises(StoreDown, match="does not answer"):
                await engine.trigger("project/first", "nobody hears this")
            await asyncio.to_thread(server.start)
            back = time.monotonic()
            accepted, _ = await before
            later, _ = await storm(engine, 50, 0.01, "after")
            accepted |= later
            await company.until(lambda: accepted <= company.answered(), 30.0)
            lost, overlaps = accepted - company.answered(), company.overlaps()
            first = min(span.start for span in company.spans() if span.start > back) - back
            cut = sum(span.start < cut_off and not span.well for span in company.spans())
        await engine.close()
    record_property(
        "counts",
        f"outage of {back - cut_off:.1f} s: {len(accepted)} triggers accepted, {200 - len(accepted)} refused,"
        f" {cut} turns cut, first turn {first:.2f} s after its end: {overlaps} overlaps, {len(lost)} lost",
    )
    assert overlaps == 0
    assert not lost
