"""Laws of whole histories: whatever Git says, the service holds, and people do between the runs.

A history begins somewhere, and a run follows each event. Every law is looked at after every run, and at the
end one more run has nothing to do, or a named reason not to.
"""

from __future__ import annotations

import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from hypothesis import given

from reconciler.apply import Outcome
from reconciler.diff import drifts
from reconciler.kinds.kind import Action
from reconciler.plan import Plan, Planned, approve
from reconciler.report import ExitCode
from reconciler.resource import Desired, Health, Key, Strategy
from reconciler.sandbox import Sandbox
from tests.properties.histories import Start, begun, happen, histories, owner_of
from tests.properties.lives import OWNER
from tests.properties.looking import looking
from tests.properties.running import Applied, apply, everything, inputs, plan
from tests.world import World

Json = Any
Broken = Iterator[str]


@dataclass(frozen=True)
class Seen:
    """One run of a history: what was there before and after it, what it wrote, and what served meanwhile."""

    start: Start
    desired: dict[str, Desired]
    flags: Json
    before: Json
    after: Json
    writes: tuple[str, ...]
    run: Applied
    idle: tuple[str, ...]
    left: Plan

    def outcomes(self, name: str) -> list[Outcome]:
        return [outcome for outcome in self.run.outcomes if outcome.key.name == name]


def lived(sandbox: Sandbox, start: Start) -> dict[str, str]:
    """The laws that some run of the history broke, with what was done."""
    world = begun(sandbox, start)
    desired = {want.key.name: want for want in start.desired}
    broken = judged(seen(world, start, desired, start.flags))
    for event in start.events:
        happen(world, event, desired)
        broken |= judged(seen(world, start, desired, start.flags))
    at_rest = {**start.flags, "retry_failed": False, "mark_equal": False}
    if at_rest != start.flags:
        broken |= judged(seen(world, start, desired, at_rest))
    last = seen(world, start, desired, at_rest)
    broken |= judged(last)
    return broken | {f"one more run: {how}": _told(last.run) for how in changes(last)}


def seen(world: World, start: Start, desired: dict[str, Desired], flags: Json) -> Seen:
    """One run, from a list that shows everything, and what a new process would do then."""
    # Until lists show everything, and versions that somebody made have started.
    time.sleep(max(start.switches["list_lag_s"], start.switches["provisioning"]["delay_s"]))
    before = everything(world)
    given = inputs(world, tuple(desired.values()), **flags)
    watch = Watch(world, desired, before)
    world.forget()
    run = apply(given, progress=watch)
    writes = tuple(world.writes())
    time.sleep(start.switches["list_lag_s"])
    after = everything(world)
    return Seen(start, dict(desired), flags, before, after, writes, run, tuple(watch.found), plan(given))


def changes(last: Seen) -> Broken:
    """What a run that has nothing to do has done; asking anew for what is refused changes nothing."""
    yield from (f"{name} changed" for name, was in last.before.items() if last.after.get(name) != was)
    refused = {item.key.name for item in last.run.outcomes if item.open}
    yield from (line for line in last.writes if _kind(line)[0] not in refused)


class Watch:
    """Looks after each step whether what serves runs, for agents of which that held before the run."""

    def __init__(self, world: World, desired: dict[str, Desired], before: Json) -> None:
        self._world, self._desired = world, desired
        self._well = {name for name, held in before.items() if not idle(held)}
        self.found: list[str] = []

    def __call__(self, outcome: Outcome) -> None:
        name = outcome.key.name
        want = self._desired.get(name)
        agent = self._world.live(name) if name in self._well and want is not None else None
        if want is None or agent is None:
            return
        # Not from a list, which may lag.
        found = [self._version(name, number) for number in rules({"agent": agent})]
        held = {"agent": agent, "versions": [*filter(None, found), agent["versions"]["latest"]]}
        # `direct` says that the newest version serves at once, as long as no selector says otherwise.
        if idle(held) and not (want.release.strategy is Strategy.DIRECT and not rules(held)):
            self.found.append(f"{name} serves {rules(held) or 'the latest'} after {outcome}")

    def _version(self, name: str, number: str) -> Json:
        try:
            return self._world.call("GET", f"/agents/{name}/versions/{number}")
        except urllib.error.HTTPError as error:
            error.close()
            return None


