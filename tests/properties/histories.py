"""Histories: what a project holds at first, and what Git, people and the service do between the runs."""

from __future__ import annotations

import itertools
import os
import urllib.error
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

from reconciler.mark import MARK_KEY
from reconciler.resource import Desired
from reconciler.sandbox import Sandbox
from tests.properties.lives import CHANGED, OWNER, agents
from tests.properties.manifests import KINDS, desired_of, specs
from tests.world import World

Json = Any
_numbers = itertools.count(1)

DEDUPE: Final = ["off", "off", "latest-definition", "latest-definition+metadata+description"]
SELECTOR: Final = ["accepted"] * 4 + ["refused", "ignored"]
# Long enough for the next run to begin inside of it.
LAG_S: Final = 0.06


@dataclass(frozen=True)
class Event:
    """One thing that happens to an agent between two runs.

    `what` is commit or removed (Git), edit, draft, copy, move, split, cut, disable, enable (somebody in the
    portal), or breaks and mends (the service stops and begins to start versions). `dice` decides details.
    """

    what: str
    name: str
    dice: int = 0
    desired: Desired | None = None


@dataclass(frozen=True)
class Start:
    """What a history starts from: manifests, seeded agents, switches of the service, flags of the runs."""

    desired: tuple[Desired, ...]
    agents: tuple[Json, ...]
    cut: tuple[tuple[str, str], ...]
    switches: Json
    flags: Json
    events: tuple[Event, ...] = ()

    def kinds(self, name: str) -> set[str]:
        """The kinds of definition that this agent has or gets at any time."""
        known = [*self.desired, *(event.desired for event in self.events if event.desired)]
        wanted = {want.form["definition"]["kind"] for want in known if want.key.name == name}
        versions = [one for agent in self.agents if agent["name"] == name for one in agent["versions"]]
        return wanted | {one["definition"]["kind"] for one in versions}

    def may(self, switch: str, name: str, *values: str) -> bool:
        """Whether a switch by kind has one of these values for this agent."""
        return any(self.switches[switch][kind] in values for kind in self.kinds(name))

    def allows_not_taken(self, name: str) -> bool:
        """Whether the service may answer a write with success and do nothing."""
        return self.may("dedupe", name, *DEDUPE[2:]) or self.may("selector", name, "ignored")

    def gaps(self, name: str) -> int:
        """How often the newest version of this agent may have been deleted."""
        return sum(1 for cut, _ in self.cut if cut == name) + sum(
            1 for event in self.events if event.name == name and event.what in ("cut", "draft", "edit")
        )


