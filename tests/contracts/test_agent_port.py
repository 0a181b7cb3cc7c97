"""The agent port against the sandbox: every call does what it says, once, and can be found out by reading."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from reconciler.errors import Conflict, ServiceBroken, ServiceError, ServiceUnreachable
from reconciler.foundry.agents import AgentPort
from reconciler.foundry.pipeline import open_pipe
from reconciler.kinds.agent.calls import (
    AddVersion,
    AgentCall,
    AwaitActive,
    DeleteAgent,
    Disable,
    Enable,
    MoveTraffic,
    PatchDetails,
    RemoveFailed,
    RetireVersion,
)
from reconciler.mark import MARK_KEY, decode, encode
from reconciler.resource import Code, Done, Health, Key, Live, Mark
from tests.world import World, hosted, prompt

KEY = Key("prod", "Agent", "triage")
OWNER = "git.example.com/team/agents#prod"
OWNERS = frozenset({OWNER})
CODE = Code("code/triage", "tree")
CODED = {
    "kind": "hosted",
    "cpu": "1",
    "memory": "2Gi",
    "code_configuration": {
        "runtime": "python_3_13",
        "entry_point": ["python", "main.py"],
        "dependency_resolution": "bundled",
        "content_hash": "stale, and the service computes its own",
    },
}
CARD = {"version": "1.0.0", "skills": []}


def zipped(code: Code) -> bytes:
    """A code zip, the same bytes each time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("main.py"), "print('ready')\n")
    return content.getvalue()


def mark(base: str = "0", **more: Any) -> Mark:
    return Mark(OWNER, KEY.local, "1:00", base, commit="c0ffee", **more)


def add(base: str = "0", definition: dict[str, Any] | None = None, **form: Any) -> AddVersion:
    """A create on top of the version `base`; each base gets its own words, so that it is a new version."""
    made = definition or prompt(f"Version after {base}.")
    return AddVersion({"definition": made, **form}, mark(base))


@pytest.fixture
async def port(bare_world: World) -> AsyncIterator[AgentPort]:
    async with open_pipe(bare_world.endpoint, repeats=1) as pipe:
        yield AgentPort(pipe, "prod", zipped)


async def live(port: AgentPort) -> Live:
    found = await port.read(KEY.name)
    assert found is not None
    return found


async def versions(port: AgentPort) -> dict[str, Health]:
    found = await port.deepen(await live(port), None)
    return {version.number: version.health for version in found.known}


async def made(port: AgentPort, count: int) -> None:
    """An agent with so many versions of ours, the last of which serves by default."""
    for base in range(count):
        assert (await port.do(KEY, add(str(base)))).outcome == "created"


def at_once(world: World, outcome: str = "active", **more: Any) -> None:
    world.settings(provisioning={"delay_s": 0, "outcome": outcome, **more})


# Every call: not settled before, done, settled after


@dataclass(frozen=True)
class Story:
    """A call on an agent with `versions` versions, its outcome, and the one of doing it again."""

    call: AgentCall
    outcome: str
    again: str
    versions: int = 2
    before: Callable[[World], None] = lambda world: None
    kept: bool = True


STORIES = {
    "create": Story(add(), "created", "created", versions=0),
    "create-a-version": Story(add("2"), "created", "created"),
    "create-from-code": Story(
        AddVersion({"definition": CODED}, mark("0"), CODE), "created", "created", versions=0
    ),
    "move-traffic": Story(MoveTraffic("1"), "moved", "moved"),
    "pin-traffic": Story(MoveTraffic("2", pin=True), "moved", "moved"),
    "set-the-card": Story(PatchDetails({"agent_card": CARD}), "updated", "updated"),
    "remove-the-card": Story(
        PatchDetails({"agent_card": None}),
        "updated",
        "updated",
        before=lambda world: world.call("PATCH", "/agents/triage", {"agent_card": CARD}),
    ),
    "set-the-protocols": Story(
        PatchDetails({"agent_endpoint": {"protocol_configuration": {"a2a": {}}}}), "updated", "updated"
    ),
    "disable": Story(Disable(), "disabled", "disabled"),
    "enable": Story(
        Enable(),
        "enabled",
        "enabled",
        before=lambda world: world.call("POST", "/agents/triage:disable"),
    ),
    "retire-a-version": Story(RetireVersion("1"), "deleted", "unchanged"),
    "delete": Story(DeleteAgent(owners=OWNERS), "deleted", "unchanged", kept=False),
}


