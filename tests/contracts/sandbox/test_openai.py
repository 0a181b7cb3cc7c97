from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import openai
import pytest
from azure.ai.projects import AIProjectClient
from azure.ai.projects.aio import AIProjectClient as AsyncAIProjectClient
from azure.core.pipeline.policies import SansIOHTTPPolicy

from reconciler.sandbox import Sandbox

from .builders import hosted, prompt, shares
from .clients import Raw
from .conftest import Control

Connect = Callable[..., openai.OpenAI]


@pytest.fixture
def connect(sandbox: Sandbox, project: str) -> Iterator[Connect]:
    """OpenAI clients as the SDK makes them, for the project or one agent."""
    with ExitStack() as stack:
        client = stack.enter_context(
            AIProjectClient(
                sandbox.endpoint(project), credential=object(), authentication_policy=SansIOHTTPPolicy()
            )
        )

        def make(agent: str | None = None) -> openai.OpenAI:
            chosen = {"agent_name": agent} if agent else {}
            made = client.get_openai_client(api_key="any", max_retries=0, **chosen)
            return stack.enter_context(closing(made))

        yield make


async def test_an_agent_answers_through_its_endpoint(raw: Raw, connect: Connect) -> None:
    await raw("create_version", "a", prompt())
    answer = connect("a").responses.with_raw_response.create(input="Hello?")
    assert answer.parse().output_text == "This is a canned answer of agent a, version 1."
    assert answer.headers["x-agent-version-resolution"] == "latest"
    assert answer.headers["x-agent-version-resolved"] == "1"
    assert answer.headers["x-agent-session-id"]


async def test_an_agent_answers_through_the_project(raw: Raw, connect: Connect) -> None:
    await raw("create_version", "a", prompt())
    await raw("create_version", "a", prompt("two"))
    for version, expected in ((None, "2"), ("1", "1")):
        reference = {"name": "a", "type": "agent_reference", **({"version": version} if version else {})}
        answer = connect().responses.create(input="Hello?", extra_body={"agent_reference": reference})
        assert answer.output_text.endswith(f"version {expected}.")


async def test_a_model_answers_without_an_agent(connect: Connect) -> None:
    answer = connect().responses.create(model="gpt-4.1-mini", input=[{"role": "user", "content": "Hello?"}])
    assert (answer.model, answer.status) == ("gpt-4.1-mini", "completed")
    assert "gpt-4.1-mini" in answer.output_text


async def test_requests_follow_the_selector_in_its_ratio(raw: Raw, connect: Connect) -> None:
    await raw("create_version", "a", prompt())
    await raw("create_version", "a", prompt("two"))
    await raw("update_details", "a", shares(v1=95, v2=5))
    client, found = connect("a"), Counter[str]()
    for _ in range(100):
        headers = client.responses.with_raw_response.create(input="?").headers
        assert headers["x-agent-version-resolution"] == "pinned"
        found[headers["x-agent-version-resolved"]] += 1
    assert found == {"1": 95, "2": 5}


async def test_an_override_header_names_the_version(raw: Raw, connect: Connect) -> None:
    await raw("create_version", "a", prompt())
    await raw("create_version", "a", prompt("two"))
    answer = connect("a").responses.with_raw_response.create(
        input="?", extra_headers={"x-agent-version-override": "1"}
    )
    assert answer.headers["x-agent-version-resolved"] == "1"
    with pytest.raises(openai.NotFoundError):
        connect("a").responses.create(input="?", extra_headers={"x-agent-version-override": "9"})


async def test_disabled_agents_answer_403(raw: Raw, connect: Connect) -> None:
    await raw("create_version", "a", prompt())
    await raw("disable", "a")
    for ask in (
        lambda: connect("a").responses.create(input="?"),
        lambda: connect("a").conversations.create(),
        lambda: connect().responses.create(
            input="?", extra_body={"agent_reference": {"name": "a", "type": "agent_reference"}}
        ),
    ):
        with pytest.raises(openai.PermissionDeniedError):
            ask()
    await raw("enable", "a")
    assert connect("a").responses.create(input="?").status == "completed"


