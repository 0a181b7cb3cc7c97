"""Every action: who may, what it writes down, what it refuses and with which words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import pytest

from reconciler.resource import Health, Key, Live, Version
from reconciler.service.actions import DAY_S, Acted, Actions, Rollback, span_s
from reconciler.service.auth.identity import LOCAL, Grant, Identity, Role
from reconciler.service.records import Health as State
from reconciler.service.records import Pin, ResourceRecord, Retry, Suspension
from reconciler.service.refusals import Conflicting, Forbidden, NotFound, Refusal
from tests.service.api.world import NOW, SHA, Front

AGENT: Final = "Agent/triage"
KEY: Final = Key("prod", "Agent", "triage")
Act = Callable[[Actions, Identity, str], Awaitable[Acted]]

ACTS: Final[dict[str, Act]] = {
    "sync": lambda actions, who, project: actions.sync(who, project),
    "suspend": lambda actions, who, project: actions.suspend(who, project, "outage"),
    "resume": lambda actions, who, project: actions.resume(who, project),
    "rollback": lambda actions, who, project: actions.rollback(who, project, Rollback(AGENT, "7", "broken")),
    "unpin": lambda actions, who, project: actions.unpin(who, project, AGENT),
    "retry": lambda actions, who, project: actions.retry(who, project, AGENT),
    "approve": lambda actions, who, project: actions.approve(who, project, "d1", "looked at it"),
}
# What each role may do beside looking.
MAY: Final = {
    None: set(),
    Role.VIEWER: set(),
    Role.OPERATOR: {"sync", "suspend", "resume", "rollback", "unpin", "retry"},
    Role.ADMIN: set(ACTS),
}


async def ready(front: Front, project: str) -> None:
    """A Project of which every action is possible."""
    store = front.deps.store
    row = await store.project(project)
    assert row is not None
    await store.put_project(replace(row, digest="d1", asks="5 deletions"))
    await store.suspend(Suspension(project, "ann", "earlier", NOW))
    await store.put_pin(Pin(project, AGENT, "6", "ann", "earlier", NOW, NOW + DAY_S))
    front.agents[project, AGENT] = live("8", "7", failed="8")


def live(*numbers: str, failed: str = "", complete: bool = True) -> Live:
    versions = tuple(
        Version(number, {}, Health.FAILED if number == failed else Health.ACTIVE) for number in numbers
    )
    return Live(KEY, versions[0], versions=versions[1:], all_versions=complete)


@pytest.mark.parametrize("project", ["prod", "stage"])
@pytest.mark.parametrize("action", ACTS)
@pytest.mark.parametrize("role", MAY, ids=str)
async def test_who_may_do_what_where(local: Front, role: Role | None, action: str, project: str) -> None:
    """The role is on `prod`; on `stage` everybody is a viewer."""
    await ready(local, project)
    grants = [Grant(Role.VIEWER, ("stage",))]
    if role is not None:
        grants.append(Grant(role, ("pro*",)))
    who = Identity("ann", "oidc", tuple(grants))
    has = role if project == "prod" else Role.VIEWER

    if action in MAY[has]:
        await ACTS[action](local.actions, who, project)
        audits, _ = await local.deps.store.audits(project=project)
        assert [(line.actor, line.action) for line in audits] == [("ann", action)]
        assert [key for key, _ in local.engine.asked if key.startswith("project/")] == [f"project/{project}"]
    else:
        with pytest.raises(NotFound if has is None else Forbidden) as caught:
            await ACTS[action](local.actions, who, project)
        assert local.engine.asked == []
        if has is not None:
            assert f"ann may not {action} Project {project}" in str(caught.value)
            assert f"yours is {has}" in str(caught.value)
            audits, _ = await local.deps.store.audits()
            assert [(line.action, line.detail["action"]) for line in audits] == [("denied", action)]
            assert audits[0].detail["needs"] in ("operator", "admin")


@pytest.mark.parametrize("action", ACTS)
async def test_an_unknown_project_is_not_acted_on(local: Front, action: str) -> None:
    with pytest.raises(NotFound) as caught:
        await ACTS[action](local.actions, LOCAL, "prd")

    assert caught.value.hint == "Did you mean `prod`?"
    assert (await local.deps.store.audits())[1] == 0


async def test_refused_requests_fill_the_audit_log_only_so_fast(local: Front) -> None:
    viewer = Identity("ann", "oidc", (Grant(Role.VIEWER),))
    for _ in range(30):
        with pytest.raises(Forbidden):
            await local.actions.sync(viewer, "prod")

    assert (await local.deps.store.audits())[1] == 10


async def test_a_refused_request_is_kept_with_the_reason_that_was_given(local: Front) -> None:
    """Whoever reads the log later wants to know what they were up to; nothing else of it is checked."""
    viewer = Identity("ann", "oidc", (Grant(Role.VIEWER),))
    order = Rollback(AGENT, "7", "answers nonsense, ghp_0123456789abcdefghij0123")
    for act in (
        local.actions.rollback(viewer, "prod", order),
        local.actions.approve(viewer, "prod", "d1", "x" * 3000),
        local.actions.retry(viewer, "prod", AGENT),
    ):
        with pytest.raises(Forbidden):
            await act

    audits, _ = await local.deps.store.audits()
    assert [(line.resource, line.why) for line in audits] == [
        (AGENT, ""),
        ("", "x" * 500),
        (AGENT, "answers nonsense, ***"),
    ]
    assert audits[1].detail == {"action": "approve", "role": "viewer", "needs": "admin"}


async def test_suspending_and_resuming_are_kept_and_told(local: Front) -> None:
    await local.actions.suspend(LOCAL, "prod", "  outage\nof the registry ")
    kept = await local.deps.store.suspension("prod")
    synced = await local.actions.sync(LOCAL, "prod")
    await local.actions.resume(LOCAL, "prod", "over")

    assert kept == Suspension("prod", "local", "outage of the registry", NOW)
    assert "suspended" in synced.notes[0]
    assert await local.deps.store.suspension("prod") is None
    events, _ = await local.deps.store.events()
    assert [(event.type, event.message) for event in events] == [
        ("resumed", "Project prod was resumed by local: over"),
        ("suspended", "Project prod was suspended by local: outage of the registry"),
    ]
    assert ("outbox", "event") in local.engine.asked
    with pytest.raises(Conflicting, match="is not suspended"):
        await local.actions.resume(LOCAL, "prod")


async def test_a_project_whose_file_is_gone_is_not_synced(local: Front) -> None:
    row = await local.deps.store.project("prod")
    assert row is not None
    await local.deps.store.put_project(replace(row, removed=True))

    with pytest.raises(Conflicting, match="gone from its source"):
        await local.actions.sync(LOCAL, "prod")


@pytest.mark.rule("R5")
async def test_a_rollback_is_a_pin_with_an_end_and_says_what_undoes_it(local: Front) -> None:
    local.agents["prod", AGENT] = live("8", "7", "6")

    done = await local.actions.rollback(LOCAL, "prod", Rollback(AGENT, "7", "answers nonsense", 2 * DAY_S))

    (pin,) = await local.deps.store.pins("prod")
    assert pin == Pin("prod", AGENT, "7", "local", "answers nonsense", NOW, NOW + 2 * DAY_S, SHA)
    assert (
        done.message
        == "From the next run on version 7 of prod/Agent/triage serves, until 2027-01-17 08:00 UTC."
    )
    assert "a CI run of `reconciler apply` would undo it" in done.notes[0]
    (event,), _ = await local.deps.store.events()
    assert (event.type, event.resource) == ("rollback", AGENT)
    (audit,), _ = await local.deps.store.audits()
    assert (audit.why, audit.detail["version"]) == ("answers nonsense", "7")
    assert ("project/prod", "manual by local") in local.engine.asked


@pytest.mark.parametrize(
    ("order", "seen", "error", "said"),
    [
        pytest.param(
            Rollback(AGENT, "5", "x"), live("8", "7"), Conflicting, "no version 5|`8` and `7`", id="gone"
        ),
        pytest.param(
            Rollback(AGENT, "7", "x"), live("8", "7", failed="7"), Conflicting, "is failed", id="failed"
        ),
        pytest.param(
            Rollback("Agent/triag", "7", "x"), None, NotFound, "Did you mean `Agent/triage`", id="unknown"
        ),
        pytest.param(
            Rollback("Agent/stranger", "1", "x"), None, Conflicting, "no manifest in Git", id="unmanaged"
        ),
        pytest.param(Rollback(AGENT, "latest", "x"), None, Refusal, "'latest' is no version", id="no-number"),
        pytest.param(Rollback(AGENT, "7\nx", "x"), None, Refusal, "is no version", id="two-lines"),
        pytest.param(Rollback(AGENT, "7", " "), None, Refusal, "rolling back needs a reason", id="no-reason"),
        pytest.param(Rollback(AGENT, "7", "x" * 501), None, Refusal, "more than 500", id="long-reason"),
        pytest.param(
            Rollback(AGENT, "7", "x", 31 * DAY_S), None, Refusal, "one minute to 30 days", id="for-ever"
        ),
        pytest.param(Rollback(AGENT, "7", "x", 5), None, Refusal, "one minute to 30 days", id="too-short"),
    ],
)
async def test_a_rollback_that_cannot_be_is_refused(
    local: Front, order: Rollback, seen: Live | None, error: type[Refusal], said: str
) -> None:
    if seen is not None:
        local.agents["prod", AGENT] = seen

    with pytest.raises(error) as caught:
        await local.actions.rollback(LOCAL, "prod", order)

    for words in said.split("|"):
        assert words in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint
    assert await local.deps.store.pins() == ()
    assert (await local.deps.store.audits())[1] == 0


@pytest.mark.parametrize("seen", [None, live("8", "7", complete=False)], ids=["unread", "partly-read"])
async def test_a_version_that_cannot_be_known_is_not_refused(local: Front, seen: Live | None) -> None:
    if seen is not None:
        local.agents["prod", AGENT] = seen

    done = await local.actions.rollback(LOCAL, "prod", Rollback(AGENT, "3", "x"))

    assert any("the next run says" in note for note in done.notes)


@pytest.mark.rule("R5")
async def test_ending_a_rollback_leaves_the_pin_to_the_next_run(local: Front) -> None:
    """Without the row, the run would take the traffic for somebody's and leave it where it is."""
    await local.actions.rollback(LOCAL, "prod", Rollback(AGENT, "7", "x"))
    local.clock[0] += 60

    await local.actions.unpin(LOCAL, "prod", AGENT, "fixed")

    (pin,) = await local.deps.store.pins("prod")
    assert pin.expires_at == NOW + 60
    with pytest.raises(Conflicting, match="no rollback holds Agent/billing"):
        await local.actions.unpin(LOCAL, "prod", "Agent/billing")
    with pytest.raises(Conflicting, match=f"no rollback holds {AGENT}"):
        await local.actions.unpin(LOCAL, "prod", AGENT, "and again")