@pytest.mark.parametrize("story", [pytest.param(story, id=name) for name, story in STORIES.items()])
@pytest.mark.rule("P5")
async def test_what_is_done_is_settled_and_was_not_before(story, port, bare_world):
    await made(port, story.versions)
    bare_world.settings(dedupe={"prompt": "latest-definition"})
    story.before(bare_world)

    assert await port.settled(KEY, story.call) is None
    done = await port.do(KEY, story.call)
    settled = await port.settled(KEY, story.call)

    assert done.outcome == story.outcome
    assert settled is not None
    # A note tells how it came about; what happened, where, and its outputs are the same.
    assert replace(settled, note="") == replace(done, note="")
    assert (await port.read(KEY.name) is not None) is story.kept


@pytest.mark.parametrize("story", [pytest.param(story, id=name) for name, story in STORIES.items()])
async def test_doing_it_twice_changes_nothing_more(story, port, bare_world):
    await made(port, story.versions)
    bare_world.settings(dedupe={"prompt": "latest-definition"})
    story.before(bare_world)
    await port.do(KEY, story.call)
    once = bare_world.live(KEY.name)

    again = await port.do(KEY, story.call)

    assert again.outcome == story.again
    assert bare_world.live(KEY.name) == once


@pytest.mark.parametrize("story", [pytest.param(story, id=name) for name, story in STORIES.items()])
@pytest.mark.parametrize(
    ("action", "error"),
    [
        pytest.param({"status": 503, "after_commit": True}, ServiceBroken, id="503"),
        pytest.param({"drop": True, "after_commit": True}, ServiceUnreachable, id="lost"),
    ],
)
@pytest.mark.rule("P5")
async def test_a_write_whose_answer_is_lost_is_sent_once_and_found_by_reading(
    story, action, error, port, bare_world
):
    await made(port, story.versions)
    story.before(bare_world)
    bare_world.forget()
    for method in ("POST", "PATCH", "DELETE"):
        lose(bare_world, method, action)

    with pytest.raises(error):
        await port.do(KEY, story.call)

    assert len(bare_world.writes()) == 1
    settled = await port.settled(KEY, story.call)
    assert settled is not None
    assert settled.outcome == story.outcome


def lose(world: World, method: str, action: dict[str, Any]) -> None:
    """Every answer to this method is lost after its commit."""
    rules = world.own("GET", "faults")["rules"]
    world.own("PUT", "faults", [*rules, {"match": {"method": method}, "action": action}])


# Creating


async def test_a_create_sends_the_form_with_the_mark(port, bare_world):
    form = {"definition": prompt(), "description": "Sorts mail", "metadata": {"team": "support"}}
    call = AddVersion(form, mark(file="agents/triage.yaml"))

    assert await port.do(KEY, call) == Done("created", "1", outputs={"version": "1", "id": "triage:1"})

    latest = (await live(port)).latest
    assert latest is not None
    assert (latest.form, latest.mark) == (form, call.mark)


async def test_a_code_upload_carries_the_zip_and_its_hash_and_not_the_stale_one(port):
    done = await port.do(KEY, STORIES["create-from-code"].call)

    latest = (await live(port)).latest
    assert latest is not None
    assert latest.mark is not None
    content = zipped(CODE)
    assert latest.mark.code_sha256 == hashlib.sha256(content).hexdigest()
    assert "stale" not in latest.form["definition"]["code_configuration"]["content_hash"]
    assert await port.download_code(KEY.name, done.version) == content


@pytest.mark.rule("P5")
async def test_a_refused_upload_is_sent_again_whole(port, bare_world):
    rule = {"match": {"method": "POST"}, "times": 1, "action": {"status": 429}}
    bare_world.own("PUT", "faults", [rule])

    assert (await port.do(KEY, STORIES["create-from-code"].call)).outcome == "created"

    assert await port.download_code(KEY.name, "1") == zipped(CODE)


async def test_previews_are_asked_for_when_they_are_written(port):
    workflow = {"kind": "workflow", "workflow": "kind: workflow\n"}
    assert (await port.do(KEY, add(definition=workflow))).outcome == "created"


@pytest.mark.rule("P6")
async def test_a_create_that_met_its_twin_uses_the_lower_version(port):
    assert (await port.do(KEY, add())).version == "1"

    done = await port.do(KEY, add())

    assert (done.outcome, done.version, done.reason) == ("unchanged", "1", "Raced")
    assert done.outputs == {"version": "1", "id": "triage:1"}


