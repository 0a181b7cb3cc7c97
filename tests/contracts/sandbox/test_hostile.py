"""Whatever comes in, the answer is an envelope with a 4xx, never a 5xx and never a traceback."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.sandbox import Sandbox

from .builders import code_definition, hosted, prompt
from .conftest import Control

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def exchange(sandbox: Sandbox, content: bytes) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer to bytes on the wire."""
    address = urlsplit(sandbox.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(content)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, json.loads(answer.read() or b"{}")


def request(sandbox: Sandbox, method: str, path: str, body: bytes = b"", **headers: str) -> int:
    connection = HTTPConnection(urlsplit(sandbox.url).netloc, timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            assert json.loads(content)["error"]["code"]
            assert b"Traceback" not in content
        return answer.status
    finally:
        connection.close()


WRITES = [
    ("POST", "/agents/a/versions"),
    ("POST", "/agents"),
    ("POST", "/agents/a"),
    ("PATCH", "/agents/a"),
    ("POST", "/agents/a/versions:import"),
    ("POST", "/agents:generate"),
    ("POST", "/agents/a/endpoint/sessions"),
    ("POST", "/openai/v1/responses"),
    ("POST", "/openai/v1/conversations"),
    ("POST", "/agents/a/endpoint/protocols/openai/responses"),
]


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"1",
        b'"x"',
        b"\xff",
        b"null",
        b'{"definition": NaN}',
        b"[" * 5000,
        b'{"a":' * 300 + b"1" + b"}" * 300,
    ],
    ids=["open", "list", "number", "text", "bytes", "null", "nan", "deep-open", "deep"],
)
def test_bodies_that_are_no_json_objects_are_400(
    sandbox: Sandbox, control: Control, method: str, path: str, body: bytes
) -> None:
    control.seed(agents=[{"name": "a", "definition": prompt()["definition"]}])
    target = f"/api/projects/{control.project}{path}?api-version=v1"
    assert request(sandbox, method, target, body) == 400


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "definition",
    "metadata",
    "description",
    "draft",
    "blueprint_reference",
    "digital_worker_type",
    "name",
    "agent_endpoint",
    "agent_card",
    "manifest_id",
    "parameter_values",
    "kind",
    "goal",
    "tools",
    "model",
    "agent_session_id",
    "version_indicator",
    "input",
    "stream",
    "conversation",
    "items",
    "previous_response_id",
    "agent_reference",
    "store",
]
bodies = st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=5)
definitions = st.dictionaries(
    st.sampled_from(
        [
            "model",
            "instructions",
            "tools",
            "cpu",
            "memory",
            "container_configuration",
            "code_configuration",
            "skills",
            "environment_variables",
            "session_configuration",
            "conversation_engine",
            "otel_agent_id",
        ]
    ),
    json_values,
    max_size=4,
)


@pytest.mark.parametrize("level", ["off", "required", "strict"])
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_no_json_body_breaks_a_route(
    sandbox: Sandbox, control: Control, method: str, path: str, level: str
) -> None:
    control.seed(agents=[{"name": "a", "definition": prompt()["definition"]}])
    control.set(validation=level, features="off", provisioning={"delay_s": 0})
    target = f"/api/projects/{control.project}{path}?api-version=v1"

    @settings(QUICK, max_examples=15)
    @given(
        body=bodies, kind=st.sampled_from(["prompt", "hosted", "voice", "external", "x"]), sent=definitions
    )
    def check(body: dict[str, Any], kind: str, sent: dict[str, Any]) -> None:
        for content in (body, {**body, "definition": {"kind": kind, **sent}}):
            assert request(sandbox, method, target, json.dumps(content).encode("utf-8", "replace")) < 500
        assert request(sandbox, "GET", f"/api/projects/{control.project}/agents?api-version=v1") == 200

    check()


@pytest.mark.parametrize("key", ["agent_endpoint", "agent_card"])
def test_no_patch_breaks_an_agent(sandbox: Sandbox, control: Control, key: str) -> None:
    control.seed(agents=[{"name": "a", "definition": hosted()["definition"]}])
    control.set(validation="off")
    base = f"/api/projects/{control.project}/agents/a"
    names = ["version_selector", "protocols", "protocol_configuration", "authorization_schemes", "version"]
    rules = st.fixed_dictionaries({"version_selection_rules": json_values})

    @QUICK
    @given(patch=st.dictionaries(st.sampled_from(names), json_values | rules, max_size=3))
    def check(patch: dict[str, Any]) -> None:
        content = json.dumps({key: patch}).encode("utf-8", "replace")
        assert request(sandbox, "PATCH", f"{base}?api-version=v1", content) < 500
        assert request(sandbox, "GET", f"{base}?api-version=v1") == 200
        asked = f"{base}/endpoint/protocols/openai/responses?api-version=v1"
        assert request(sandbox, "POST", asked, b"{}") < 500
        assert request(sandbox, "DELETE", f"{base}/versions/9?api-version=v1") == 404

    check()