@pytest.mark.rule("R4")
async def test_a_retry_is_an_order_for_one_agent_with_an_end(local: Front) -> None:
    local.agents["prod", AGENT] = live("8", "7", failed="8")

    done = await local.actions.retry(LOCAL, "prod", AGENT, "the registry is back")

    assert done.message == "The next run makes version 8 of prod/Agent/triage once more."
    assert done.notes == ()
    kept = await local.deps.store.retries("prod")
    assert kept == (Retry("prod", AGENT, "local", "the registry is back", NOW, NOW + 3600),)
    (audit,), _ = await local.deps.store.audits()
    assert (audit.action, audit.resource, audit.why) == ("retry", AGENT, "the registry is back")
    assert audit.detail == {"version": "8"}
    assert local.engine.asked == [("project/prod", "manual by local")]


@pytest.mark.parametrize(
    ("resource", "seen", "error", "said"),
    [
        pytest.param(AGENT, live("8", "7"), Conflicting, "version 8 is active|sync", id="well"),
        pytest.param(AGENT, live("8", "7", failed="7"), Conflicting, "version 8 is active", id="older"),
        pytest.param(AGENT, None, Conflicting, "none is known to have failed", id="unread"),
        pytest.param("Agent/triag", None, NotFound, "Did you mean `Agent/triage`", id="unknown"),
        pytest.param("Agent/stranger", live("1"), Conflicting, "no manifest in Git", id="unmanaged"),
    ],
)
async def test_what_did_not_fail_is_not_tried_again(
    local: Front, resource: str, seen: Live | None, error: type[Refusal], said: str
) -> None:
    if seen is not None:
        local.agents["prod", resource] = seen

    with pytest.raises(error) as caught:
        await local.actions.retry(LOCAL, "prod", resource)

    for words in said.split("|"):
        assert words in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint
    assert await local.deps.store.retries("prod") == ()
    assert (await local.deps.store.audits())[1] == 0
    assert local.engine.asked == []