def rules(held: Json) -> dict[str, int]:
    selector = (held["agent"].get("agent_endpoint") or {}).get("version_selector") or {}
    found = selector.get("version_selection_rules") or []
    return {rule["agent_version"]: rule["traffic_percentage"] for rule in found}


def idle(held: Json) -> list[str]:
    """The versions that get traffic and do not run, or are not there."""
    serving = [number for number, share in rules(held).items() if share]
    status = {one["version"]: one["status"] for one in held["versions"]}
    latest = held["agent"]["versions"]["latest"]
    return [number for number in serving or [latest["version"]] if status.get(number) != "active"]


def judged(here: Seen) -> dict[str, str]:
    """Every law that this run broke: which, how, and what was done."""
    return {f"{law.__name__}: {how}": _told(here.run) for law in LAWS for how in law(here)}


def _told(run: Applied) -> str:
    return "\n".join(map(str, run.outcomes))


# The laws. Each yields how it was broken.


def what_is_foreign_is_never_written(here: Seen) -> Broken:
    for name, was in here.before.items():
        owners = [owner for one in _newest_first(was) if (owner := owner_of(name, one))]
        others = name in here.desired and owners[:1] == ["somebody"] and not here.flags.get("take_over")
        if name in here.desired and not others:
            continue
        if owners[:1] == [OWNER]:
            continue
        written = [line for line in here.writes if line.split()[1].split("/")[2].split(":")[0] == name]
        if written or here.after.get(name) != was:
            yield f"{name}: {written}"


def nobody_elses_version_is_deleted(here: Seen) -> Broken:
    for name, was in here.before.items():
        if name not in here.desired:
            continue
        if name not in here.after:
            yield f"{name} is gone"
            continue
        there = {one["version"] for one in here.after[name]["versions"]}
        gone = [one for one in was["versions"] if one["version"] not in there]
        yield from (f"{name}:{one['version']}" for one in gone if owner_of(name, one) != OWNER)


def what_serves_always_runs(here: Seen) -> Broken:
    yield from here.idle


def no_agent_gets_a_version_too_many(here: Seen) -> Broken:
    for name, was in here.before.items():
        # Where the service takes no traffic rule, the version to go back to is made anew; where it adds
        # fields that nobody knows, one after a gap cannot be told from somebody else's: one more each.
        most = 1 + here.start.may("selector", name, "refused", "ignored") + bool(here.start.gaps(name))
        made = [one for one in _newest_first(here.after.get(name, was)) if int(one["version"]) > _number(was)]
        if len(made) > most:
            yield f"{name} got {len(made)}"


def nothing_is_written_that_was_not_planned(here: Seen) -> Broken:
    """Of each agent every kind of write comes at most as often as it was planned."""
    planned: Counter[tuple[str, str]] = Counter()
    for step in here.run.first.steps:
        planned[step.key.name, _WRITE.get(step.name, "")] += 1
    for item in here.run.first.planned:
        if item.key in _anew(here):
            planned.update({(item.key.name, kind): 2 for kind in _WRITE.values()})
    done = Counter(_kind(line) for line in here.writes)
    for (name, kind), count in done.items():
        if count > planned[name, kind]:
            yield f"{count} × {kind} of {name}, planned {planned[name, kind]}"


def _anew(here: Seen) -> set[Key]:
    """Agents whose plan changes on the way: another way is tried, or a number after a gap proves nothing."""
    return set(here.run.newly) | {outcome.key for outcome in here.run.outcomes if outcome.reason == "Gap"}


_WRITE: Final = {
    "add-version": "create",
    "pin-traffic": "patch",
    "move-traffic": "patch",
    "patch-details": "patch",
    "disable": "disable",
    "enable": "enable",
    "retire-version": "delete version",
    "remove-failed": "delete version",
    "delete-agent": "delete",
}


def _kind(line: str) -> tuple[str, str]:
    method, path = line.split()
    name, _, rest = path.removeprefix("/agents/").partition("/")
    name, _, state = name.partition(":")
    if state:
        return name, state
    if method == "POST":
        return name, "create"
    return name, "patch" if method == "PATCH" else "delete version" if rest else "delete"