@pytest.mark.rule("P6")
async def test_a_create_that_met_somebody_else_says_so(port, bare_world):
    bare_world.call("POST", "/agents/triage/versions", {"definition": prompt("Theirs.")})

    done = await port.do(KEY, add())

    assert (done.outcome, done.version, done.reason) == ("pending", "2", "Superseded")
    assert "/definition/instructions" in done.note


@pytest.mark.rule("C5")
async def test_a_create_that_the_service_took_for_nothing_new_is_not_created(port, bare_world):
    await made(port, 1)
    bare_world.settings(dedupe={"prompt": "latest-definition"})
    same = AddVersion({"definition": prompt("Version after 0."), "description": "New words"}, mark("1"))

    done = await port.do(KEY, same)

    assert (done.outcome, done.version, done.reason) == ("unchanged", "1", "NotTaken")
    assert "/description" in done.note


async def test_a_create_of_somebody_else_does_not_settle_ours(port, bare_world):
    bare_world.call("POST", "/agents/triage/versions", {"definition": prompt("Version after 0.")})

    assert await port.settled(KEY, add()) is None


async def test_a_mark_that_was_shortened_is_still_ours(port, bare_world):
    long = AddVersion(
        {"definition": prompt()},
        replace(mark(), owner="o" * 300, file="agents/" + "f" * 200, pinned="6:90,7:10"),
    )
    await port.do(KEY, long)

    sent = bare_world.live(KEY.name)["versions"]["latest"]["metadata"][MARK_KEY]
    assert decode(sent) != long.mark
    settled = await port.settled(KEY, long)
    assert settled is not None
    assert settled.outcome == "created"


@pytest.mark.rule("P5")
async def test_somebody_elses_conflict_is_one_and_sent_once(port, bare_world):
    bare_world.own("PUT", "faults", [{"match": {"method": "POST"}, "action": {"status": 409}}])

    with pytest.raises(Conflict):
        await port.do(KEY, add())

    assert len(bare_world.writes()) == 1


@pytest.mark.parametrize("body", [[], {}, {"version": 7}], ids=["list", "empty", "wrong-types"])
async def test_an_odd_answer_to_a_create_leaves_its_outcome_open(body, port, bare_world):
    action = {"status": 200, "body": body, "after_commit": True}
    bare_world.own("PUT", "faults", [{"match": {"method": "POST"}, "action": action}])

    with pytest.raises(ServiceUnreachable):
        await port.do(KEY, add())

    settled = await port.settled(KEY, add())
    assert settled is not None
    assert settled.outcome == "created"


# The gate


async def test_a_version_is_waited_for_until_it_is_active(port, bare_world):
    bare_world.settings(provisioning={"delay_s": 60})
    await port.do(KEY, add(definition=hosted()))
    pending = await port.do(KEY, AwaitActive("1"))
    at_once(bare_world)
    await port.do(KEY, add("1", hosted("registry.example.com/triage:2.0")))

    assert (pending.outcome, pending.reason) == ("pending", "Creating")
    assert (await port.do(KEY, AwaitActive("2"))).outcome == "activated"
    assert await port.settled(KEY, AwaitActive("2")) is None


@pytest.mark.rule("R4")
async def test_a_failed_version_tells_the_services_reason_and_the_remedy(port, bare_world):
    at_once(bare_world, "failed", error={"code": "AcrImageNotFound", "message": "No such tag."})
    await port.do(KEY, add(definition=hosted()))

    done = await port.do(KEY, AwaitActive("1"))

    assert (done.outcome, done.reason) == ("failed", "AcrImageNotFound")
    assert "No such tag." in done.note
    assert "Push the image" in done.hint


async def test_one_reading_of_failure_is_not_believed(port, bare_world):
    bare_world.settings(provisioning={"delay_s": 0})
    await port.do(KEY, add(definition=hosted()))
    flap = {**bare_world.call("GET", "/agents/triage/versions/1"), "status": "failed"}
    match = {"method": "GET", "path": "/agents/triage/versions/1"}
    bare_world.own("PUT", "faults", [{"match": match, "times": 1, "action": {"status": 200, "body": flap}}])

    assert (await port.do(KEY, AwaitActive("1"))).outcome == "activated"


async def test_a_version_that_is_gone_is_looked_at_again(port):
    await made(port, 1)

    done = await port.do(KEY, AwaitActive("9"))

    assert (done.outcome, done.reason) == ("pending", "VersionGone")


# Traffic