@pytest.mark.parametrize("latest", ["9", "8"], ids=["below-another-version", "unread"])
async def test_what_the_last_run_found_failed_is_tried_again(local: Front, latest: str) -> None:
    """Somebody made version 9 since, or the service cannot be asked now."""
    row = ResourceRecord("prod", AGENT, State.FAILED, "failed", "update", latest="8")
    await local.deps.store.put_resources("prod", [row], ())
    if latest == "9":
        local.agents["prod", AGENT] = live("9", "8", failed="8")

    done = await local.actions.retry(LOCAL, "prod", AGENT)

    assert "makes version 8" in done.message


@pytest.mark.parametrize("seen", [None, live("9", "7")], ids=["unread", "starting"])
async def test_what_is_being_tried_again_is_not_tried_twice(local: Front, seen: Live | None) -> None:
    """The plan that began the release is still about the version that failed."""
    row = ResourceRecord("prod", AGENT, State.WAITING, "failed", "update", latest="9")
    await local.deps.store.put_resources("prod", [row], ())
    if seen is not None:
        local.agents["prod", AGENT] = seen

    with pytest.raises(Conflicting, match="to try again"):
        await local.actions.retry(LOCAL, "prod", AGENT)


async def test_only_the_plan_that_was_looked_at_is_approved(local: Front) -> None:
    await ready(local, "prod")

    with pytest.raises(Conflicting) as caught:
        await local.actions.approve(LOCAL, "prod", "d0", "fine")
    assert "has changed since you looked" in str(caught.value)
    assert "5 deletions" in caught.value.hint
    assert await local.deps.store.approved("prod") is None

    await local.actions.approve(LOCAL, "prod", "d1", "fine")
    approved = await local.deps.store.approved("prod")
    assert approved is not None
    assert (approved.digest, approved.by, approved.why) == ("d1", "local", "fine")


async def test_nothing_can_be_approved_where_nothing_is_asked(local: Front) -> None:
    with pytest.raises(Conflicting, match="asks for no approval"):
        await local.actions.approve(LOCAL, "prod", "", "fine")


async def test_a_reason_keeps_no_secret_and_steers_no_terminal(local: Front) -> None:
    await local.actions.suspend(LOCAL, "prod", "see ghp_0123456789abcdefghij0123 \x1b[2J\u202e")

    kept = await local.deps.store.suspension("prod")
    assert kept is not None
    assert kept.why == "see *** \\x1b[2J\\u202e"


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("30m", 1800), ("24h", DAY_S), ("7d", 7 * DAY_S)]
)
def test_spans(text: str, expected: int) -> None:
    assert span_s(text) == expected


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "0h", "1w", "\u0661h"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(Refusal, match="no span of time"):
        span_s(text)
