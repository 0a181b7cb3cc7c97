"""The OpenAI conversations routes, below the project and below an agent's endpoint."""

from __future__ import annotations

import secrets
from typing import Any

from reconciler.sandbox import agents, documents, traffic
from reconciler.sandbox.errors import invalid
from reconciler.sandbox.items import input_items
from reconciler.sandbox.wire import Call, Json, Reply, dumps, reply

MAX_ITEMS = 20
"""Items that one request may add. Source: OpenAI's reference of conversation items."""


def create_conversation(call: Call) -> Reply:
    """`POST …/conversations` `{items?, metadata?}`"""
    _check_agent(call)
    body = call.json_or_empty()
    conversation: Json = {
        "id": f"conv_{secrets.token_hex(24)}",
        "object": "conversation",
        "created_at": int(call.now),
        "metadata": _metadata(body),
    }
    items = _items(body)
    documents.put(call, "conversations", conversation["id"], conversation)
    append(call, conversation["id"], items)
    return reply(conversation)


def get_conversation(call: Call) -> Reply:
    """`GET …/conversations/{conversation_id}`"""
    return reply(_found(call))


def update_conversation(call: Call) -> Reply:
    """`POST …/conversations/{conversation_id}` `{metadata}`: replaces the metadata."""
    conversation = _found(call) | {"metadata": _metadata(call.json())}
    documents.put(call, "conversations", conversation["id"], conversation)
    return reply(conversation)


def delete_conversation(call: Call) -> Reply:
    """`DELETE …/conversations/{conversation_id}`: its items go with it."""
    conversation = _found(call)
    documents.delete(call, "conversations", conversation["id"], "Conversation")
    return reply({"id": conversation["id"], "object": "conversation.deleted", "deleted": True})


def create_items(call: Call) -> Reply:
    """`POST …/conversations/{conversation_id}/items` `{items}`: the new items as a list."""
    conversation = _found(call)
    items = _items(call.json())
    if not 1 <= len(items) <= MAX_ITEMS:
        raise invalid(f"'items' must hold 1 to {MAX_ITEMS} items.", "items")
    append(call, conversation["id"], items)
    return reply(
        {
            "object": "list",
            "data": items,
            "first_id": items[0]["id"],
            "last_id": items[-1]["id"],
            "has_more": False,
        }
    )


def list_items(call: Call) -> Reply:
    """`GET …/conversations/{conversation_id}/items`: newest first."""
    return documents.page(call, "items", _found(call)["id"])


def get_item(call: Call) -> Reply:
    """`GET …/conversations/{conversation_id}/items/{item_id}`"""
    return Reply(body=dumps(_found_item(call)))


def delete_item(call: Call) -> Reply:
    """`DELETE …/conversations/{conversation_id}/items/{item_id}`: answers with the conversation."""
    item = _found_item(call)
    documents.delete(call, "items", item["id"], "Item")
    return reply(_found(call))


def append(call: Call, conversation: str, items: list[Json]) -> None:
    """Put items at the end of a conversation."""
    for item in items:
        documents.put(call, "items", item["id"], item, parent=conversation)


def _found(call: Call) -> Json:
    _check_agent(call)
    return documents.get(call, "conversations", call.params["conversation_id"], "Conversation")


def _found_item(call: Call) -> Json:
    conversation = _found(call)
    return documents.get(call, "items", call.params["item_id"], "Item", parent=conversation["id"])


def _check_agent(call: Call) -> None:
    if "agent_name" in call.params:
        traffic.check_enabled(agents.agent_of(call))


def _metadata(body: Json) -> Json:
    metadata = body.get("metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise invalid("'metadata' must be an object.", "metadata")
    return metadata


def _items(body: Json) -> list[Json]:
    items: Any = body.get("items")
    if items is not None and not isinstance(items, list):
        raise invalid("'items' must be a list.", "items")
    return input_items(items)