async def test_hosted_versions_answer_once_they_are_active(
    raw: Raw, connect: Connect, control: Control
) -> None:
    control.set(provisioning={"delay_s": 0.3})
    await raw("create_version", "a", hosted())
    with pytest.raises(openai.APIStatusError) as refused:
        connect("a").responses.create(input="?")
    assert (refused.value.status_code, refused.value.code) == (424, "session_not_ready")
    await asyncio.sleep(0.35)
    answer = connect("a").responses.with_raw_response.create(input="?")
    session = await raw("get_session", "a", answer.headers["x-agent-session-id"])
    assert session["status"] == "active"


async def test_a_session_stays_on_its_version(raw: Raw, connect: Connect, control: Control) -> None:
    control.set(provisioning={"delay_s": 0})
    await raw("create_version", "a", hosted())
    first = connect("a").responses.with_raw_response.create(input="?")
    await raw("create_version", "a", hosted("acr.example/a:2"))
    again = connect("a").responses.with_raw_response.create(
        input="?", extra_body={"agent_session_id": first.headers["x-agent-session-id"]}
    )
    assert again.headers["x-agent-version-resolved"] == "1"


async def test_answers_stream(raw: Raw, connect: Connect) -> None:
    await raw("create_version", "a", prompt())
    events = list(connect("a").responses.create(input="?", stream=True))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text == "This is a canned answer of agent a, version 1."
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_responses_are_kept_until_deleted(connect: Connect) -> None:
    client = connect()
    made = client.responses.create(model="m", input="Hello?")
    assert client.responses.retrieve(made.id).output_text == made.output_text
    (item,) = client.responses.input_items.list(made.id)
    assert item.content[0].text == "Hello?"
    chained = client.responses.create(model="m", input="And?", previous_response_id=made.id)
    assert chained.previous_response_id == made.id
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(made.id)
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


async def test_responses_are_not_kept_with_store_false(connect: Connect) -> None:
    made = connect().responses.create(model="m", input="Hello?", store=False)
    with pytest.raises(openai.NotFoundError):
        connect().responses.retrieve(made.id)


@pytest.mark.parametrize("where", [None, "a"])
async def test_conversations_hold_what_was_said(raw: Raw, connect: Connect, where: str | None) -> None:
    await raw("create_version", "a", prompt())
    client = connect(where)
    made = client.conversations.create(metadata={"k": "v"}, items=[{"role": "user", "content": "One"}])
    assert client.conversations.retrieve(made.id).metadata == {"k": "v"}
    assert client.conversations.update(made.id, metadata={"k": "w"}).metadata == {"k": "w"}
    client.responses.create(model="m", input="Two", conversation=made.id)
    roles = [item.role for item in client.conversations.items.list(made.id, order="asc", limit=1)]
    assert roles == ["user", "user", "assistant"]
    added = client.conversations.items.create(made.id, items=[{"role": "user", "content": "Three"}])
    item = client.conversations.items.retrieve(added.data[0].id, conversation_id=made.id)
    assert item.content[0].text == "Three"
    assert client.conversations.items.delete(item.id, conversation_id=made.id).id == made.id
    assert client.conversations.delete(made.id).deleted is True
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.list(made.id)


async def test_the_async_client_works_too(raw: Raw, sandbox: Sandbox, project: str) -> None:
    await raw("create_version", "a", prompt())
    async with (
        AsyncAIProjectClient(
            sandbox.endpoint(project), credential=object(), authentication_policy=SansIOHTTPPolicy()
        ) as client,
        client.get_openai_client(agent_name="a", api_key="any") as asking,
    ):
        answer = await asking.responses.create(input="?")
    assert answer.output_text.endswith("version 1.")


async def test_only_the_agent_endpoint_needs_an_api_version(raw: Raw, sandbox: Sandbox, project: str) -> None:
    await raw("create_version", "a", prompt())
    base = sandbox.endpoint(project)
    http = raw._http
    async with http.post(f"{base}/agents/a/endpoint/protocols/openai/responses", json={"input": "?"}) as bad:
        error = (await bad.json())["error"]
    assert bad.status == 400
    assert error["message"].startswith("Missing required query parameter: api-version")
    async with http.post(f"{base}/openai/v1/responses", json={"model": "m", "input": "?"}) as good:
        assert good.status == 200
