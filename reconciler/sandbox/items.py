"""Items of responses and conversations, as clients send them and as they are kept."""

from __future__ import annotations

import secrets
from typing import Any

from reconciler.sandbox.errors import invalid
from reconciler.sandbox.wire import Json


def input_items(given: Any) -> list[Json]:
    """The `input` of a request as items with ids; text is one message of the user.

    Raises:
        ApiError: 400, neither text nor a list of objects.
    """
    if given is None:
        return []
    if isinstance(given, str):
        content = [{"type": "input_text", "text": given}]
        given = [{"type": "message", "status": "completed", "role": "user", "content": content}]
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise invalid("'input' must be a string or a list of items.", "input")
    return [{**_item(item), "id": f"msg_{secrets.token_hex(24)}"} for item in given]


def _item(item: Json) -> Json:
    if "role" not in item:
        return item
    content = item.get("content")
    if isinstance(content, str):
        kind = "output_text" if item["role"] == "assistant" else "input_text"
        content = [{"type": kind, "text": content}]
    return {"type": "message", "status": "completed", **item, "content": content}
