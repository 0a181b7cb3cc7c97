"""What meets in time: people, pushes, other replicas and failures of the store between two steps of a run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import SourceError
from reconciler.service.checkouts import Checkouts
from reconciler.service.config import Configured
from reconciler.service.engine import Turn
from reconciler.service.records import Pin, Suspension
from reconciler.service.source_turn import SourceTurns
from reconciler.service.store import StoreDown
from reconciler.settings import read
from tests.service.living import Living, config_of, living
from tests.service.test_stories import idle
from tests.world import World, hosted, manifest, prompt

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

V2 = "registry.example.com/triage:2.0"


def pin(version: str, for_s: float) -> Pin:
    now = time.time()
    return Pin("prod", "Agent/triage", version, "ada", "errors", now, now + for_s, "")


def asked(world: World, what: str) -> bool:
    return any(f"{row['method']} {row['path'].split('?')[0]}".endswith(what) for row in world.log())


def sources_of(world: World, other: World) -> list[dict[str, str]]:
    """`agents` for the one repository and `others` for the other."""
    return [
        {"name": name, "url": f"file://{repo}", "ref": "main", "interval": "1h"}
        for name, repo in (("agents", world.repo), ("others", other.repo))
    ]


async def two_versions(life: Living) -> str:
    """A hosted agent that was released twice; the newest commit."""
    await life.health("in-sync")
    life.world.agent("triage", hosted(V2))
    second = await life.push()
    await life.at(second)
    await life.until(lambda: life.world.traffic("triage") == [("2", 100)])
    await life.health("in-sync")
    return second


def fails_once(store: Any, method: str) -> list[Any]:
    """Makes a method of the store fail the next time; what it was called with then."""
    good, called = getattr(store, method), list[Any]()

    async def fails(*args: Any, **more: Any) -> Any:
        if not called:
            called.append(args)
            raise StoreDown("the store is away", hint="")
        return await good(*args, **more)

    object.__setattr__(store, method, fails)
    return called


async def test_a_source_at_the_start_of_a_commits_id_is_kept_in_line(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path, source={"ref": first[:10]}) as life:
        await life.at(first)
        await life.health("in-sync")
        await asyncio.sleep(1.2)
        world.edit("triage", instructions="Be rude.")
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)], within_s=5)
        assert "superseded" not in {run.result for run in await life.runs()}
        await idle(life)


async def test_a_source_at_an_annotated_tag_is_kept_in_line(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    world.git("tag", "-a", "v1", "-m", "One")
    async with living(world, tmp_path, source={"ref": "v1"}) as life:
        await life.at(first)
        await life.health("in-sync")
        await asyncio.sleep(1.2)
        world.edit("triage", instructions="Be rude.")
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)], within_s=5)
        await idle(life)


@pytest.mark.rule("V3")
async def test_a_rollback_that_comes_while_an_older_one_ends_is_kept(world: World, tmp_path: Path):
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await two_versions(life)
        store = life.service.deps.store
        await store.put_pin(pin("1", -1))
        world.settings(latency_s=0.4)
        world.forget()
        await life.sync()
        await life.until(lambda: asked(world, "/agents"))
        await store.put_pin(pin("1", 3600))
        world.settings(latency_s=0)
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)], within_s=5)
        assert [one.version for one in await store.pins("prod")] == ["1"]


@pytest.mark.rule("R5", "V3")
async def test_the_end_of_a_rollback_does_not_take_traffic_that_somebody_moved_since(
    world: World, tmp_path: Path
):
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await two_versions(life)
        store = life.service.deps.store
        await store.put_pin(pin("1", 3600))
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        await store.suspend(Suspension("prod", "ada", "freeze", time.time()))
        await store.put_pin(pin("1", -1))
        world.select("triage", v1=90, v2=10)
        await life.ran()
        await store.resume("prod")
        await life.ran()
        assert world.traffic("triage") == [("1", 90), ("2", 10)]
        assert (await life.health("drifted")).asks
        assert await store.pins("prod") == ()


@pytest.mark.rule("V3")
async def test_a_rollback_ends_with_the_endpoint_that_it_was_for(world: World, tmp_path: Path):
    world.agent("triage", hosted())
    world.commit()
    there = World(world.url, f"{world.name}-there", world.repo)
    there.settings(provisioning={"delay_s": 0.1})
    async with living(world, tmp_path) as life:
        await two_versions(life)
        store = life.service.deps.store
        await store.put_pin(pin("1", 3600))
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        await life.health("in-sync")
        mark = {"reconciler": world.versions("triage")[-1]["metadata"]["reconciler"]}
        there.seed({"name": "triage", "versions": [{"definition": hosted("x:0"), "metadata": mark}]})
        world.project(endpoint=there.endpoint)
        await life.at(await life.push())
        await life.until(lambda: there.traffic("triage") == [("2", 100)], within_s=8)
        await life.until(lambda: life.events("pin-expired"))
        assert await store.pins("prod") == ()


async def test_rows_that_the_store_did_not_take_are_written_by_the_next_run(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        called = fails_once(life.service.deps.store, "put_resources")
        await life.until(lambda: bool(called), within_s=8)

        async def shown() -> bool:
            (row,), _ = await life.service.deps.store.resources("prod")
            return (row.latest, row.reason, str(row.health)) == ("1", "equal", "in-sync")

        await life.until(shown, within_s=12)


@pytest.mark.rule("P3")
async def test_reading_a_commit_that_is_known_does_not_say_that_it_is_the_newest(
    world: World, tmp_path: Path
):
    world.agent("triage")
    first = world.commit()
    environ = {"RECONCILER_CACHE": str(tmp_path / "cache")}
    checkouts = Checkouts(read(environ), environ)
    checkouts.configure(config_of(world, tmp_path))
    await checkouts.read("agents")
    world.agent("triage", prompt("Answer at length."))
    second = world.commit()
    await checkouts.read("agents", second)
    world.commit()
    assert (await checkouts.read("agents", first)).commit == first
    assert checkouts.asked_s_ago("agents") > 1


@pytest.mark.rule("V1")
async def test_a_replica_that_does_not_know_a_source_yet_loses_none_of_its_turns(
    world: World, tmp_path: Path
):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        (tmp_path / "old").mkdir()
        old = config_of(world, tmp_path / "old", source={"name": "others", "projects": ["none"]})
        checkouts = Checkouts(read({}), {})
        checkouts.configure(old)
        deps = replace(life.service.deps, configured=Configured(old))
        again = await SourceTurns(deps, checkouts).turn(Turn("source/agents", ("start",)))
        assert again is not None, "whoever knows it gets the next turn"
        await life.service.deps.engine.trigger("source/agents", "poll")

        async def back() -> bool:
            row = await life.project()
            return not row.removed and row.health == "in-sync"

        await life.until(back)
        await idle(life)


async def test_the_end_of_a_source_does_not_undo_that_another_took_its_projects(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        store = life.service.deps.store
        (tmp_path / "new").mkdir()
        new = config_of(world, tmp_path / "new", source={"name": "renamed"})
        checkouts = Checkouts(read({"RECONCILER_CACHE": str(tmp_path / "new")}), {})
        checkouts.configure(new)
        deps = replace(life.service.deps, configured=Configured(new))
        turns = SourceTurns(deps, checkouts)
        good = store.projects

        async def and_then(**more: Any) -> Any:
            found = await good(**more)
            if more.get("source") == "agents":
                object.__setattr__(store, "projects", good)
                await turns.turn(Turn("source/renamed", ("configuration",)))
            return found

        object.__setattr__(store, "projects", and_then)
        await turns.turn(Turn("source/agents", ("configuration",)))
        row = await life.project()
        assert (row.source, row.removed) == ("renamed", False)


@pytest.mark.rule("R7")
async def test_room_that_somebody_made_is_used_at_the_limit_of_versions(world: World, tmp_path: Path):
    world.settings(max_versions=2)
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        world.agent("triage", prompt("Answer in 2 words."))
        await life.at(await life.push())
        await life.until(lambda: world.numbers("triage") == ["2", "1"])
        await life.health("in-sync")
        world.agent("triage", prompt("Answer in 3 words."))
        await life.push()
        await life.health("failed")
        for _ in range(2):
            await life.ran()
        assert (await life.project()).health == "failed"
        world.call("DELETE", "/agents/triage/versions/1")
        await life.until(lambda: sync_until(life, lambda: world.numbers("triage") == ["3", "2"]))
        await idle(life)


async def sync_until(life: Living, holds: Any) -> bool:
    await life.ran()
    return bool(holds())


@pytest.mark.rule("R2", "R5")
async def test_a_revert_of_a_revert_of_a_revert_is_no_edit_of_somebody(world: World, tmp_path: Path):
    world.agent("triage", hosted("example.com/triage:1"))
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        for number in (2, 3, 4):
            world.agent("triage", hosted(f"example.com/triage:{number}"))
            await life.at(await life.push())
            await life.until(lambda number=number: world.traffic("triage") == [(str(number), 100)])
            await life.health("in-sync")
        for number in (1, 2, 1):
            world.agent("triage", hosted(f"example.com/triage:{number}"))
            await life.at(await life.push())
            await life.until(lambda number=number: world.traffic("triage") == [(str(number), 100)], 6)
            await life.health("in-sync")
        assert world.numbers("triage") == ["4", "3", "2", "1"]
        await idle(life)


@pytest.mark.rule("W1")
async def test_what_a_person_asked_for_goes_on_until_its_version_has_started(world: World, tmp_path: Path):
    opening = time.gmtime(time.time() - 120)
    window = {"kind": "deny", "cron": f"{opening.tm_min} {opening.tm_hour} * * *", "duration": "1h"}
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        world.settings(provisioning={"delay_s": 1.5})
        world.project(sync={"windows": [window | {"manual": True}]})
        world.agent("triage", hosted(V2))
        await life.at(await life.push())
        await life.health("observed")
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("2", 100)], within_s=8)
        await idle(life)


@pytest.mark.rule("D1")
async def test_projects_of_two_sources_with_one_endpoint_and_owner_do_not_delete_each_others_agents(
    world: World, tmp_path: Path
):
    world.agent("triage")
    world.commit()
    other = World(world.url, world.name, tmp_path / "other")
    other.start("stage")
    other.agent("billing")
    other.commit()
    sources = sources_of(world, other)
    async with living(world, tmp_path, sources=sources) as life:
        (told,) = await life.until(lambda: life.events("failure"))
        assert "is left out: Project" in told
        assert "owns the same agents, by endpoint and owner" in told
        events, _ = await life.service.deps.store.events(type="failure")
        assert "`spec.owner`" in events[0].hint
        rows, _ = await life.service.deps.store.projects()
        (runs,) = rows
        await life.health("in-sync", runs.name)
        for _ in range(2):
            await life.ran(runs.name)
        left, mine = ("prod", other) if runs.name == "stage" else ("stage", world)
        assert world.names() == ["billing" if mine is other else "triage"]
        loser, name = (world, "agents") if left == "prod" else (other, "others")
        loser.project(left, owner="git.example.com/team/agents#another")
        loser.commit()
        await life.service.deps.engine.trigger(f"source/{name}", "webhook")
        await life.until(lambda: world.names() == ["billing", "triage"])
        await life.health("in-sync", left)


@pytest.mark.rule("D1")
async def test_a_project_that_is_left_out_wakes_no_other_at_each_look(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    other = World(world.url, world.name, tmp_path / "other")
    other.start("stage", resources=["agents/*.yaml"])
    other.project("test", owner="git.example.com/team/agents#test", resources=["test/*.yaml"])
    other.write("test/billing.yaml", manifest("Agent", "billing", {"definition": prompt()}))
    other.agent("sales")
    other.commit()
    sources = sources_of(world, other)
    async with living(world, tmp_path, sources=sources[:1]) as life:
        await life.at(first)
        await life.health("in-sync")
    async with living(world, tmp_path, sources=sources) as life:
        await life.until(lambda: life.events("failure"))
        await life.health("in-sync", "test")
        before = len(await life.runs("test"))
        for _ in range(3):
            await looked_at(life, "others")
        await life.events("failure")
        assert len(await life.runs("test")) == before
        world.project(owner="git.example.com/team/agents#other")
        await life.push()
        await life.until(lambda: taken_up(life))


async def looked_at(life: Living, source: str) -> None:
    """Wait for the end of a look at the source that is asked for now."""
    fetches = life.service.deps.metrics.fetches
    count = sum(fetches.labels(source, word)._value.get() for word in ("unchanged", "fetched"))
    await life.service.deps.engine.trigger(f"source/{source}", "poll")
    await life.until(
        lambda: sum(fetches.labels(source, word)._value.get() for word in ("unchanged", "fetched")) > count
    )


async def taken_up(life: Living) -> bool:
    await looked_at(life, "others")
    row = await life.service.deps.store.project("stage")
    return row is not None and not row.removed


@pytest.mark.rule("V1")
async def test_a_force_push_back_past_a_commit_of_another_replica_is_told_at_once(
    world: World, tmp_path: Path
):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        await life.service.deps.engine.trigger("source/agents", "poll")
        deps, replicas = life.service.deps, []
        for name in ("one", "two"):
            environ = {"RECONCILER_CACHE": str(tmp_path / name)}
            checkouts = Checkouts(read(environ), environ)
            checkouts.configure(deps.configured.current)
            replicas.append(SourceTurns(deps, checkouts))
        turn = Turn("source/agents", ("webhook",))
        await replicas[0].turn(turn)
        world.agent("triage", prompt("Answer at length."))
        second = world.commit()
        await replicas[1].turn(turn)
        await life.at(second)
        world.git("reset", "-q", "--hard", first)
        await replicas[0].turn(turn)
        assert (await life.project()).wanted == first
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        await life.at(first)
        await idle(life)


async def test_a_source_that_is_dropped_in_the_middle_of_a_run_ends_it_in_order(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    environ = {"RECONCILER_CACHE": str(tmp_path / "cache")}
    checkouts = Checkouts(read(environ), environ)
    checkouts.configure(config_of(world, tmp_path))
    await checkouts.read("agents", first)
    checkouts.configure(config_of(world, tmp_path, source={"name": "others"}))
    with pytest.raises(SourceError, match="source agents is not watched any more") as told:
        checkouts.asked_s_ago("agents")
    assert "configuration" in told.value.hint


@pytest.mark.rule("R5")
async def test_traffic_that_somebody_moves_back_by_hand_stays_there(world: World, tmp_path: Path):
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await two_versions(life)
        await life.ran()
        world.select("triage", v1=100)
        for _ in range(3):
            await life.ran()
        assert world.traffic("triage") == [("1", 100)]
        assert "moving traffic of 1 agent back" in (await life.health("drifted")).asks
    async with living(world, tmp_path) as life:
        await life.until(lambda: life.events("drift"))
        await life.ran()
        assert world.traffic("triage") == [("1", 100)], "also after a restart"
        await life.health("drifted")
        await life.approve()
        await life.until(lambda: world.traffic("triage") == [("2", 100)])
        await idle(life)


@pytest.mark.rule("R3", "R5")
async def test_a_release_that_a_restart_cut_off_is_finished(world: World, tmp_path: Path):
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await two_versions(life)
        await life.ran()
        world.settings(provisioning={"delay_s": 2})
        world.agent("triage", hosted("registry.example.com/triage:3.0"))
        await life.at(await life.push())
        await life.until(lambda: world.numbers("triage")[0] == "3")
    async with living(world, tmp_path) as life:
        await life.until(lambda: world.traffic("triage") == [("3", 100)])
        await idle(life)


@pytest.mark.rule("P5", "P7")
async def test_a_write_without_an_answer_is_not_sent_again_once_nothing_may_be_written(
    world: World, tmp_path: Path
):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        fault = {"match": {"method": "POST"}, "action": {"status": 503}, "times": 1}
        world.own("PUT", "faults", [fault])
        world.forget()
        world.agent("triage", prompt("Answer at length."))
        second = await life.push()
        await life.until(lambda: world.writes())
        # For five seconds it is looked for what became of the first one.
        await asyncio.sleep(3.5)
        await life.service.deps.store.suspend(Suspension("prod", "ada", "freeze", time.time()))
        await life.service.deps.engine.trigger("project/prod", "suspended by ada")
        await life.at(second)
        await life.health("observed")
        assert world.writes() == ["POST /agents/triage/versions"]


async def test_a_moment_without_the_store_is_no_failure_of_a_project(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        called = fails_once(life.service.deps.store, "pins")
        world.agent("triage", prompt("Answer at length."))
        second = await life.push()
        await life.until(lambda: bool(called))
        await life.at(second)
        await life.health("in-sync")
        assert await life.events("failure") == []
        assert await life.events("recovery") == []


async def test_a_run_ends_although_a_look_at_the_store_beside_it_does_not_hear_that_it_shall(
    world: World, tmp_path: Path
):
    """A pool of connections that frees one in the very moment of a cancellation swallows that."""
    world.agent("triage")
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        store, looked = life.service.deps.store, list[str]()
        look = store.suspension

        async def deaf(project: str) -> Suspension | None:
            if looked:
                return await look(project)
            looked.append(project)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            return None

        world.forget()
        world.settings(latency_s=1)
        world.agent("triage", prompt("Answer at length."))
        commit = await life.push()
        await life.until(world.writes)
        object.__setattr__(store, "suspension", deaf)
        await life.sync()
        await life.until(lambda: bool(looked), within_s=2)
        world.settings(latency_s=0)
        await life.at(commit, within_s=5)
        await life.health("in-sync")
        await idle(life)


@pytest.mark.rule("I4")
async def test_a_project_that_the_configuration_no_longer_names_says_so(world: World, tmp_path: Path):
    world.agent("triage")
    world.project("other", endpoint=f"{world.endpoint}-o", owner="o")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
    async with living(world, tmp_path, source={"projects": ["other"]}) as life:

        async def gone() -> bool:
            return (await life.project()).removed

        await life.until(gone)
        assert "`projects`" in (await life.project()).reason
        (told,) = await life.events("project-removed")
        assert "`projects`" in told
        assert world.names() == ["triage"]


@pytest.mark.rule("D1", "M4")
async def test_a_project_that_counts_anothers_agents_as_its_own_is_left_out_while_that_one_is_there(
    world: World, tmp_path: Path
):
    world.agent("triage")
    first = world.commit()
    other = World(world.url, world.name, tmp_path / "other")
    other.start(
        "new", owner="git.example.com/team/new#new", owner_aliases=["git.example.com/team/agents#prod"]
    )
    other.agent("billing", prompt("Answer at length."))
    other.commit()
    sources = sources_of(world, other)
    async with living(world, tmp_path, sources=sources[:1]) as life:
        await life.at(first)
        await life.health("in-sync")
    async with living(world, tmp_path, sources=sources) as life:
        (told,) = await life.until(lambda: life.events("failure"))
        assert "Project new of source others is left out" in told
        await life.ran()
        assert world.names() == ["triage"]
    async with living(world, tmp_path, sources=sources[1:]) as life:
        await life.health("in-sync", "new")
        assert world.names() == ["billing"], "taken over"
