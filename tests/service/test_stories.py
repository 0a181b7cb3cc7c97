"""Stories of the service: what a push, an edit, an outage and a person come to. Each ends with nothing to do.

The service runs in the test's process over real HTTP; the repository is a real one, and so is the store.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from pathlib import Path

import pytest
import structlog.testing

from reconciler.service.records import Approved, Pin, Suspension
from tests.service.living import living
from tests.source.repos import black_hole, git_server
from tests.world import World, hosted, prompt

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


async def idle(life) -> None:
    """A manual sync finds nothing to do and writes nothing."""
    await life.health("in-sync")
    life.world.forget()
    before = (await life.project()).last_run_at
    await life.sync()

    async def ran() -> bool:
        return (await life.project()).last_run_at > before

    await life.until(ran)
    assert life.world.writes() == []
    await asyncio.to_thread(life.world.in_sync)


async def test_a_push_becomes_live_agents_and_the_next_run_finds_nothing(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        await life.health("in-sync")
        assert world.names() == ["triage"]
        world.agent("triage", prompt("Answer at length."))
        bound = [structlog.contextvars.merge_contextvars]
        with structlog.testing.capture_logs(processors=bound) as lines:
            second = await life.push()
            await life.at(second)
        await life.health("in-sync")
        assert world.numbers("triage") == ["2", "1"]
        (step,) = [line for line in lines if line["event"] == "step_applied"]
        assert (step["key"], step["step"], step["version"]) == ("prod/Agent/triage", "add-version", "2")
        assert step["run"] == (await life.runs())[0].id
        assert [run.result for run in await life.runs()] == ["applied", "applied"]
        await idle(life)


async def test_an_edit_in_the_portal_is_reported_and_taken_back(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        world.edit("triage", instructions="Be rude.")
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        assert world.numbers("triage") == ["2", "1"], "the version that Git wants is there already"
        drift = await life.until(lambda: life.events("drift"))
        assert drift == ["Agent/triage was changed by somebody else"]
        await idle(life)


async def test_a_removed_manifest_deletes_its_agent(world: World, tmp_path: Path):
    world.agent("triage")
    world.agent("billing")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        world.remove("agents/billing.yaml")
        second = await life.push()
        await life.at(second)
        assert world.names() == ["triage"]
        rows, total = await life.service.deps.store.resources("prod")
        assert [row.resource for row in rows] == ["Agent/triage"]
        assert total == 1
        await idle(life)


async def test_soon_after_a_run_that_wrote_the_rows_show_what_serves(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)

        async def shown() -> bool:
            (row,), _ = await life.service.deps.store.resources("prod")
            return (row.serving, row.latest, row.action, row.reason) == ("1", "1", "none", "equal")

        await life.until(shown)
        assert len(await life.runs()) == 1, "a look that finds nothing is no history"


@pytest.mark.rule("I1", "V2")
async def test_a_broken_push_writes_nothing_and_drift_is_still_reported(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        assert await life.events("applied") == [f"applied {first[:12]}: 1 added"]
        world.write("agents/triage.yaml", "apiVersion: reconciler/v1\nkind: Agent\nspec: {oops\n")
        with structlog.testing.capture_logs() as lines:
            broken = await life.push()
            await life.health("failed")
        ended = [line for line in lines if line["event"] == "run_ended"]
        assert ended[-1]["log_level"] == "warning"
        assert "agents/triage.yaml:4:1" in ended[-1]["reason"]
        world.forget()

        async def told() -> bool:
            row = await life.project()
            return row.wanted == broken and "problem" in row.reason

        await life.until(told)
        row = await life.health("failed")
        good_at = row.last_good_at
        assert row.revision == first
        assert first[:12] in row.reason
        assert [(one["type"], one["reason"]) for one in row.conditions] == [("Ready", "Failed")]
        assert "agents/triage.yaml:4:1" in row.reason, "the first problem is told with its place"
        assert ("failure", True) in [
            (event.type, "agents/triage.yaml:4:1" in event.message and bool(event.hint))
            for event in (await life.service.deps.store.events())[0]
        ]
        world.edit("triage", instructions="Be rude.")
        await life.sync()
        await life.until(lambda: life.events("drift"))
        row = await life.project()
        assert (row.health, row.last_good_at) == ("failed", good_at), "what Git says is not what is live"
        assert [line for line in world.writes() if "DELETE" in line] == []
        assert world.numbers("triage") == ["2", "1"], "nothing but the edit was made"
        world.agent("triage")
        await life.push("Repair")
        await life.health("in-sync")
        await idle(life)


@pytest.mark.rule("V2")
async def test_a_source_that_cannot_be_fetched_keeps_the_state_and_deletes_nothing(
    world: World, tmp_path: Path
):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        away = world.repo.with_name("away")
        shutil.move(world.repo, away)
        await life.service.deps.engine.trigger("source/agents", "webhook")

        async def stale() -> bool:
            source = await life.service.deps.store.source("agents")
            return bool(source and source.error and source.stale_since)

        await life.until(stale)
        world.edit("triage", instructions="Be rude.")
        world.forget()
        await life.sync()
        row = await life.health("drifted")
        assert "source cannot be read" in row.reason
        assert world.writes() == []
        assert world.names() == ["triage"]
        shutil.move(away, world.repo)
        await life.service.deps.engine.trigger("source/agents", "webhook")
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        await life.health("in-sync")
        assert await life.events("source-recovered") == ["source agents can be read again"]
        await idle(life)


async def test_a_source_that_failed_is_looked_at_again_before_its_interval(world: World, tmp_path: Path):
    """Whoever has webhooks polls once an hour: a webhook that meets an outage must not wait for that."""
    world.agent("triage")
    world.commit()
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
    source = {"url": f"http://127.0.0.1:{port}/{world.repo.name}"}
    async with living(world, tmp_path, source=source, backoff={"first": "1s"}) as life:
        assert "cannot read" in (await life.until(lambda: life.events("source-stale")))[0]

        with git_server(world.repo.parent, port=port):
            await life.until(lambda: world.names() == ["triage"])
            assert await life.events("source-recovered") == ["source agents can be read again"]
            await idle(life)


async def test_a_git_server_that_hangs_holds_up_nobody_else(world: World, tmp_path: Path):
    world.agent("triage")
    world.commit()
    with black_hole() as url:
        limits = {"timeout": "6s"}
        hanging = [{"name": f"hangs-{n}", "url": f"{url}/{n}", "limits": limits} for n in range(9)]
        async with living(world, tmp_path, more_sources=hanging) as life:
            await life.health("in-sync", within_s=4)
            world.agent("other")
            await life.at(await life.push(), within_s=4)
            await idle(life)


@pytest.mark.rule("V3")
async def test_a_suspended_project_is_looked_at_and_not_written(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        store = life.service.deps.store
        await store.suspend(Suspension("prod", "ada", "release freeze", time.time()))
        world.agent("triage", prompt("Answer at length."))
        second = await life.push()
        row = await life.health("observed")
        assert row.reason == "suspended by ada: release freeze"
        assert row.revision == second
        assert world.numbers("triage") == ["1"]
        await store.resume("prod")
        await life.sync()
        await life.until(lambda: world.numbers("triage") == ["2", "1"])
        await idle(life)


@pytest.mark.rule("R5", "V3")
async def test_a_rollback_holds_until_it_expires(world: World, tmp_path: Path):
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        world.agent("triage", hosted("registry.example.com/triage:2.0"))
        second = await life.push()
        await life.at(second)
        await life.until(lambda: world.traffic("triage") == [("2", 100)])
        now = time.time()
        pin = Pin("prod", "Agent/triage", "1", "ada", "errors", now, now + 3600, second)
        await life.service.deps.store.put_pin(pin)
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        await life.health("in-sync")
        for _ in range(2):
            await life.sync()
            await asyncio.sleep(0.2)
        assert world.traffic("triage") == [("1", 100)]
        await life.service.deps.store.put_pin(
            Pin("prod", "Agent/triage", "1", "ada", "errors", now, now - 1, second)
        )
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("2", 100)])
        await life.sync()
        await life.until(lambda: life.events("pin-expired"))
        assert await life.service.deps.store.pins("prod") == ()
        await idle(life)


async def test_a_rollback_ends_at_its_moment_and_not_at_the_next_look(world: World, tmp_path: Path):
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        world.agent("triage", hosted("registry.example.com/triage:2.0"))
        second = await life.push()
        await life.at(second)
        await life.until(lambda: world.traffic("triage") == [("2", 100)])
        now = time.time()
        await life.service.deps.store.put_pin(
            Pin("prod", "Agent/triage", "1", "ada", "errors", now, now + 7, second)
        )
        await life.sync()
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        await life.until(lambda: world.traffic("triage") == [("2", 100)])
        assert 7 <= time.time() - now < 11, "the Project is looked at every five minutes"
        await idle(life)


@pytest.mark.rule("V1")
async def test_the_newest_commit_ends_the_wait_for_an_older_one(world: World, tmp_path: Path):
    world.settings(provisioning={"delay_s": 4})
    world.agent("triage", hosted())
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.until(lambda: world.live("triage"))
        assert (await life.at(first)).health == "waiting"
        world.agent("quick", prompt())
        world.agent("triage", hosted("registry.example.com/triage:2.0"))
        second = await life.push()
        started = time.monotonic()
        await life.until(lambda: world.live("quick"))
        assert time.monotonic() - started < 1.5
        await life.at(second)
        await life.health("in-sync")
        assert world.numbers("triage") == ["2", "1"]
        await idle(life)


@pytest.mark.rule("D2", "V4")
async def test_deletions_beyond_the_limit_wait_for_an_approval_of_exactly_that_plan(
    world: World, tmp_path: Path
):
    for number in range(8):
        world.agent(f"agent-{number}")
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        world.remove(*(f"agents/agent-{number}.yaml" for number in range(7)))
        await life.push()
        row = await life.health("refused")
        assert row.asks == "deletions beyond the limit"
        assert len(world.names()) == 8
        store, now = life.service.deps.store, time.time()
        await store.approve(Approved("prod", "of another plan", "ada", "", now, now + 60))
        await life.sync()
        await life.until(lambda: taken(life))
        assert len(world.names()) == 8
        await life.until(lambda: told(life, "what ada approved is not the plan any more"))
        await life.approve()
        await life.until(lambda: world.names() == ["agent-7"])
        await idle(life)


async def told(life, words: str) -> bool:
    return any(words in message for message in await life.events("refused"))


async def taken(life) -> bool:
    """Whether the approval was looked at; it is good for one run only."""
    return await life.service.deps.store.approved("prod") is None


async def test_a_project_that_only_observes_reports_and_writes_nothing(world: World, tmp_path: Path):
    world.project(sync={"mode": "observe"})
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        row = await life.health("observed")
        assert row.asks == "1 change of a Project that only observes"
        assert world.names() == []
        world.agent("triage", prompt("Answer at length."))
        second = await life.push()
        row = await life.at(second)
        assert row.asks == "1 change of a Project that only observes"
        await life.approve()
        await life.until(lambda: world.names() == ["triage"])
        await idle(life)


async def test_a_project_that_fails_delays_no_other_and_recovers(world: World, tmp_path: Path):
    world.agent("triage")
    world.project("broken", endpoint="http://127.0.0.1:9/api/projects/none", owner="git.example.com/b#x")
    first = world.commit()
    async with living(world, tmp_path, backoff={"first": "1s", "longest": "2s"}) as life:
        await life.at(first)
        await life.health("in-sync")
        row = await life.health("failed", "broken", within_s=60)
        assert "cannot" in row.reason
        assert row.failures >= 1
        world.agent("triage", prompt("Answer at length."))
        second = await life.push()
        started = time.monotonic()
        await life.until(lambda: world.numbers("triage") == ["2", "1"])
        assert time.monotonic() - started < 2
        assert await life.events("failure")
        world.project("broken", endpoint=f"{world.url}/api/projects/{world.name}-b", owner="b")
        third = await life.push()
        await life.at(third, "broken")
        await life.health("in-sync", "broken")
        assert (await life.project("broken")).failures == 0
        assert second != third


@pytest.mark.rule("I4")
async def test_removing_a_project_file_deletes_nothing(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        world.project("other", endpoint=f"{world.url}/api/projects/{world.name}-o", owner="o")
        world.remove("prod.yaml")
        await life.push()
        await life.until(lambda: removed(life))
        assert world.names() == ["triage"]
        assert await life.events("project-removed") == [
            "Project prod is gone from its source; its agents stay as they are"
        ]


async def removed(life) -> bool:
    return (await life.project()).removed


@pytest.mark.rule("R4")
async def test_a_version_that_fails_to_start_is_told_with_its_remedy(world: World, tmp_path: Path):
    world.agent("triage", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        world.settings(
            provisioning={"delay_s": 0.1, "outcome": "failed", "error": {"code": "image_pull_failed"}}
        )
        world.agent("triage", hosted("registry.example.com/triage:oops"))
        await life.push()
        await life.health("failed")
        row = await life.service.deps.store.resource("prod", "Agent/triage")
        assert row is not None
        assert row.health == "failed"
        assert "image_pull_failed" in str(row.detail)
        assert world.traffic("triage") == [("1", 100)]
        world.forget()
        await life.sync()
        await asyncio.sleep(0.5)
        assert world.writes() == [], "a failed version is not made again until its manifest changes"


@pytest.mark.rule("P3")
async def test_a_force_push_back_to_an_older_commit_is_what_git_wants(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        world.agent("triage", prompt("Answer at length."))
        second = await life.push()
        await life.at(second)
        await life.until(lambda: world.numbers("triage") == ["2", "1"])
        world.git("reset", "-q", "--hard", first)
        await life.service.deps.engine.trigger("source/agents", "webhook")
        await life.until(lambda: world.traffic("triage") == [("1", 100)])
        await life.at(first)
        await life.health("in-sync")
        assert world.numbers("triage") == ["2", "1"]


async def test_a_deleted_branch_keeps_the_last_state_and_says_so(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        world.git("checkout", "-q", "-b", "other")
        world.git("branch", "-q", "-D", "main")
        await life.service.deps.engine.trigger("source/agents", "webhook")
        stale = await life.until(lambda: life.events("source-stale"))
        assert "main" in stale[0]
        assert world.names() == ["triage"]
        world.git("branch", "-q", "main")
        await life.service.deps.engine.trigger("source/agents", "webhook")
        await life.until(lambda: life.events("source-recovered"))
        await idle(life)


@pytest.mark.rule("W1")
async def test_a_closed_window_holds_every_write_but_those_that_a_person_asks_for(
    world: World, tmp_path: Path
):
    opening = time.gmtime(time.time() - 120)
    windows = [{"kind": "deny", "cron": f"{opening.tm_min} {opening.tm_hour} * * *", "duration": "1h"}]
    world.project(sync={"windows": [windows[0] | {"manual": True}]})
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        row = await life.health("observed")
        assert "window" in row.reason
        assert row.next_at <= time.time() + 331
        assert world.names() == []
        await life.sync()
        await life.until(lambda: world.names() == ["triage"])
        await life.health("in-sync")


@pytest.mark.rule("I1")
async def test_after_a_restart_drift_is_reported_against_the_last_good_commit(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        world.write("agents/triage.yaml", "apiVersion: reconciler/v1\nkind: Agent\nspec: {oops\n")
        await life.push()
        await life.until(lambda: broken(life))
    world.edit("triage", instructions="Be rude.")
    async with living(world, tmp_path) as life:
        await life.sync()
        await life.until(lambda: life.events("drift"))
        row = await life.health("failed")
        assert first[:12] in row.reason
        assert world.numbers("triage") == ["2", "1"]
        assert world.traffic("triage") == []


async def broken(life) -> bool:
    return "problem" in (await life.project()).reason


@pytest.mark.rule("P7")
async def test_a_stop_ends_a_run_before_its_next_write_and_the_next_start_goes_on(
    world: World, tmp_path: Path
):
    world.settings(latency_s=0.15)
    for number in range(40):
        world.agent(f"agent-{number:02}")
    world.commit()
    started = 0.0
    async with living(world, tmp_path, limits={"reconciles": 2}) as life:
        await life.until(lambda: world.names(), within_s=30)
        started = time.monotonic()
    assert time.monotonic() - started < 6
    made = len(world.names())
    world.settings(latency_s=0)
    async with living(world, tmp_path) as life:
        await life.until(lambda: len(world.names()) == 40)
        await life.health("in-sync")
        assert {number for name in world.names() for number in world.numbers(name)} == {"1"}
        assert made <= 40
        await idle(life)


async def test_a_source_that_is_taken_off_the_list_leaves_its_agents_alone(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
    world.forget()
    async with living(world, tmp_path, source={"name": "others", "projects": ["none"]}) as life:
        await life.until(lambda: removed(life))
        assert (await life.project()).reason == "its source is not watched"
        assert world.writes() == []
        assert world.names() == ["triage"]


async def test_a_release_over_several_turns_is_applied_once(world: World, tmp_path: Path):
    world.agent("desk", hosted())
    world.commit()
    async with living(world, tmp_path) as life:
        await life.health("in-sync")
        world.agent("desk", hosted("registry.example.com/triage:2.0"))
        second = await life.push()
        await life.until(lambda: world.traffic("desk") == [("2", 100)])
        await life.at(second)
        await life.health("in-sync")
        applied = await life.until(lambda: told_of(life, second))
        assert applied == [f"applied {second[:12]}: 1 changed"]
        assert next(iter(await life.runs())).result == "applied"
        await idle(life)


async def told_of(life, commit: str) -> list[str]:
    return [line for line in await life.events("applied") if commit[:12] in line]


async def test_a_refused_configuration_changes_nothing_and_is_told(world: World, tmp_path: Path):
    world.agent("triage")
    first = world.commit()
    async with living(world, tmp_path) as life:
        await life.at(first)
        path = tmp_path / "service.yaml"
        good = path.read_text()
        path.write_text(good.replace('"interval"', '"intervall"'))
        refused = await life.until(lambda: life.events("config-rejected"))
        assert "intervall" in refused[0]
        assert life.service.deps.configured.rejected
        path.write_text(good)
        await life.until(lambda: life.events("config-reloaded"))
        assert not life.service.deps.configured.rejected
        await idle(life)
