"""What a person reads while the service lets a run wait: in virtual time, and once for real."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from reconciler.cli.waiting import Waiting
from tests.foundry import clock
from tests.world import World

Story = Callable[[Waiting], Awaitable[None]]


def said(story: Story, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on standard error."""

    async def whole() -> None:
        waiting = Waiting("prod")
        async with waiting.told():
            await story(waiting)

    clock.run(whole())
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


async def request(
    waiting: Waiting, status: int | None = 200, *, took_s: float = 0.1, waited_s: float = 0.0
) -> None:
    waiting.waited(waited_s)
    await asyncio.sleep(took_s)
    waiting.answered("GET", status, took_s)


async def again(waiting: Waiting, status: int | None, wait_s: float) -> None:
    await request(waiting, status)
    waiting.repeats(status, wait_s)
    await asyncio.sleep(wait_s)


async def refused(waiting: Waiting) -> None:
    await again(waiting, 429, 30)
    await request(waiting)


async def refused_beside_others(waiting: Waiting) -> None:
    await asyncio.gather(again(waiting, 429, 30), request(waiting), request(waiting, took_s=0.3))


async def failing(waiting: Waiting) -> None:
    for wait_s in (1, 2, 4):
        await again(waiting, 503, wait_s)
    await request(waiting)


async def lost(waiting: Waiting) -> None:
    await again(waiting, None, 8)
    await request(waiting)


async def silent(waiting: Waiting) -> None:
    await request(waiting, took_s=40)


async def paced(waiting: Waiting) -> None:
    for _ in range(20):
        await asyncio.sleep(1)
        await request(waiting, waited_s=9)


@pytest.mark.parametrize(
    ("story", "lines"),
    [
        pytest.param(refused, ["the service refuses requests for now (429); next try in 26 s"], id="429"),
        pytest.param(
            refused_beside_others,
            ["the service refuses requests for now (429); next try in 25 s"],
            id="429-of-one-of-several",
        ),
        pytest.param(failing, ["the service fails (503); next try in 3 s"], id="503"),
        pytest.param(lost, ["the service cannot be reached; next try in 4 s"], id="lost"),
        pytest.param(
            silent,
            [
                "no answer from the service for 5 s; waiting",
                "no answer from the service for 35 s; waiting",
            ],
            id="hangs",
        ),
        pytest.param(paced, ["the service limits the pace; a request waits 9 s"], id="slow-pace"),
    ],
)
def test_a_run_says_why_it_waits(story: Story, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert said(story, capsys) == [f"  prod: {line}" for line in lines]


async def quick(waiting: Waiting) -> None:
    for _ in range(100):
        await request(waiting)


async def slow(waiting: Waiting) -> None:
    for _ in range(10):
        await request(waiting, took_s=3)


async def a_few_refusals(waiting: Waiting) -> None:
    await again(waiting, 429, 1)
    await again(waiting, 429, 1)
    await request(waiting)


async def between_two_looks(waiting: Waiting) -> None:
    """A version starts, which takes a minute, and the run asks every ten seconds."""
    for _ in range(6):
        await request(waiting)
        await asyncio.sleep(10)


@pytest.mark.parametrize("story", [quick, slow, a_few_refusals, between_two_looks])
def test_a_run_that_gets_on_says_nothing(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(story, capsys) == []


def test_a_plan_that_is_told_to_wait_says_so_beside_its_report(world: World) -> None:
    world.agent("triage")
    world.commit()
    action = {"status": 429, "headers": {"Retry-After": "7"}}
    world.own("PUT", "faults", [{"match": {"method": "GET"}, "times": 1, "action": action}])

    result = world.plan("--format", "json")

    assert result.exit_code == 2
    assert result.report["exit_code"] == 2
    assert result.stderr == "  prod: the service refuses requests for now (429); next try in 2 s\n"
