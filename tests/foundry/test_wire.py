"""The service's JSON as values: whatever comes, it becomes a value or an error that says so."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ServiceError, explain
from reconciler.foundry import wire
from reconciler.mark import MARK_KEY, encode
from reconciler.resource import Failure, Health, Mark

Json = Any

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["enabled", "disabled", "active", "FixedRatio", "1", "@latest", "9" * 5_000])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def objects(**fields: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Objects with these fields, each missing now and then, and now and then of any type."""
    return st.fixed_dictionaries({}, optional={name: own | anything for name, own in fields.items()})


marks = st.builds(
    lambda text: {MARK_KEY: text},
    st.text(max_size=30)
    | st.sampled_from(['{"v":1}', "[]", '{"v":1,"owner":"o","for":"Agent/a","spec":"s","base":"0"}']),
)
versions = objects(
    version=st.sampled_from(["1", "12", "draft-1772649942000", "", "x" * 100]),
    definition=objects(kind=st.sampled_from(["prompt", "hosted"])),
    metadata=marks,
    status=st.sampled_from([*Health, "warming-up"]),
    error=objects(code=st.text(max_size=5), message=st.text(max_size=5)),
    created_at=st.integers(),
    draft=st.booleans(),
    description=st.text(max_size=5),
)
endpoints = objects(
    version_selector=objects(
        version_selection_rules=st.lists(
            objects(
                type=st.just("FixedRatio"),
                agent_version=st.text(max_size=3),
                traffic_percentage=st.integers(),
            ),
            max_size=3,
        )
    )
)
agents = objects(
    name=st.sampled_from(["triage", ""]),
    versions=objects(latest=versions),
    agent_endpoint=endpoints,
    agent_card=anything,
    state=st.sampled_from(["enabled", "disabled"]),
    configuration_state=st.sampled_from(["enabled", "disabled"]),
    state_source=st.just("agent_blueprint"),
)


@given(agents | anything)
def test_any_agent_is_a_value_or_an_error(body):
    with suppress(ServiceError):
        live = wire.live_of("prod", body)
        assert live.key.name == body["name"]
        # What every stage asks of it has an answer too.
        assert (live.known, live.traffic, live.serving) is not None


@given(versions | anything)
def test_any_version_is_a_value_or_an_error(body):
    with suppress(ServiceError):
        version = wire.version_of(body)
        assert version.form["definition"] is body["definition"]
        assert MARK_KEY not in version.form.get("metadata", {})
        assert version.order >= -1


@given(endpoints | anything)
def test_any_selector_is_traffic_or_none(endpoint):
    traffic = wire.selector_of(endpoint)
    assert traffic is None or all(type(share) is int for _, share in traffic)


@given(scalars | st.lists(anything, max_size=3))
def test_an_answer_of_something_else_says_what_was_read(body):
    for reading in (lambda: wire.version_of(body), lambda: wire.live_of("prod", body)):
        with pytest.raises(ServiceError, match=r"^cannot read a") as caught:
            reading()
        assert "reconciler doctor" in caught.value.hint


VERSION = {"version": "7", "definition": {"kind": "prompt"}}


@pytest.mark.parametrize(
    ("status", "health"),
    [
        pytest.param("active", Health.ACTIVE, id="active"),
        pytest.param("creating", Health.CREATING, id="creating"),
        pytest.param("failed", Health.FAILED, id="failed"),
        pytest.param("deleting", Health.DELETING, id="deleting"),
        pytest.param("warming-up", Health.CREATING, id="unknown-status-gets-no-traffic"),
        pytest.param(["active"], Health.CREATING, id="wrong-type-gets-no-traffic"),
        pytest.param(None, Health.ACTIVE, id="recordings-without-status-served"),
    ],
)
def test_health(status, health):
    assert wire.version_of({**VERSION, "status": status}).health is health