@pytest.mark.rule("R4")
async def test_traffic_never_moves_to_a_version_that_is_not_active(port, bare_world):
    at_once(bare_world)
    await port.do(KEY, add(definition=hosted()))
    at_once(bare_world, "failed")
    await port.do(KEY, add("1", hosted("registry.example.com/triage:2.0")))
    bare_world.forget()

    done = await port.do(KEY, MoveTraffic("2"))

    assert (done.outcome, done.reason) == ("skipped", "NotActive")
    assert bare_world.writes() == []


@pytest.mark.rule("C5")
async def test_traffic_that_is_ignored_is_not_moved(port, bare_world):
    await made(port, 2)
    bare_world.settings(selector={"prompt": "ignored"})

    done = await port.do(KEY, MoveTraffic("1"))

    assert (done.outcome, done.reason) == ("unchanged", "NotTaken")


async def test_traffic_that_is_refused_names_the_way_without(port, bare_world):
    await made(port, 2)
    bare_world.settings(selector={"prompt": "refused"})

    with pytest.raises(ServiceError) as caught:
        await port.do(KEY, MoveTraffic("1"))

    assert caught.value.status == 400
    assert "release.strategy: direct" in caught.value.hint


# The mutable part


@pytest.mark.parametrize("status", [200, 204])
async def test_both_answers_of_the_switch_are_success(status, port, bare_world):
    await made(port, 1)
    bare_world.settings(enable_status=status)

    assert (await port.do(KEY, Disable())).outcome == "disabled"
    assert (await port.do(KEY, Enable())).outcome == "enabled"


async def test_a_missing_agent_cannot_be_switched(port):
    with pytest.raises(ServiceError) as caught:
        await port.do(KEY, Enable())
    assert (caught.value.status, caught.value.code) == (404, "not_found")


@pytest.mark.rule("C6")
async def test_a_removed_card_is_gone(port, bare_world):
    await made(port, 1)
    await port.do(KEY, PatchDetails({"agent_card": CARD}))
    assert bare_world.live(KEY.name)["agent_card"] == CARD

    await port.do(KEY, PatchDetails({"agent_card": None}))

    assert bare_world.live(KEY.name).get("agent_card") is None


# Deleting versions


@pytest.mark.rule("R7")
@pytest.mark.parametrize(
    ("selected", "number"),
    [
        pytest.param({}, "3", id="the-latest-that-serves"),
        pytest.param({"v2": 100}, "3", id="the-latest-that-does-not"),
        pytest.param({"v2": 100}, "2", id="what-serves"),
        pytest.param({"v1": 10, "v2": 90}, "1", id="what-serves-a-share"),
    ],
)
async def test_a_version_in_use_is_never_retired(selected, number, port, bare_world):
    await made(port, 3)
    if selected:
        bare_world.select(KEY.name, **selected)

    done = await port.do(KEY, RetireVersion(number))

    assert (done.outcome, done.reason) == ("skipped", "InUse")
    assert bare_world.numbers(KEY.name) == ["3", "2", "1"]


@pytest.mark.rule("R8")
@pytest.mark.parametrize("call", [RetireVersion("3"), RemoveFailed("3")], ids=["retire", "remove-failed"])
async def test_the_only_version_is_never_deleted_whatever_its_number(call, port, bare_world):
    at_once(bare_world, "failed")
    for base in range(3):
        await port.do(KEY, add(str(base), hosted(f"registry.example.com/triage:{base}")))
    for number in ("1", "2"):
        bare_world.call("DELETE", f"/agents/triage/versions/{number}")
    identity = bare_world.live(KEY.name)["instance_identity"]

    done = await port.do(KEY, call)

    assert (done.outcome, done.reason) == ("skipped", "InUse")
    assert bare_world.live(KEY.name)["instance_identity"] == identity


@pytest.mark.rule("R4")
async def test_a_failed_latest_version_goes_when_another_serves(port, bare_world):
    await _one_good_one_failed(port, bare_world)

    assert (await port.do(KEY, RemoveFailed("2"))).outcome == "deleted"

    assert await versions(port) == {"1": Health.ACTIVE}
    assert await port.settled(KEY, RemoveFailed("2")) == Done("deleted", "2")
    assert (await port.do(KEY, RemoveFailed("2"))).outcome == "unchanged"


@pytest.mark.rule("R4")
async def test_a_version_that_came_up_after_all_is_not_removed(port, bare_world):
    at_once(bare_world)
    for base in range(2):
        await port.do(KEY, add(str(base), hosted(f"registry.example.com/triage:{base}")))
    bare_world.select(KEY.name, v1=100)

    done = await port.do(KEY, RemoveFailed("2"))

    assert (done.outcome, done.reason) == ("skipped", "InUse")
    assert bare_world.numbers(KEY.name) == ["2", "1"]


