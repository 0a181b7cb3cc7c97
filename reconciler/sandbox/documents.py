"""JSON documents by name in a collection of a project: what the OpenAI routes keep."""

from __future__ import annotations

from typing import Any

import orjson

from reconciler.sandbox.errors import not_found
from reconciler.sandbox.paging import Position, cut, keyset, list_body, page_of
from reconciler.sandbox.wire import Call, Json, Reply, dumps


def put(call: Call, collection: str, name: str, body: Json, *, parent: str | None = None) -> None:
    """Store a document; one of that name is replaced and keeps its place in lists."""
    call.db.execute(
        "INSERT INTO documents (project, collection, name, parent, body) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (project, collection, name) DO UPDATE SET body = excluded.body",
        (call.project, collection, name, parent, dumps(body)),
    )


def get(call: Call, collection: str, name: str, word: str, *, parent: str | None = None) -> Json:
    """The document of that name, below `parent` where one is given.

    Raises:
        ApiError: 404, which calls it a `word`.
    """
    row = call.db.execute(
        "SELECT body FROM documents"
        " WHERE project = ? AND collection = ? AND name = ? AND parent IS coalesce(?, parent)",
        (call.project, collection, name, parent),
    ).fetchone()
    if row is None:
        raise not_found(word, name)
    body: Json = orjson.loads(row["body"])
    return body


def delete(call: Call, collection: str, name: str, word: str) -> None:
    """Delete a document and what has it as parent; 404 as in `get`."""
    get(call, collection, name, word)
    call.db.execute(
        "DELETE FROM documents WHERE project = ? AND ((collection = ? AND name = ?) OR parent = ?)",
        (call.project, collection, name, name),
    )


def page(call: Call, collection: str, parent: str) -> Reply:
    """One cursor page of a parent's documents, newest first."""

    def locate(cursor: str) -> Position | None:
        row = call.db.execute(
            "SELECT id, name FROM documents WHERE project = ? AND collection = ? AND parent = ? AND name = ?",
            (call.project, collection, parent, cursor),
        ).fetchone()
        return row and (-row["id"], row["name"])

    keys = keyset(page_of(call), ("-id", "name"), locate)
    rows: list[Any] = call.db.execute(
        "SELECT name, body FROM documents"
        f" WHERE project = ? AND collection = ? AND parent = ? AND {keys.where} {keys.tail}",
        (call.project, collection, parent, *keys.args),
    ).fetchall()
    return Reply(body=list_body(*cut([(row["name"], row["body"]) for row in rows], keys)))