def later_attempts_stay_within_what_was_shown(here: Seen) -> Broken:
    shown = approve(here.run.first)
    for later in here.run.plans[1:]:
        for item in later.planned:
            if item.steps and item.key not in _anew(here) and not shown.covers(item):
                yield f"{item.key.name}: {[step.name for step in item.steps]}"


def nothing_is_left_without_a_reason(here: Seen) -> Broken:
    for item in here.left.planned:
        if why := unexplained(item, here):
            yield f"{item.key.name}: {why}"


def unexplained(item: Planned, here: Seen) -> str:
    """Why something is left for this agent although no rule leaves it; "" where one does."""
    change, start, name = item.change, here.start, item.key.name
    done = here.outcomes(name)
    if change.action is Action.NONE and not item.steps and not change.held and not drifts(change):
        return ""
    if item.refused or change.blocked:
        return "" if not item.steps else "refused with steps"
    if change.reason == "mark" and start.gaps(name):
        return ""  # M2: a mark after a gap proves nothing, so `--mark` marks once more
    if change.held and not item.steps:
        return "" if not here.flags.get("take_traffic") else "held although traffic may be taken"
    if change.target is not None and change.target.health is Health.FAILED:
        return ""  # R4: Stalled until the manifest changes
    if change.target is not None and change.target.health is Health.CREATING:
        return ""  # R4: Reconciling, for ever where the service never ends
    if any(outcome.reason == "NotTaken" for outcome in done):
        return "" if start.allows_not_taken(name) else "not taken by a service that takes everything"
    failed = {outcome.code for outcome in done if outcome.outcome == "failed"}
    if failed:
        refuses = start.may("selector", name, "refused") or start.switches["validation"] == "strict"
        full = start.switches["max_versions"] < 10 and "UserError" in failed
        return "" if refuses or full else f"failed: {failed}"
    if change.action is Action.DELETE and any(outcome.reason == "CreatesFirst" for outcome in done):
        return ""  # D4: nothing is deleted while something new does not start
    return f"{change.action} {change.reason}: {[step.name for step in item.steps]}"


def the_exit_code_says_what_is_left(here: Seen) -> Broken:
    if here.flags.get("mark_equal"):
        return  # a mark after a gap proves nothing, so there is always one more to make
    # A service that ignores traffic rules lets a new process try again what this one has given up.
    ignored = any(here.start.may("selector", name, "ignored") for name in {*here.before, *here.desired})
    left = [item for item in here.left.planned if not _rests(item)]
    sure = [item for item in left if not here.start.may("selector", item.key.name, "ignored")]
    if here.run.exit_code is ExitCode.DONE and sure:
        yield f"exit 0 and left: {[(item.key.name, item.change.reason) for item in sure]}"
    if here.run.exit_code is not ExitCode.DONE and not left and not ignored:
        yield f"exit {here.run.exit_code} and nothing left"


def _rests(item: Planned) -> bool:
    """Whether `apply` is through with this agent: traffic that is held for somebody is no work (R5)."""
    change = item.change
    failed = change.target is not None and change.target.health is Health.FAILED
    return not item.refused and not item.steps and (change.held or not drifts(change)) and not failed


def _newest_first(held: Json) -> list[Json]:
    numbered = [one for one in held["versions"] if one["version"].isdecimal()]
    return sorted(numbered, key=lambda one: -int(one["version"]))


def _number(held: Json) -> int:
    return max((int(one["version"]) for one in _newest_first(held)), default=0)


LAWS: Final[tuple[Callable[[Seen], Broken], ...]] = (
    what_is_foreign_is_never_written,
    nobody_elses_version_is_deleted,
    what_serves_always_runs,
    no_agent_gets_a_version_too_many,
    nothing_is_written_that_was_not_planned,
    later_attempts_stay_within_what_was_shown,
    nothing_is_left_without_a_reason,
    the_exit_code_says_what_is_left,
)


@pytest.mark.rule("C1", "C2", "C3", "C4", "C5", "C6", "D1", "M2", "M5", "P6", "R2", "R3", "R4", "R5")
@looking(110)
@given(histories())
def test_every_law_holds_after_every_run(sandbox: Sandbox, start: Start) -> None:
    assert lived(sandbox, start) == {}
