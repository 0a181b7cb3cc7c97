"""Shapes of older SDKs arrive in today's shape; what cannot is refused, and nothing goes silently."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import schema
from reconciler.resource import Json, JsonObject
from tests.schema.cases import HOSTED, said
from tests.schema.shapes import DOCUMENTS

VERSIONS = [{"protocol": "responses", "version": "1.0.0"}]


@pytest.mark.parametrize(
    ("old", "new", "notes"),
    [
        pytest.param(
            {**HOSTED, "image": "r/a:1"},
            {**HOSTED, "container_configuration": {"image": "r/a:1"}},
            [("image", "Write `container_configuration: {image: …}`.")],
            id="image-moves",
        ),
        pytest.param(
            {**HOSTED, "image": "r/a:1", "container_configuration": {"registry_connection_id": "c"}},
            {**HOSTED, "container_configuration": {"registry_connection_id": "c", "image": "r/a:1"}},
            [("image", "Write `container_configuration: {image: …}`.")],
            id="image-joins",
        ),
        pytest.param(
            {**HOSTED, "image": "r/a:1", "container_configuration": {"image": "r/a:1"}},
            {**HOSTED, "container_configuration": {"image": "r/a:1"}},
            [("image", "Write `container_configuration: {image: …}`.")],
            id="image-twice-and-equal",
        ),
        pytest.param({**HOSTED, "image": None}, HOSTED, [], id="image-null"),
        pytest.param(
            {**HOSTED, "container_protocol_versions": VERSIONS},
            {**HOSTED, "protocol_versions": VERSIONS},
            [("container_protocol_versions", "Write `protocol_versions`.")],
            id="protocol-versions-renamed",
        ),
        pytest.param(
            {**HOSTED, "container_protocol_versions": VERSIONS, "protocol_versions": VERSIONS},
            {**HOSTED, "protocol_versions": VERSIONS},
            [("container_protocol_versions", "Write `protocol_versions`.")],
            id="protocol-versions-twice-and-equal",
        ),
        pytest.param(
            {**HOSTED, "container_protocol_versions": [], "protocol_versions": VERSIONS},
            {**HOSTED, "protocol_versions": VERSIONS},
            [("container_protocol_versions", "Remove it.")],
            id="protocol-versions-echoed-empty",
        ),
        pytest.param({**HOSTED, "tools": []}, HOSTED, [("tools", "Remove it.")], id="no-tools"),
        pytest.param(
            {**HOSTED, "kind": "ImageBasedHostedAgentDefinition"},
            HOSTED,
            [("kind", "Write `kind: hosted`.")],
            id="class-as-kind",
        ),
        pytest.param(
            {"type": "ImageBasedHostedAgentDefinition", "cpu": "1", "memory": "2Gi", "image": "i"},
            {**HOSTED, "container_configuration": {"image": "i"}},
            [("type", "Write `kind: hosted`."), ("image", "Write `container_configuration: {image: …}`.")],
            id="class-as-type",
        ),
        pytest.param(
            {**HOSTED, "code_configuration": {"runtime": "r", "entry_point": ["a"], "content_hash": "x"}},
            {**HOSTED, "code_configuration": {"runtime": "r", "entry_point": ["a"]}},
            [("code_configuration.content_hash", "Remove it.")],
            id="content-hash-dropped-resolution-left-out",
        ),
        pytest.param(
            {"kind": "prompt", "model": "m", "tools": [{"type": "openapi", "openapi": {"functions": []}}]},
            {"kind": "prompt", "model": "m", "tools": [{"type": "openapi", "openapi": {}}]},
            [("tools.0.openapi.functions", "Remove it.")],
            id="functions-dropped",
        ),
    ],
)
def test_old_definition_is_upgraded_with_a_note(
    old: JsonObject, new: JsonObject, notes: list[object]
) -> None:
    written = deepcopy(old)
    upgraded, findings = schema.upgrade(old)
    assert upgraded == new
    assert [(path, hint) for path, _, hint in map(said, findings)] == notes
    assert all(finding.note for finding in findings)
    assert old == written


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param(
            {**HOSTED, "image": "a", "container_configuration": {"image": "b"}},
            {**HOSTED, "container_configuration": {"image": "b"}},
            (
                "image",
                "`image` differs from `container_configuration.image`",
                "Keep `container_configuration.image` and remove `image`.",
            ),
            id="two-images",
        ),
        pytest.param(
            {**HOSTED, "container_protocol_versions": VERSIONS, "protocol_versions": VERSIONS * 2},
            {**HOSTED, "protocol_versions": VERSIONS * 2},
            (
                "container_protocol_versions",
                "`container_protocol_versions` differs from `protocol_versions`",
                "Keep `protocol_versions` and remove `container_protocol_versions`.",
            ),
            id="two-protocol-lists",
        ),
        pytest.param(
            {**HOSTED, "tools": [{"type": "computer"}]},
            HOSTED,
            (
                "tools",
                "the service no longer gives `tools` to a hosted agent",
                "Put the tools into a toolbox, and let the agent's code call the toolbox.",
            ),
            id="hosted-tools",
        ),
        pytest.param(
            {"kind": "container_app", "ingress_subdomain_suffix": "x"},
            {"kind": "container_app", "ingress_subdomain_suffix": "x"},
            (
                "kind",
                "agents of `kind: container_app` are no longer supported",
                "Use `kind: hosted` with the app's image in `container_configuration`.",
            ),
            id="container-app",
        ),
    ],
)
def test_old_definition_that_cannot_be_upgraded_is_refused(
    old: JsonObject, new: JsonObject, problem: tuple[str, str, str]
) -> None:
    upgraded, findings = schema.upgrade(old)
    assert upgraded == new
    assert [said(finding) for finding in findings if not finding.note] == [problem]


@pytest.mark.parametrize(
    "definition",
    [
        None,
        [],
        "text",
        {},
        HOSTED,
        {"kind": "prompt", "model": "m", "tools": [{"type": "computer"}]},
        {"kind": "prompt", "image": "not ours to move"},
        {"kind": ["hosted"], "type": 1},
        {**HOSTED, "image": "a", "container_configuration": "b"},
        {**HOSTED, "code_configuration": None},
    ],
)
def test_anything_else_is_left_as_it_is(definition: Json) -> None:
    assert schema.upgrade(definition) == (definition, ())


@pytest.mark.parametrize(
    ("old", "new", "notes"),
    [
        pytest.param(
            {"protocols": ["responses"]},
            {"protocol_configuration": {"responses": {}}},
            [("protocols", "Write `protocol_configuration: {responses: {}}`.")],
            id="protocols",
        ),
        pytest.param(
            {"protocols": ["activity_protocol", "a2a"]},
            {"protocol_configuration": {"activity": {}, "a2a": {}}},
            [("protocols", "Write `protocol_configuration: {activity: {}, a2a: {}}`.")],
            id="old-name-of-activity",
        ),
        pytest.param(
            {"protocols": ["activity"], "protocol_configuration": {"activity": {"access_boundaries": []}}},
            {"protocol_configuration": {"activity": {}}},
            [
                ("protocols", "Write `protocol_configuration: {activity: {}}`."),
                ("protocol_configuration.activity.access_boundaries", "Remove it."),
            ],
            id="echoed-by-the-service",
        ),
        pytest.param({"protocols": []}, {}, [("protocols", "Remove it.")], id="empty"),
        pytest.param(
            {"authorization_schemes": [{"type": "Entra", "isolation_key_source": {"kind": "Entra"}}]},
            {"authorization_schemes": [{"type": "Entra"}]},
            [("authorization_schemes.0.isolation_key_source", "Remove it.")],
            id="isolation-key-of-the-service",
        ),
        pytest.param(
            {"publish_approval_status": "approved", "authorization_schemes": [{"type": "Entra"}]},
            {"authorization_schemes": [{"type": "Entra"}]},
            [("publish_approval_status", "Remove it.")],
            id="approval",
        ),
    ],
)
def test_old_endpoint_is_upgraded_with_a_note(old: JsonObject, new: JsonObject, notes: list[object]) -> None:
    written = deepcopy(old)
    upgraded, findings = schema.upgrade_endpoint(old)
    assert upgraded == new
    assert [(path, hint) for path, _, hint in map(said, findings)] == notes
    assert all(finding.note for finding in findings)
    assert old == written


def test_endpoint_with_two_answers_is_refused() -> None:
    old = {"protocols": ["responses"], "protocol_configuration": {"a2a": {}}}
    upgraded, (finding,) = schema.upgrade_endpoint(old)
    assert upgraded == {"protocol_configuration": {"a2a": {}}}
    assert said(finding) == (
        "protocols",
        "`protocols` differs from `protocol_configuration`",
        "Keep `protocol_configuration` and remove `protocols`.",
    )
    assert not finding.note


@pytest.mark.parametrize(
    "endpoint",
    [
        None,
        "text",
        {"protocols": [1]},
        {"protocols": ["responses"], "protocol_configuration": []},
        {"authorization_schemes": [{"type": "Entra", "isolation_key_source": {"kind": "Header"}}]},
        {"authorization_schemes": "Entra"},
    ],
)
def test_endpoint_that_means_something_else_is_left_to_the_check(endpoint: Json) -> None:
    assert schema.upgrade_endpoint(endpoint) == (endpoint, ())
    assert schema.check_endpoint(endpoint)


def test_everything_read_only_is_taken_out() -> None:
    marked = {
        (name, key)
        for document, _ in DOCUMENTS.values()
        for name, node in document["$defs"].items()
        for key, child in node.get("properties", {}).items()
        if child.get("readOnly")
    }
    assert marked == {
        ("CodeConfiguration", "content_hash"),
        ("OpenApiFunctionDefinition", "functions"),
        ("ActivityProtocolConfiguration", "access_boundaries"),
        ("AgentEndpointConfig", "publish_approval_status"),
    }


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
old_keys = st.sampled_from(["kind", "type", "image", "container_configuration", "tools", "protocols"])
hostile = st.dictionaries(old_keys, any_json | st.just("hosted")) | any_json


@given(hostile)
def test_upgrading_twice_changes_nothing_more_and_never_fails(value: Json) -> None:
    for step in (schema.upgrade, schema.upgrade_endpoint):
        upgraded, _ = step(deepcopy(value))
        assert step(upgraded)[0] == upgraded
    schema.check_definition(value)
    schema.check_endpoint(value)
