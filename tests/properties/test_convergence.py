"""Whatever Git says and whatever the service holds: one apply, and nothing is left to do."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.diff import drifts
from reconciler.kinds.kind import Action
from reconciler.plan import Planned
from reconciler.report import ExitCode
from reconciler.resource import Desired, Health
from reconciler.sandbox import Sandbox
from tests.properties.lives import OWNER, agents
from tests.properties.looking import looking
from tests.properties.manifests import KINDS, desired_of, specs
from tests.properties.running import Applied, apply, everything, inputs, plan
from tests.world import World

Json = Any
_numbers = itertools.count(1)

DEDUPE: Final = ["off", "off", "latest-definition", "latest-definition+metadata+description"]
SELECTOR: Final = ["accepted"] * 6 + ["refused", "ignored"]


@dataclass(frozen=True)
class Start:
    """What a run starts from: manifests, seeded agents, switches of the service, flags of the run."""

    desired: tuple[Desired, ...]
    agents: tuple[Json, ...]
    cut: tuple[tuple[str, str], ...]
    switches: Json
    flags: Json

    def kinds(self, name: str) -> set[str]:
        """The kinds of definition that this agent has or shall have."""
        wanted = {want.form["definition"]["kind"] for want in self.desired if want.key.name == name}
        versions = [one for agent in self.agents if agent["name"] == name for one in agent["versions"]]
        return wanted | {one["definition"]["kind"] for one in versions}

    def may(self, switch: str, name: str, *values: str) -> bool:
        """Whether a switch by kind has one of these values for this agent."""
        return any(self.switches[switch][kind] in values for kind in self.kinds(name))

    def allows_not_taken(self, name: str) -> bool:
        """Whether the service may answer a write with success and do nothing."""
        return self.may("dedupe", name, *DEDUPE[2:]) or self.may("selector", name, "ignored")


switches = st.fixed_dictionaries(
    {
        "dedupe": st.fixed_dictionaries({kind: st.sampled_from(DEDUPE) for kind in KINDS}),
        "selector": st.fixed_dictionaries({kind: st.sampled_from(SELECTOR) for kind in KINDS}),
        "provisioning": st.fixed_dictionaries(
            {
                "delay_s": st.sampled_from([0, 0, 0, 0.03]),
                "outcome": st.sampled_from(["active"] * 7 + ["failed"]),
            }
        ),
        "default_endpoint": st.sampled_from(["present", "absent", "pinned"]),
        "server_added": st.fixed_dictionaries(
            {
                "known": st.booleans(),
                "unknown": st.sampled_from([None, None, "random", {"x_new": []}, {"x_new": None}]),
            }
        ),
        "page_size_cap": st.sampled_from([100, 1, 2]),
        "enable_status": st.sampled_from([204, 200]),
        "delete_serving": st.sampled_from(["allowed", "refused"]),
        "names": st.sampled_from(["case-sensitive", "case-insensitive"]),
        "seed": st.integers(0, 99),
    }
)
flags = st.fixed_dictionaries(
    {},
    optional={
        name: st.booleans()
        for name in ("take_traffic", "take_over", "retry_failed", "mark_equal", "delete_edited")
    },
)


@st.composite
def starts(draw: st.DrawFn) -> Start:
    """One to three names, each desired, live, or both; some of the newest versions deleted again."""
    desired, lives, cut = [], [], []
    for name in ("a", "b", "c")[: draw(st.integers(1, 3))]:
        spec = draw(specs())
        want = desired_of(name, spec)
        where = draw(st.sampled_from(["both", "both", "both", "git", "live"]))
        if where != "git":
            live = draw(agents(want))
            lives.append(live)
            numbers = [item["version"] for item in live["versions"] if not item.get("draft")]
            spare = len(live["versions"]) > 1 and not live.get("selector")
            if spare and draw(st.integers(0, 4)) == 0:
                cut.append((name, numbers.pop()))
            if where == "both" and numbers:
                want = desired_of(
                    name, _directed(spec, draw(st.sampled_from(numbers)), draw(st.integers(0, 15)))
                )
        if where != "live":
            desired.append(want)
    return Start(tuple(desired), tuple(lives), tuple(cut), draw(switches), draw(flags))


def _directed(spec: Json, number: str, dice: int) -> Json:
    """Sometimes Git itself says which version gets the traffic: by a pinned version, or by hand."""
    if dice == 0:
        return {**spec, "release": {**spec["release"], "version": number}}
    if dice == 1:
        rule = {"type": "FixedRatio", "agent_version": number, "traffic_percentage": 100}
        endpoint = {"version_selector": {"version_selection_rules": [rule]}}
        return {**spec, "release": {**spec["release"], "strategy": "manual"}, "endpoint": endpoint}
    return spec


def begun(sandbox: Sandbox, start: Start) -> World:
    """A project that nobody used, in the state of the start."""
    world = World(sandbox.url, f"p{os.getpid()}-{next(_numbers)}", Path("-"))
    world.settings(**start.switches)
    world.seed(*start.agents)
    for name, number in start.cut:
        world.call("DELETE", f"/agents/{name}/versions/{number}")
    return world


def ours(name: str, version: Json) -> bool:
    """Whether a seeded or read version carries our genuine mark, told from its text alone."""
    text = version.get("metadata", {}).get("reconciler", "")
    number = version["version"]
    base = f'"base":"{int(number) - 1}"' if number.isdecimal() else "no number"
    return (
        f'"owner":"{OWNER}"' in text and f'"for":"Agent/{name}"' in text and base in text and text[-1:] == "}"
    )


def unexplained(item: Planned, start: Start, first: Applied) -> str:
    """Why something is left for this agent although no rule leaves it; "" where one does."""
    change = item.change
    done = [outcome for outcome in first.outcomes if outcome.key == item.key]
    name = item.key.name
    if change.action is Action.NONE and not item.steps and not change.held and not drifts(change):
        return ""
    if item.refused or change.blocked:
        return "" if not item.steps else "refused with steps"
    if change.reason == "mark" and name in dict(start.cut):
        return ""  # M2: a mark after a gap proves nothing, so `--mark` marks once more
    if change.held and not item.steps:
        return "" if not start.flags.get("take_traffic") else "held although traffic may be taken"
    if change.target is not None and change.target.health is Health.FAILED:
        return ""  # R4: Stalled until the manifest changes
    if any(outcome.reason == "NotTaken" for outcome in done):
        return "" if start.allows_not_taken(name) else "not taken by a service that takes everything"
    if any(outcome.outcome == "failed" and outcome.code == "invalid_payload" for outcome in done):
        return "" if start.may("selector", name, "refused") else "a write was refused"
    if change.action is Action.DELETE and any(outcome.reason == "CreatesFirst" for outcome in done):
        return ""  # D4: nothing is deleted while something new does not start
    return f"{change.action} {change.reason}: {[step.name for step in item.steps]}"


def left_over(sandbox: Sandbox, start: Start) -> dict[str, str]:
    """What a new process would still do after one apply, and no rule leaves: reasons with what was done."""
    world = begun(sandbox, start)
    given = inputs(world, start.desired, **start.flags)
    first = apply(given)
    then = plan(given)
    done = "\n".join(map(str, first.outcomes))
    return {why: done for item in then.planned if (why := unexplained(item, start, first))}


def changed_again(sandbox: Sandbox, start: Start) -> dict[str, str]:
    """The agents that a second apply changed, with what it did."""
    world = begun(sandbox, start)
    given = inputs(world, start.desired, **{**start.flags, "retry_failed": False, "mark_equal": False})
    apply(given)
    if start.switches["provisioning"]["outcome"] == "failed":
        apply(given)  # what came after a gate that failed, such as the card, is done once that is known
    before = everything(world)
    second = apply(given)
    after = everything(world)
    done = "\n".join(map(str, second.outcomes))
    return {f"{name} changed": done for name in {*before, *after} if before.get(name) != after.get(name)}


def touched(sandbox: Sandbox, start: Start) -> dict[str, str]:
    """The agents that are neither ours nor desired, and yet were changed or written to."""
    world = begun(sandbox, start)
    before = everything(world)
    world.forget()
    run = apply(inputs(world, start.desired, **start.flags))
    after = everything(world)
    desired = {want.key.name for want in start.desired}
    found = {}
    for name, was in before.items():
        if name in desired or any(ours(name, version) for version in was["versions"]):
            continue
        if after.get(name) != was or any(f"/agents/{name}" in line for line in world.writes()):
            found[f"{name} touched"] = "\n".join(map(str, run.outcomes))
    return found


def surplus(sandbox: Sandbox, start: Start) -> dict[str, str]:
    """The agents that got more versions than they needed, with what was done."""
    world = begun(sandbox, start)
    before = {name: _newest(was) for name, was in everything(world).items()}
    run = apply(inputs(world, start.desired, **start.flags))
    cut = dict(start.cut)
    found = {}
    for name, has in everything(world).items():
        # Where the service takes no traffic rule, the version to go back to is made anew; where it adds
        # fields that nobody knows, one after a gap cannot be told from somebody else's: one more each.
        most = 1 + start.may("selector", name, "refused", "ignored") + (name in cut)
        made = _newest(has) - max(before.get(name, 0), int(cut.get(name, 0)))
        if made > most:
            found[f"{name} got {made} versions"] = "\n".join(map(str, run.outcomes))
    return found


def _newest(held: Json) -> int:
    return max((int(item["version"]) for item in held["versions"] if item["version"].isdecimal()), default=0)


def misreported(sandbox: Sandbox, start: Start) -> dict[str, str]:
    """Exit codes that do not say what a new process finds: 0 with work left, or 4 with nothing left."""
    world = begun(sandbox, start)
    given = inputs(world, start.desired, **{**start.flags, "mark_equal": False})
    first = apply(given)
    # A service that ignores traffic rules lets a new process try again what this one has given up.
    left = [
        item
        for item in plan(given).planned
        if not _rests(item) and not start.may("selector", item.key.name, "ignored")
    ]
    done = "\n".join(map(str, first.outcomes))
    if first.exit_code is ExitCode.DONE and left:
        return {f"exit 0 and left: {[item.change.reason for item in left]}": done}
    ignored = any(start.may("selector", agent["name"], "ignored") for agent in start.agents)
    if first.exit_code is not ExitCode.DONE and not left and not ignored:
        return {f"exit {first.exit_code} and nothing left": done}
    return {}


def _rests(item: Planned) -> bool:
    """Whether `apply` is through with this agent: traffic that is held for somebody is no work (R5)."""
    change = item.change
    return not item.refused and not item.steps and (change.held or not drifts(change)) and not _failed(item)


def _failed(item: Planned) -> bool:
    target = item.change.target
    return target is not None and target.health is Health.FAILED


@pytest.mark.rule("C1", "C2", "C3", "C4", "C5", "C6", "M2", "R2", "R3")
@looking(120)
@given(starts())
def test_one_apply_leaves_nothing_to_do(sandbox: Sandbox, start: Start) -> None:
    assert left_over(sandbox, start) == {}


@pytest.mark.rule("C5", "R4", "R5")
@looking(80)
@given(starts())
def test_a_second_apply_changes_nothing_at_all(sandbox: Sandbox, start: Start) -> None:
    assert changed_again(sandbox, start) == {}


@pytest.mark.rule("D1", "M2", "M5")
@looking(80)
@given(starts())
def test_what_is_neither_ours_nor_desired_is_never_touched(sandbox: Sandbox, start: Start) -> None:
    assert touched(sandbox, start) == {}


@pytest.mark.rule("P6", "R2")
@looking(80)
@given(starts())
def test_no_agent_gets_a_version_too_many(sandbox: Sandbox, start: Start) -> None:
    assert surplus(sandbox, start) == {}


@looking(80)
@given(starts())
def test_exit_code_0_means_nothing_is_left(sandbox: Sandbox, start: Start) -> None:
    assert misreported(sandbox, start) == {}
