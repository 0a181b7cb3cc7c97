"""Laws of every engine, over random triggers, turns and failures."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.service.engine import Again, Engine, Queue, Turn
from reconciler.service.engine.embedded import Embedded
from reconciler.service.engine.failing import Pauses
from reconciler.service.engine.replicas import Replicas
from tests.postgres import Server
from tests.service.engine.stage import Stage

PAUSES = Pauses(first_s=0.02, longest_s=0.02)


@dataclass(frozen=True)
class Ask:
    """Wait, trigger a key, and say what the turn that answers does: how long it takes, and how it ends."""

    wait_s: float
    key: str
    after_s: float
    length_s: float
    ends: str


asks = st.builds(
    Ask,
    wait_s=st.sampled_from([0.0, 0.0, 0.01, 0.03]),
    key=st.sampled_from(["project/a", "project/b", "source/c"]),
    after_s=st.sampled_from([0.0, 0.0, 0.02, 0.05]),
    length_s=st.sampled_from([0.0, 0.01, 0.04]),
    ends=st.sampled_from(["well", "well", "again", "raises"]),
)
stories = st.lists(asks, min_size=1, max_size=25)


async def played(engines: list[Engine], story: list[Ask]) -> None:
    """Play a story on engines that share a queue, and judge it."""
    ends = {f"{number}": ask for number, ask in enumerate(story)}

    async def play(turn: Turn) -> Again | None:
        mine = [ends[reason] for reason in turn.reasons if reason in ends]
        await asyncio.sleep(max((ask.length_s for ask in mine), default=0.0))
        if any(ask.ends == "raises" for ask in mine):
            raise RuntimeError("a turn that raises")
        return Again(0.01, "again") if any(ask.ends == "again" for ask in mine) else None

    stage, stop = Stage(engines[0], play), asyncio.Event()
    serving = [asyncio.create_task(engine.serve(stage.work, stop)) for engine in engines]
    asked: list[tuple[Ask, float]] = []
    for number, ask in enumerate(story):
        await asyncio.sleep(ask.wait_s)
        asked.append((ask, time.monotonic()))
        await engines[number % len(engines)].trigger(ask.key, f"{number}", after_s=ask.after_s)
    async with asyncio.timeout(20):
        while await engines[0].queue() != Queue(0, 0, 0):
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*serving)
    for engine in engines:
        await engine.close()

    assert stage.overlaps == 0
    for number, (ask, at) in enumerate(asked):
        assert any(turn.at >= at for turn in stage.turns(ask.key)), f"{ask} was lost"
        if ask.after_s == 0:
            told = [turn for turn in stage.turns(ask.key) if f"{number}" in turn.reasons]
            assert len(told) == 1, f"the reason of {ask} was told {len(told)} times"
    # One for each that did not coalesce, and what turns ask for themselves.
    assert len(stage.began) <= 3 * len(story)


def run(make: Callable[[], list[Engine]], story: list[Ask]) -> None:
    async def main() -> None:
        await played(make(), story)

    asyncio.run(main())


@given(stories)
@settings(max_examples=20, deadline=None)
def test_no_story_overlaps_or_loses_in_one_process(story: list[Ask]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "store.db")
        run(lambda: [Embedded(path, concurrency=2, pauses=PAUSES)], story)


@given(stories)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_story_overlaps_or_loses_between_replicas(postgres: Server, story: list[Ask]) -> None:
    with postgres.database() as url:
        run(lambda: [Replicas(url, concurrency=2, pauses=PAUSES) for _ in range(2)], story)