@pytest.mark.parametrize(
    ("endpoint", "traffic"),
    [
        pytest.param(None, None, id="no-endpoint-follows-the-latest"),
        pytest.param({"protocols": ["responses"]}, None, id="no-selector-follows-the-latest"),
        pytest.param({"version_selector": {"version_selection_rules": []}}, None, id="no-rules"),
        pytest.param({"version_selector": "7"}, None, id="wrong-type"),
        pytest.param(
            {"version_selector": {"version_selection_rules": [{"agent_version": "7"}]}},
            (("7", 0),),
            id="no-share",
        ),
        pytest.param(
            wire.selector_to("7")["agent_endpoint"],
            (("7", 100),),
            id="what-we-send-is-what-we-read",
        ),
        pytest.param(
            {
                "version_selector": {
                    "version_selection_rules": [
                        {"type": "FixedRatio", "agent_version": "6", "traffic_percentage": 90},
                        {"type": "Sticky", "agent_version": "7", "by": "user"},
                    ]
                }
            },
            (("6", 90), ("?Sticky", 0)),
            id="unknown-rule-makes-a-split",
        ),
        pytest.param(
            {"version_selector": {"version_selection_rules": ["FixedRatio"]}},
            (("?FixedRatio", 0),),
            id="rule-of-wrong-type-makes-a-split",
        ),
    ],
)
def test_traffic(endpoint, traffic):
    assert wire.selector_of(endpoint) == traffic


@pytest.mark.rule("C6")
@pytest.mark.parametrize(
    ("states", "enabled", "disabled_by"),
    [
        pytest.param({}, True, "", id="recordings-without-state"),
        pytest.param({"state": "disabled"}, False, "", id="before-2.7"),
        pytest.param(
            {"state": "disabled", "configuration_state": "disabled"}, False, "", id="by-configuration"
        ),
        pytest.param(
            {"state": "disabled", "configuration_state": "enabled", "state_source": "agent_blueprint"},
            True,
            "agent_blueprint",
            id="by-identity-is-not-ours-to-change",
        ),
        pytest.param({"state": "enabled", "configuration_state": None}, True, "", id="null-configuration"),
    ],
)
def test_state(states, enabled, disabled_by):
    live = wire.live_of("prod", {"name": "triage", **states})
    assert (live.enabled, live.disabled_by) == (enabled, disabled_by)


def test_drafts_are_told_from_releases():
    assert wire.version_of({**VERSION, "version": "draft-1772649942000"}).draft
    assert wire.version_of({**VERSION, "draft": True}).draft
    assert not wire.version_of(VERSION).draft


@pytest.mark.rule("M1")
def test_a_mark_is_read_and_taken_out_and_a_broken_one_is_told():
    mark = Mark("git.example.com/a#prod", "Agent/triage", "1:00", "6")
    body = {**VERSION, "metadata": {MARK_KEY: encode(mark), "team": "support"}}
    version = wire.version_of(body)
    assert (version.mark, version.form["metadata"]) == (mark, {"team": "support"})

    broken = {**VERSION, "metadata": {MARK_KEY: "{"}}
    live = wire.live_of("prod", {"name": "triage", "versions": {"latest": broken}})
    assert live.warnings == ("the mark of version 7 cannot be read and counts as none",)


def test_a_failure_keeps_its_reason_short():
    body = {**VERSION, "status": "failed", "error": {"code": "image_pull_failed", "message": "x" * 9_000}}
    assert wire.version_of(body).failure == Failure("image_pull_failed", "x" * 2_000)


def test_a_version_that_is_none_names_its_agent():
    with pytest.raises(ServiceError) as caught:
        wire.live_of("prod", {"name": "triage", "versions": {"latest": {"version": 7}}})
    assert explain(caught.value) == [
        "cannot read a version of agent triage: the answer has no version number or definition"
    ]


def test_the_hash_of_the_code_is_never_sent_back():
    code = {"runtime": "python_3_13", "content_hash": "00"}
    sent = wire.without_read_only({"kind": "hosted", "code_configuration": code})
    assert sent == {"kind": "hosted", "code_configuration": {"runtime": "python_3_13"}}
    assert wire.without_read_only({"kind": "prompt"}) == {"kind": "prompt"}
