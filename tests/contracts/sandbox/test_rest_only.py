from __future__ import annotations

import pytest
from azure.ai.projects import AIProjectClient
from azure.core.exceptions import ResourceNotFoundError
from azure.core.pipeline.policies import SansIOHTTPPolicy

from reconciler.sandbox import Sandbox

from .builders import prompt
from .clients import Raw, Refused


async def test_create_agent_is_refused_when_it_exists(raw: Raw) -> None:
    agent = await raw.json("POST", "/agents", body={"name": "a", **prompt()})
    assert (agent["object"], agent["versions"]["latest"]["version"]) == ("agent", "1")
    with pytest.raises(Refused) as refused:
        await raw.json("POST", "/agents", body={"name": "a", **prompt()})
    assert (refused.value.status, refused.value.error["code"]) == (409, "conflict")


async def test_update_agent_makes_a_version_only_for_a_change(raw: Raw) -> None:
    await raw("create_version", "a", prompt())
    for body, expected in (
        (prompt(), "1"),
        (prompt(metadata={"k": "v"}), "2"),
        (prompt(metadata={"k": "v"}), "2"),
        (prompt(metadata={"k": "v"}, description="d"), "3"),
        (prompt("new", metadata={"k": "v"}, description="d"), "4"),
    ):
        agent = await raw.json("POST", "/agents/a", body=body)
        assert agent["versions"]["latest"]["version"] == expected
    with pytest.raises(Refused) as refused:
        await raw.json("POST", "/agents/none", body=prompt())
    assert refused.value.status == 404


async def test_agents_are_imported_from_manifests(raw: Raw) -> None:
    body = {"manifest_id": "m", "parameter_values": {}}
    agent = await raw.json("POST", "/agents:import", body={"name": "a", **body})
    assert agent["versions"]["latest"]["version"] == "1"
    agent = await raw.json("POST", "/agents/a/import", body=body)
    assert agent["versions"]["latest"]["version"] == "2"


async def test_connections_and_deployments_can_be_read(sandbox: Sandbox, project: str) -> None:
    with AIProjectClient(
        sandbox.endpoint(project), credential=object(), authentication_policy=SansIOHTTPPolicy()
    ) as client:
        connections = list(client.connections.list())
        assert client.connections.get(connections[0].name).id == connections[0].id
        assert [each.name for each in client.connections.list(default_connection=True)] == ["search"]
        deployments = list(client.deployments.list())
        assert client.deployments.get("gpt-4.1-mini").model_name == "gpt-4.1-mini"
        assert {each.name for each in deployments} >= {"gpt-4.1-mini"}
        assert list(client.deployments.list(model_name="none")) == []
        with pytest.raises(ResourceNotFoundError):
            client.deployments.get("none")


async def test_unknown_routes_are_404_with_an_envelope(raw: Raw) -> None:
    for method, path in (("GET", "/nothing"), ("PUT", "/agents/a"), ("GET", "/agents/a/versions/1/x")):
        with pytest.raises(Refused) as refused:
            await raw.json(method, path)
        assert refused.value.status == 404


async def test_answers_carry_the_headers_of_the_service(raw: Raw) -> None:
    answer, _ = await raw.send("GET", "/agents", headers={"x-ms-client-request-id": "mine"})
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert len(answer.headers["X-Request-ID"]) == 32
    assert answer.headers["x-ms-client-request-id"] == "mine"
    for name in ("apim-request-id", "x-ms-region", "api-supported-versions", "Access-Control-Expose-Headers"):
        assert answer.headers[name]
    assert "ETag" not in answer.headers