switches = st.fixed_dictionaries(
    {
        "dedupe": st.fixed_dictionaries({kind: st.sampled_from(DEDUPE) for kind in KINDS}),
        "selector": st.fixed_dictionaries({kind: st.sampled_from(SELECTOR) for kind in KINDS}),
        "provisioning": st.fixed_dictionaries(
            {
                "delay_s": st.sampled_from([0, 0, 0.03]),
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
        "drafts": st.sampled_from(["allowed", "allowed", "downgraded", "refused"]),
        "list_lag_s": st.sampled_from([0, 0, 0, LAG_S]),
        "validation": st.sampled_from(["required", "required", "strict", "off"]),
        "max_versions": st.sampled_from([1000, 1000, 1000, 3]),
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
                    name, directed(spec, draw(st.sampled_from(numbers)), draw(st.integers(0, 15)))
                )
        if where != "live":
            desired.append(want)
    return Start(tuple(desired), tuple(lives), tuple(cut), draw(switches), draw(flags))


def directed(spec: Json, number: str, dice: int) -> Json:
    """Sometimes Git itself says which version gets the traffic: by a pinned version, or by hand."""
    if dice == 0:
        return {**spec, "release": {**spec["release"], "version": number}}
    if dice in (1, 2):
        rule = {"type": "FixedRatio", "agent_version": number, "traffic_percentage": 100}
        endpoint = {"version_selector": {"version_selection_rules": [rule]}}
        return {**spec, "release": {**spec["release"], "strategy": "manual"}, "endpoint": endpoint}
    return spec


_PORTAL: Final = ("edit", "edit", "draft", "copy", "move", "split", "cut", "disable", "enable")


@st.composite
def histories(draw: st.DrawFn) -> Start:
    """A start and up to three events, each followed by a run."""
    start = draw(starts())
    names = sorted({want.key.name for want in start.desired} | {agent["name"] for agent in start.agents})
    events = []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(names))
        what = draw(st.sampled_from(["commit", "commit", "removed", "breaks", "mends", *_PORTAL]))
        event = Event(what, name, draw(st.integers(0, 15)))
        if what == "commit":
            spec = draw(specs(tuple(sorted(start.kinds(name)))))
            spec = directed(spec, str(1 + event.dice % 4), draw(st.integers(0, 9)))
            event = replace(event, desired=desired_of(name, spec))
        events.append(event)
    return replace(start, events=tuple(events))


def begun(sandbox: Sandbox, start: Start) -> World:
    """A project that nobody used, in the state of the start."""
    world = World(sandbox.url, f"p{os.getpid()}-{next(_numbers)}", Path("-"))
    world.settings(**start.switches)
    world.seed(*start.agents)
    for name, number in start.cut:
        world.call("DELETE", f"/agents/{name}/versions/{number}")
    return world


def happen(world: World, event: Event, desired: dict[str, Desired]) -> None:
    """Let the event happen; what the service refuses to a person does not happen."""
    match event.what:
        case "commit":
            assert event.desired is not None
            desired[event.name] = event.desired
        case "removed":
            desired.pop(event.name, None)
        case "breaks" | "mends":
            world.settings(provisioning={"outcome": "failed" if event.what == "breaks" else "active"})
        case _:
            try:
                _in_the_portal(world, event)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code >= 500:
                    raise


def _in_the_portal(world: World, event: Event) -> None:
    agent = world.live(event.name)
    if agent is None:
        return
    path, latest = f"/agents/{event.name}", agent["versions"]["latest"]
    numbers = [one["version"] for one in world.call("GET", f"{path}/versions?limit=100")["data"]]
    number = numbers[event.dice % len(numbers)] if numbers else latest["version"]
    match event.what:
        case "edit" | "draft":
            draft = {"draft": True} if event.what == "draft" else {}
            world.call("POST", f"{path}/versions", {**_edited(latest, event.dice), **draft})
        case "copy":
            body = {"definition": latest["definition"], "metadata": latest["metadata"]}
            world.call("POST", f"/agents/{event.name}-copy/versions", body)
        case "move":
            world.select(event.name, **{f"v{number}": 100})
        case "split":
            world.select(event.name, **{f"v{latest['version']}": 50, f"v{number}": 50})
        case "cut":
            # Of a history that Git goes on with; a person who deletes the whole agent is another story.
            if len(numbers) > 1:
                world.call("DELETE", f"{path}/versions/{number}")
        case state:
            world.call("POST", f"{path}:{state}")


def _edited(latest: Json, dice: int) -> Json:
    """A version made from the latest one: changed or not, with its metadata, a part of it, or none."""
    definition = latest["definition"]
    if dice % 3:
        definition = {**definition, **CHANGED[definition["kind"]]}
    metadata = dict(latest["metadata"])
    if dice % 4 == 1:
        metadata.pop(MARK_KEY, None)
    return {"definition": definition, **({"metadata": metadata} if dice % 4 else {})}


def owner_of(name: str, version: Json) -> str:
    """Whose genuine mark a raw version carries, told from its text alone; "" for nobody's."""
    text, number = version.get("metadata", {}).get(MARK_KEY, ""), version["version"]
    if not number.isdecimal() or text[-1:] != "}" or f'"for":"Agent/{name}"' not in text:
        return ""
    if f'"base":"{int(number) - 1}"' not in text:
        return ""
    return OWNER if f'"owner":"{OWNER}"' in text else "somebody"
