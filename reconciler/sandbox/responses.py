"""The OpenAI responses routes, below the project and below an agent's endpoint, with canned text."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Any

import orjson

from reconciler.sandbox import agents, conversations, documents, items, sessions, traffic, versions
from reconciler.sandbox.errors import invalid, not_found
from reconciler.sandbox.traffic import text_of
from reconciler.sandbox.versions import Row
from reconciler.sandbox.wire import Call, Json, Reply, dumps, reply


def create_for_project(call: Call) -> Reply:
    """`POST /openai/v1/responses`: of the agent in `agent_reference`, or of a bare model."""
    body = call.json()
    reference = body.get("agent_reference", body.get("agent"))
    if reference is None:
        if not isinstance(body.get("model"), str):
            raise invalid("'model' or 'agent_reference' is required.", "model")
        return _answer(call, body, body["model"], f"This is a canned answer of model {body['model']}.", {})
    if not isinstance(reference, dict) or not isinstance(reference.get("name"), str):
        raise invalid("'agent_reference.name' is required and must be a string.", "agent_reference.name")
    agent = versions.find(agents.shelf(call), reference["name"])
    if agent is None:
        raise not_found("Agent", reference["name"])
    version = text_of(reference.get("version"), "agent_reference.version")
    return _of_agent(call, agent, body, version)


def create_for_agent(call: Call) -> Reply:
    """`POST /agents/{agent_name}/endpoint/protocols/openai/responses`: as an agent's callers do."""
    body = call.json()
    return _of_agent(call, agents.agent_of(call), body, None)


def _of_agent(call: Call, agent: Row, body: Json, wanted: str | None) -> Reply:
    traffic.check_enabled(agent)
    override = call.headers.get("x-agent-version-override")
    name = text_of(body.get("agent_session_id"), "agent_session_id") or call.headers.get("x-agent-session-id")
    session = sessions.find(call, agent, name) if name else None
    # A session stays on its version, wherever the traffic goes meanwhile.
    served = traffic.resolve(call, agent, override or wanted or (session["version"] if session else None))
    traffic.check_ready(call, agent, served.version)
    definition = orjson.loads(served.version["content"])
    if session is not None:
        sessions.touch(call, session)
    elif definition["kind"] == "hosted":
        session = sessions.open_session(call, agent, served.version)
    version = served.version["version"]
    headers = {
        "x-agent-version-resolution": served.resolution,
        "x-agent-version-resolved": version,
        "x-agent-session-id": session["name"] if session else f"ses-{secrets.token_hex(16)}",
    }
    model = definition.get("model")
    text = f"This is a canned answer of agent {agent['name']}, version {version}."
    reference = {"type": "agent_reference", "name": agent["name"], "version": version}
    return _answer(
        call,
        {**body, "agent_reference": reference},
        model if isinstance(model, str) else agent["name"],
        text,
        headers,
    )


def _answer(call: Call, body: Json, model: str, text: str, headers: dict[str, str]) -> Reply:
    stream = body.get("stream") or False
    if not isinstance(stream, bool):
        raise invalid("'stream' must be true or false.", "stream")
    asked = items.input_items(body.get("input"))
    previous = text_of(body.get("previous_response_id"), "previous_response_id")
    if previous is not None:
        documents.get(call, "responses", previous, "Response")
    conversation = _conversation(call, body.get("conversation"))
    message: Json = {
        "id": f"msg_{secrets.token_hex(24)}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }
    response = _response(call, body, model, message)
    if conversation is not None:
        response["conversation"] = {"id": conversation}
        conversations.append(call, conversation, [*asked, message])
    if body.get("store", True) is not False:
        documents.put(call, "responses", response["id"], response)
        for item in asked:
            documents.put(call, "input_items", item["id"], item, parent=response["id"])
    if stream:
        return Reply(body=b"".join(_events(response)), headers=headers, content_type="text/event-stream")
    return reply(response, headers=headers)


def _response(call: Call, body: Json, model: str, message: Json) -> Json:
    metadata = body.get("metadata")
    response: Json = {
        "id": f"resp_{secrets.token_hex(24)}",
        "object": "response",
        "created_at": int(call.now),
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": model,
        "output": [message],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 10,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 20,
        },
        "metadata": metadata if isinstance(metadata, dict) else {},
    }
    if "agent_reference" in body:
        response["agent_reference"] = body["agent_reference"]
    return response


def _conversation(call: Call, given: Any) -> str | None:
    if given is None:
        return None
    name = given.get("id") if isinstance(given, dict) else given
    if not isinstance(name, str):
        raise invalid("'conversation' must be an id or an object with one.", "conversation")
    documents.get(call, "conversations", name, "Conversation")
    return name


def _events(response: Json) -> Iterator[bytes]:
    """The events of a streamed answer, whose text comes word by word."""
    (message,) = response["output"]
    (part,) = message["content"]
    text: str = part["text"]
    running = {**response, "status": "in_progress", "output": [], "usage": None}
    blank = {**part, "text": ""}
    place = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    steps: list[Json] = [
        {"type": "response.created", "response": running},
        {"type": "response.in_progress", "response": running},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**message, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": blank},
        *(
            {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
            for word in re.findall(r"\S+\s*", text)
        ),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": response},
    ]
    for number, step in enumerate(steps):
        event = {"type": step["type"], "sequence_number": number, **step}
        yield b"event: %b\ndata: %b\n\n" % (step["type"].encode(), dumps(event))


def get_response(call: Call) -> Reply:
    """`GET …/responses/{response_id}`"""
    return reply(_found(call))


def delete_response(call: Call) -> Reply:
    """`DELETE …/responses/{response_id}`"""
    response = _found(call)
    documents.delete(call, "responses", response["id"], "Response")
    return reply({"id": response["id"], "object": "response", "deleted": True})


def cancel_response(call: Call) -> Reply:
    """`POST …/responses/{response_id}/cancel`: always 400, since every response is complete at once."""
    _found(call)
    raise invalid("Only responses that run in the background can be cancelled.")


def list_input_items(call: Call) -> Reply:
    """`GET …/responses/{response_id}/input_items`"""
    return documents.page(call, "input_items", _found(call)["id"])


def _found(call: Call) -> Json:
    if "agent_name" in call.params:
        traffic.check_enabled(agents.agent_of(call))
    return documents.get(call, "responses", call.params["response_id"], "Response")
