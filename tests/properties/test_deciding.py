"""Laws of deciding, on generated manifests and live states. Pure: nothing is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.diff import Scope, drifts
from reconciler.guards import Limits
from reconciler.kinds.agent.calls import AddVersion, AwaitActive, DeleteAgent, MoveTraffic, RetireVersion
from reconciler.kinds.kind import Action, Context
from reconciler.kinds.registry import KINDS
from reconciler.options import Allow
from reconciler.plan import Plan, Planned
from reconciler.reconcile import Inputs, decide
from reconciler.resource import Desired, Health, Key, Live, LiveState, Ref
from tests.properties import manifests
from tests.properties.lives import NOW, OWNER, agents, live_of, mark_text, version
from tests.properties.looking import looking
from tests.properties.manifests import desired_of, specs

Json = Any
CTX = Context(owner=OWNER, now=NOW, code_sha256=lambda code: "0" * 64)
FLAGS = st.fixed_dictionaries(
    {},
    optional={
        name: st.booleans()
        for name in ("take_traffic", "take_over", "retry_failed", "mark_equal", "delete_edited")
    },
)


def inputs(*resources: Desired, **ctx: Any) -> Inputs:
    return Inputs(
        "prod",
        "https://x.services.ai.azure.com/api/projects/x",
        resources,
        replace(CTX, **ctx),
        KINDS,
        scope=Scope(),
        limits=Limits(1_000, 100, 100),
        allow=Allow(empty=True, rename=True),
    )


def decided(lives: dict[Key, Live] | Live, *resources: Desired, **ctx: Any) -> Plan:
    items = {lives.key: lives} if isinstance(lives, Live) else lives
    return decide(inputs(*resources, **ctx), LiveState(items, complete=True))


def of(plan: Plan, key: Key) -> Planned:
    return next(planned for planned in plan.planned if planned.key == key)


def made_by_us(desired: Desired, **added: Json) -> Json:
    """The agent as our create would have left it, with what the service adds to a definition."""
    form = {**desired.form, "definition": {**desired.form["definition"], **added}}
    return {
        "name": desired.key.name,
        "versions": [version(1, form, mark_text("ours", desired, 1))],
        "state": {None: "enabled", True: "enabled", False: "disabled"}[desired.enabled],
    }


def at_rest(planned: Planned) -> bool:
    change = planned.change
    return change.action is Action.NONE and not planned.steps and not change.held and not drifts(change)


@st.composite
def pairs(draw: st.DrawFn, name: str = "bot") -> tuple[Desired, Live]:
    """One agent on both sides, in any relation."""
    spec = draw(specs())
    desired = desired_of(name, spec)
    return desired, live_of(draw(agents(desired)))


added = st.dictionaries(st.integers(0, 9).map(lambda number: f"x_{number}"), manifests.users_json, max_size=3)


@pytest.mark.rule("C1")
@looking(300)
@given(specs(), added)
def test_what_we_made_is_equal_whatever_the_service_added(spec: Json, extra: Json) -> None:
    desired = replace(desired_of("bot", spec), details={})

    planned = of(decided(live_of(made_by_us(desired, **extra)), desired), desired.key)

    assert at_rest(planned), planned


@pytest.mark.rule("C2")
@looking(300)
@given(specs())
def test_an_unmarked_agent_with_the_same_form_is_equal(spec: Json) -> None:
    desired = replace(desired_of("bot", spec), details={}, enabled=None)
    assume(desired.code is None)
    live = live_of({"name": "bot", "versions": [version(3, desired.form, None)]})

    planned = of(decided(live, desired), desired.key)

    assert at_rest(planned), planned
    assert planned.change.unmarked


@pytest.mark.rule("P1")
@looking(300)
@given(st.data())
def test_the_order_of_inputs_changes_nothing(data: st.DataObject) -> None:
    both = [data.draw(pairs(name)) for name in ("a", "b", "c")]
    desired = [want for want, _ in both]
    lives = [live for _, live in both] + [replace(both[0][1], key=Key("prod", "Agent", "d"))]
    plan = decided({live.key: live for live in lives}, *desired)

    shuffled = data.draw(st.permutations(lives))
    again = decided({live.key: live for live in shuffled}, *data.draw(st.permutations(desired)))

    assert again.digest == plan.digest
    assert [item.key for item in again.planned] == [item.key for item in plan.planned]


@pytest.mark.rule("P1")
@looking(300)
@given(pairs(), st.integers(1, 10_000), st.text("0123456789abcdef", min_size=40, max_size=40))
def test_a_merge_does_not_change_the_digest(pair: tuple[Desired, Live], later_s: int, commit: str) -> None:
    """Time and commit differ between the pull request and the branch; what is done does not."""
    desired, live = pair

    before = decided(live, desired, time=NOW)
    after = decided(live, desired, commit=commit, time=NOW + later_s)

    assert before.digest == after.digest


@pytest.mark.rule("D1")
@looking(300)
@given(pairs(), FLAGS)
def test_without_our_genuine_mark_nothing_is_deleted(pair: tuple[Desired, Live], flags: Json) -> None:
    desired, live = pair
    ours = any(
        one.mark and one.mark.owner == OWNER and one.mark.genuine(desired.key, one.number)
        for one in live.known
    )

    planned = of(decided(live, **flags), desired.key)

    assert bool(planned.steps) <= ours
    assert all(isinstance(step.call, DeleteAgent) for step in planned.steps)


@pytest.mark.rule("M4")
@looking(300)
@given(pairs())
def test_another_owners_agent_is_left_alone(pair: tuple[Desired, Live]) -> None:
    desired, live = pair
    marked = [one for one in live.known if one.mark and one.mark.genuine(desired.key, one.number)]
    assume(marked and marked[0].mark and marked[0].mark.owner != OWNER)

    assert of(decided(live, desired), desired.key).steps == ()


@pytest.mark.rule("R1", "R2", "R3", "R4", "R7", "R8")
@looking(1_000)
@given(pairs(), FLAGS)
def test_no_ladder_takes_a_dangerous_step(pair: tuple[Desired, Live], flags: Json) -> None:
    desired, live = pair
    planned = of(decided(live, desired, **flags), desired.key)
    calls = [step.call for step in planned.steps]
    serving = {number for number, share in live.traffic if share}

    assert not any(isinstance(call, DeleteAgent) for call in calls)
    adds = [index for index, call in enumerate(calls) if isinstance(call, AddVersion)]
    assert len(adds) <= 1
    for index, call in enumerate(calls):
        match call:
            case MoveTraffic(version=Ref()):
                assert adds
                assert adds[0] < index
                if desired.form["definition"]["kind"] == "hosted":
                    assert any(isinstance(gate, AwaitActive) for gate in calls[adds[0] : index])
            case MoveTraffic(version=str() as number):
                to = live.version(number)
                assert to is not None
                genuine = to.mark and to.mark.owner == OWNER and to.mark.genuine(desired.key, number)
                assert genuine or number in serving
                gated = any(isinstance(gate, AwaitActive) for gate in calls[:index])
                assert to.health is Health.ACTIVE or gated
            case RetireVersion(version=number):
                gone = live.version(number)
                assert gone is not None
                assert gone.mark is not None
                assert gone.mark.genuine(desired.key, number)
                assert gone.mark.owner == OWNER
                assert number not in serving
                assert live.latest is not None
                assert number != live.latest.number


@pytest.mark.rule("R3")
@looking(300)
@given(pairs())
def test_a_pinned_agent_never_serves_a_version_that_did_not_start(pair: tuple[Desired, Live]) -> None:
    """Without a selector the newest version serves at once, so an active one is pinned before the create."""
    desired, live = pair
    assume(desired.release.strategy == "pinned" and live.latest)
    assert live.latest is not None
    names = [step.name for step in of(decided(live, desired), desired.key).steps]
    active = live.latest.health is Health.ACTIVE
    if "add-version" in names and live.selector is None and active:
        assert names.index("pin-traffic") < names.index("add-version") < names.index("move-traffic")