async def _one_good_one_failed(port: AgentPort, world: World) -> None:
    at_once(world)
    await port.do(KEY, add(definition=hosted()))
    world.select(KEY.name, v1=100)
    at_once(world, "failed")
    await port.do(KEY, add("1", hosted("registry.example.com/triage:2.0")))


async def test_a_version_with_sessions_stays(port, bare_world):
    at_once(bare_world)
    await port.do(KEY, add(definition=hosted()))
    _open_session(bare_world)
    await port.do(KEY, add("1", hosted("registry.example.com/triage:2.0")))

    done = await port.do(KEY, RetireVersion("1"))

    assert (done.outcome, done.reason) == ("skipped", "ActiveSessions")
    assert bare_world.numbers(KEY.name) == ["2", "1"]


def _open_session(world: World) -> None:
    world.call("POST", "/agents/triage/endpoint/sessions", {})


# Deleting agents


@pytest.mark.rule("D5")
@pytest.mark.parametrize(("force", "outcome"), [(False, "skipped"), (True, "deleted")])
async def test_sessions_end_only_by_force(force, outcome, port, bare_world):
    at_once(bare_world)
    await port.do(KEY, add(definition=hosted()))
    _open_session(bare_world)

    done = await port.do(KEY, DeleteAgent(force, OWNERS))

    assert done.outcome == outcome
    if not force:
        assert done.reason == "ActiveSessions"
        assert "--force-sessions" in done.note


@pytest.mark.rule("D1")
@pytest.mark.parametrize(
    ("edited", "delete_edited", "outcome"),
    [
        pytest.param(False, False, "deleted", id="ours"),
        pytest.param(True, False, "skipped", id="edited-by-somebody-else"),
        pytest.param(True, True, "deleted", id="edited-and-meant"),
    ],
)
async def test_only_what_carries_our_mark_is_deleted(edited, delete_edited, outcome, port, bare_world):
    await made(port, 1)
    if edited:
        bare_world.edit(KEY.name, keep_metadata=True, instructions="Edited in the portal.")

    done = await port.do(KEY, DeleteAgent(owners=OWNERS, delete_edited=delete_edited))

    assert done.outcome == outcome
    assert (bare_world.live(KEY.name) is None) is (outcome == "deleted")


@pytest.mark.rule("D1")
@pytest.mark.parametrize("delete_edited", [False, True])
async def test_what_never_was_ours_is_not_deleted(delete_edited, port, bare_world):
    theirs = {MARK_KEY: encode(replace(mark(), owner="git.example.com/other#prod"))}
    bare_world.call("POST", "/agents/triage/versions", {"definition": prompt(), "metadata": theirs})

    done = await port.do(KEY, DeleteAgent(owners=OWNERS, delete_edited=delete_edited))

    assert (done.outcome, done.reason) == ("skipped", "NotOurs")
    assert bare_world.live(KEY.name) is not None


# Reading


async def test_a_list_that_runs_late_is_not_what_single_reads_see(port, bare_world):
    bare_world.settings(list_lag_s=60)
    await made(port, 1)

    assert [found.key.name async for found in port.list()] == []
    assert (await live(port)).latest is not None
    settled = await port.settled(KEY, add())
    assert settled is not None


@pytest.mark.rule("P5")
async def test_an_unseen_version_behind_a_late_list_is_not_settled_by_guessing(port, bare_world):
    await made(port, 1)
    bare_world.edit(KEY.name, instructions="Theirs, on top of ours.")

    settled = await port.settled(KEY, add())

    assert settled is not None
    assert settled.version == "1"


async def test_every_page_is_read(port, bare_world):
    bare_world.settings(page_size_cap=3)
    bare_world.seed(*({"name": f"a{number:02}", "definition": prompt()} for number in range(10)))

    assert sorted([found.key.name async for found in port.list()]) == [f"a{n:02}" for n in range(10)]


async def test_where_a_version_is_gone_all_that_are_left_are_read(port, bare_world):
    """Asked for once more it would be gone again, and what is left would never be read."""
    await made(port, 3)
    bare_world.call("DELETE", "/agents/triage/versions/1")

    found = await port.deepen(await live(port), ("1",))

    assert [version.number for version in found.known] == ["3", "2"]
    assert found.all_versions