@given(path=st.binary(max_size=40), query=st.binary(max_size=20))
@QUICK
def test_no_target_breaks_the_server(sandbox: Sandbox, control: Control, path: bytes, query: bytes) -> None:
    target = b"/api/projects/p/" + path.translate(None, b" \r\n") + b"?" + query.translate(None, b" \r\n#")
    status, answer = exchange(sandbox, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert 400 <= status < 500 or status == 200
    assert status == 200 or answer["error"]["code"]
    control.ok("GET", "requests")


@pytest.mark.parametrize(
    "target",
    [
        "/api/projects/p/agents/%ff?api-version=v1",
        "/api/projects/p/agents/%00?api-version=v1",
        "/api/projects/p/agents/%zz?api-version=v1",
        "/api/projects/%0a/agents?api-version=v1",
        "/api/projects//agents?api-version=v1",
        "/api/projects/p/agents?api-version=v1&limit=%ff",
        "/api/projects/p/agents?api-version=v1&limit=-5",
        "/api/projects/p/agents?api-version=v1&limit=1e3",
        "/api/projects/p/agents?api-version=v1&limit=999999999999999999999999",
        "/api/projects/p/agents?api-version=v1&after=%00",
        "/api/projects/p/agents?api-version=v1&" + "a=1&" * 200,
        "/api/projects/p/agents",
        "/api/projects/p/agents?api-version=",
        "/api",
        "/" + "a" * 9000,
    ],
)
def test_hostile_targets_are_refused(sandbox: Sandbox, target: str) -> None:
    status, answer = exchange(sandbox, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert 400 <= status < 500
    assert answer["error"]["code"]


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /api/projects/p/agents HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST /api/projects/p/agents HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/projects/p/agents?api-version=v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        b"Content-Encoding: gzip\r\n\r\nabc",
        b"POST /api/projects/p/agents?api-version=v1 HTTP/1.1\r\nHost: x\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_gets_an_envelope_too(sandbox: Sandbox, content: bytes) -> None:
    status, answer = exchange(sandbox, content)
    assert 400 <= status < 500
    assert answer["error"]["code"]


def test_headers_that_are_no_utf8_break_nothing(sandbox: Sandbox, control: Control) -> None:
    control.seed(agents=[{"name": "a", "definition": prompt()["definition"]}])
    path = f"/api/projects/{control.project}/agents/a/endpoint/protocols/openai/responses?api-version=v1"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n".encode()
    for name in (b"x-agent-version-override", b"x-ms-client-request-id", b"Foundry-Features"):
        status, _ = exchange(sandbox, head + name + b": \xff\xfe\r\n\r\n{}")
        assert status < 500


def test_too_big_bodies_are_413(sandbox: Sandbox) -> None:
    path = "/api/projects/p/agents/a/versions?api-version=v1"
    assert request(sandbox, "POST", path, b'"' + b"a" * (8 * 1024 * 1024) + b'"') == 413
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".encode()
    assert exchange(sandbox, head)[0] == 413


@given(body=st.binary(max_size=200), inner=st.binary(max_size=60))
@QUICK
def test_no_form_breaks_the_upload(sandbox: Sandbox, body: bytes, inner: bytes) -> None:
    path = "/api/projects/forms/agents/a/versions?api-version=v1"
    head = b"--b\r\nContent-Disposition: form-data; name=code; filename="
    metadata = b"\r\n--b\r\nContent-Disposition: form-data; name=metadata\r\n\r\n"
    framed = head + inner + b"\r\n\r\nx" + metadata + body + b"\r\n--b--"
    for content in (body, framed):
        status = request(
            sandbox, "POST", path, content, **{"Content-Type": "multipart/form-data; boundary=b"}
        )
        assert status < 500
    assert code_definition()


@pytest.mark.parametrize("name", ["settings", "faults"])
def test_no_value_breaks_the_own_routes(sandbox: Sandbox, control: Control, name: str) -> None:
    keys = ["match", "action", "times", "status", "delay_s", "dedupe", "latency_s", "seed", "faults", "rules"]
    words = st.dictionaries(st.sampled_from(keys), json_values, max_size=3)

    @QUICK
    @given(body=json_values | words | st.lists(words, max_size=2))
    def check(body: Any) -> None:
        content = json.dumps(body).encode("utf-8", "replace")
        status = request(sandbox, "PUT", f"/_sandbox/{name}?project={control.project}", content)
        assert status in (200, 400)
        assert request(sandbox, "GET", f"/_sandbox/{name}?project={control.project}") == 200

    check()
    control.ok("DELETE", name, project=control.project)
