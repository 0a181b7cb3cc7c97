"""Which events an address hears of: once each, recoveries only of what it heard, and few messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.service.config_spec import NotifySpec, Secret
from reconciler.service.notify.telling import OCCASIONS, Message, messages, wanted
from reconciler.service.records import EventRecord

EVERY = NotifySpec(
    name="ops", url=Secret(env="URL"), on=("drift", "failure", "recovery", "release"), repeat_after="4h"
)
NOW = 1_700_000_000.0
HOUR_S = 3600.0
LINK = "https://reconciler.example.com"


def event(type: str, project: str = "prod", resource: str = "Agent/triage", **more: Any) -> EventRecord:
    given: dict[str, Any] = {"at": NOW, "severity": "warning", "message": f"{resource} says {type}"}
    return EventRecord(type=type, project=project, resource=resource, **(given | more))


class Listener:
    """An address that takes everything; what it heard, message by message."""

    def __init__(self, spec: NotifySpec = EVERY) -> None:
        self.spec = spec
        self.told: dict[str, int] = {}
        self.heard: list[Message] = []

    def tell(self, *events: EventRecord, now: float = NOW) -> list[str]:
        fresh = messages(self.spec, [replace(one, at=now) for one in events], self.told, now, LINK)
        for message in fresh:
            self.told.update(message.told)
        self.heard += fresh
        return [message.title for message in fresh]


STORIES = [
    pytest.param([(0, "failure")], ["Failure: prod"], id="failure"),
    pytest.param([(0, "failure"), (1, "failure")], ["Failure: prod"], id="once"),
    pytest.param([(0, "drift"), (5, "drift")], ["Drift: prod", "Drift: prod"], id="again-after-repeat-after"),
    pytest.param([(0, "failure"), (1, "recovery")], ["Failure: prod", "Recovered: prod"], id="recovery"),
    pytest.param([(0, "recovery")], [], id="recovery-of-nothing"),
    pytest.param(
        [(0, "failure"), (1, "recovery"), (2, "recovery")],
        ["Failure: prod", "Recovered: prod"],
        id="recovery-once",
    ),
    pytest.param(
        [(0, "failure"), (1, "recovery"), (2, "failure")],
        ["Failure: prod", "Recovered: prod", "Failure: prod"],
        id="failure-after-recovery-is-news",
    ),
    pytest.param([(0, "drift"), (1, "recovery")], ["Drift: prod", "Recovered: prod"], id="drift-over"),
    pytest.param([(0, "refused"), (1, "failure")], ["Failure: prod"], id="refusal-is-a-failure"),
    pytest.param([(0, "release"), (1, "release")], ["Released: prod"], id="same-release-once"),
    pytest.param([(0, "applied"), (0, "resumed"), (0, "approved")], [], id="nobody-asked"),
]


@pytest.mark.parametrize(("events", "titles"), STORIES)
def test_what_is_told(events: list[tuple[int, str]], titles: list[str]) -> None:
    listener = Listener()
    for hours, type in events:
        listener.tell(event(type), now=NOW + hours * HOUR_S)

    assert [message.title for message in listener.heard] == titles


def test_a_recovery_of_the_project_ends_what_was_told_of_its_agents() -> None:
    listener = Listener()

    listener.tell(event("failure", resource="Agent/a"), event("drift", resource="Agent/b"))

    assert listener.tell(event("recovery", resource="")) == ["Recovered: prod"]
    assert listener.tell(event("failure", resource="Agent/a")) == ["Failure: prod"]


def test_another_version_released_is_news() -> None:
    listener = Listener()

    assert listener.tell(event("release", message="version 7 serves"))
    assert listener.tell(event("release", message="version 8 serves"))


def test_a_source_fails_and_recovers_by_itself() -> None:
    listener = Listener()
    stale = event("source-stale", project="", resource="", source="agents")

    assert listener.tell(stale) == ["Failure: source agents"]
    assert listener.tell(replace(stale, type="source-recovered", source="other")) == []
    assert listener.tell(replace(stale, type="source-recovered")) == ["Recovered: source agents"]


def test_a_reload_is_told_only_after_one_that_was_refused() -> None:
    listener = Listener()
    reloaded = event("config-reloaded", project="", resource="")

    assert listener.tell(reloaded) == []
    assert listener.tell(replace(reloaded, type="config-rejected")) == ["Failure: service"]
    assert listener.tell(reloaded) == ["Recovered: service"]


ASKED = [
    pytest.param(("failure",), ("*",), event("drift"), False, id="other-occasion"),
    pytest.param(("drift",), ("prod*",), event("drift"), True, id="glob"),
    pytest.param(("drift",), ("dev",), event("drift"), False, id="other-project"),
    pytest.param(("failure",), ("dev",), event("source-stale", project=""), False, id="source-for-some"),
    pytest.param(("failure",), ("*",), event("source-stale", project=""), True, id="source-for-all"),
    pytest.param(("drift", "failure"), ("*",), event("suspended"), False, id="no-occasion"),
]


@pytest.mark.parametrize(("on", "projects", "told", "expected"), ASKED)
def test_an_address_hears_what_it_asked_for(
    on: Any, projects: tuple[str, ...], told: EventRecord, expected: bool
) -> None:
    assert wanted(EVERY.model_copy(update={"on": on, "projects": projects}), told, NOW) is expected


def test_old_events_are_no_news() -> None:
    assert messages(EVERY, [event("failure")], {}, NOW + 3601, LINK) == ()


def test_many_events_of_a_project_are_one_message() -> None:
    drifts = [event("drift", resource=f"Agent/a{n}", message=f"Agent/a{n} was changed") for n in range(37)]

    (message,) = messages(EVERY, drifts, {}, NOW, LINK)

    assert message.body == (
        "Agent/a0 was changed\nAgent/a1 was changed\nAgent/a2 was changed\nAgent/a3 was changed\n"
        "Agent/a4 was changed\n… and 32 more\nhttps://reconciler.example.com/projects/prod"
    )
    assert len(message.told) == 38


def test_a_whole_fleet_is_one_message() -> None:
    fleet = [event("failure", project=f"p{n}", resource="", message="cannot list agents") for n in range(900)]

    (message,) = messages(EVERY, fleet, {}, NOW, LINK)

    assert message.title == "Failure: 900 Projects"
    assert message.body.startswith("p0: cannot list agents\np1: ")
    assert message.body.endswith("… and 895 more\nhttps://reconciler.example.com/")


def test_the_message_says_what_to_do_and_which_commit() -> None:
    (message,) = messages(
        EVERY, [event("failure", hint="Check the role.", commit="1f7ec5eb2c4a4b0e")], {}, NOW, ""
    )

    assert message.body == "Agent/triage says failure (1f7ec5eb2c4a)\nWhat to do: Check the role."


def test_hostile_text_calls_nobody_and_hides_no_link() -> None:
    said = "@everyone <!channel> [click](https://evil.example) \x1b[31m\u202e\n# big " + "x" * 9000

    (message,) = messages(EVERY, [event("drift", message=said)], {}, NOW, "")

    assert message.body.startswith(
        "@\u2060everyone ‹!channel› [click] (https://evil.example) \\x1b[31m\\u202e # big xxx"
    )
    assert len(message.body) < 330
    assert "\n" not in message.body


kinds = st.sampled_from(["drift", "failure", "refused", "recovery", "release"])
resources = st.sampled_from(["", "Agent/a", "Agent/b"])
pauses = st.integers(0, 6 * 3600)
streams = st.lists(st.tuples(pauses, kinds, resources), max_size=25)


def heard_one_by_one(stream: list[tuple[int, str, str]]) -> list[tuple[float, EventRecord, bool]]:
    """Each event with its time, and whether it was told."""
    listener, now, found = Listener(), NOW, []
    for pause_s, type, resource in stream:
        now += pause_s
        one = event(type, resource=resource)
        found.append((now, one, bool(listener.tell(one, now=now))))
    return found


def covers(recovery: EventRecord, resource: str) -> bool:
    return recovery.resource in ("", resource)


@given(streams)
def test_nothing_is_told_twice_in_its_time_unless_it_was_over(stream: list[tuple[int, str, str]]) -> None:
    last: dict[tuple[str, str], float] = {}
    for now, one, told in heard_one_by_one(stream):
        occasion, thing = OCCASIONS[one.type], (OCCASIONS[one.type], one.resource)
        if occasion == "recovery" and told:
            last = {thing: at for thing, at in last.items() if not covers(one, thing[1])}
        elif told:
            assert now - last.get(thing, 0.0) >= 4 * HOUR_S
            last[thing] = now


@given(streams)
def test_a_recovery_is_told_only_of_trouble_that_was_told(stream: list[tuple[int, str, str]]) -> None:
    open_things: set[str] = set()
    for _, one, told in heard_one_by_one(stream):
        occasion = OCCASIONS[one.type]
        if told and occasion in ("failure", "drift"):
            open_things.add(one.resource)
        elif told and occasion == "recovery":
            ended = {resource for resource in open_things if covers(one, resource)}
            # Agents that recovered one by one may be followed by the word that all is well.
            assert ended or one.resource == ""
            open_things -= ended


@given(streams)
def test_nobody_is_left_to_believe_that_all_is_well(stream: list[tuple[int, str, str]]) -> None:
    """Near miss: the second failure of a thing that recovered would be silent for `repeat_after`."""
    truth: dict[tuple[str, str], bool] = {}
    belief: dict[tuple[str, str], bool] = {}
    for _, one, told in heard_one_by_one(stream):
        occasion = OCCASIONS[one.type]
        for state, holds in ((truth, True), (belief, told)):
            if not holds or occasion == "release":
                continue
            if occasion == "recovery":
                for thing in state:
                    state[thing] = state[thing] and not covers(one, thing[1])
            else:
                state[occasion, one.resource] = True
        assert {thing for thing, bad in truth.items() if bad} <= {
            thing for thing, bad in belief.items() if bad
        }


@given(streams, st.data())
@settings(max_examples=60)
def test_a_crash_after_sending_repeats_nothing(
    stream: list[tuple[int, str, str]], data: st.DataObject
) -> None:
    events = [event(type, resource=resource) for _, type, resource in stream if type != "recovery"]
    listener = Listener()
    listener.tell(*events)

    kept = data.draw(st.integers(0, len(listener.heard)))
    again = Listener()
    for message in listener.heard[:kept]:
        again.told.update(message.told)
    titles = again.tell(*events, now=NOW + 60)

    assert titles == [message.title for message in listener.heard[kept:]]


@given(st.lists(st.sampled_from(["drift", "failure", "recovery"]), max_size=12))
def test_a_batch_ends_with_how_it_is(types: list[str]) -> None:
    """However many events one turn finds, the last message about a thing is not rosier than the truth."""
    listener = Listener()
    listener.tell(*(event(type) for type in types))

    if types and types[-1] != "recovery":
        assert listener.heard[-1].occasion != "recovery"
