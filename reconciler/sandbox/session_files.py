"""Files in a session's home: upload, download, list, delete. Folders exist as far as files are in them."""

from __future__ import annotations

from pathlib import PurePosixPath

from reconciler.sandbox import agents, sessions
from reconciler.sandbox.errors import ApiError, invalid, not_found
from reconciler.sandbox.paging import list_body, page_of
from reconciler.sandbox.versions import Row
from reconciler.sandbox.wire import Call, Json, Reply, dumps, reply

MAX_BYTES = 64 * 1024 * 1024
"""Biggest upload. The service's own limit is not known; this one bounds memory."""


def upload(call: Call) -> Reply:
    """`PUT …/files/content?path`: 201, an existing file is replaced."""
    session, path = _session(call), _path(call, required=True)
    if _below(call, session, path):
        raise ApiError(409, f"'{path}' is a folder.")
    for folder in PurePosixPath(path).parents:
        if _content(call, session, str(folder)) is not None:
            raise ApiError(409, f"'{folder}' is a file.")
    call.db.execute(
        "REPLACE INTO session_files (session_id, path, content, modified_at) VALUES (?, ?, ?, ?)",
        (session["id"], path, call.body, call.now),
    )
    sessions.touch(call, session)
    return reply({"path": path, "bytes_written": len(call.body)}, 201)


def download(call: Call) -> Reply:
    """`GET …/files/content?path`"""
    session, path = _session(call), _path(call, required=True)
    content = _content(call, session, path)
    if content is None:
        raise not_found("File", path)
    return Reply(body=content, content_type="application/octet-stream")


def list_files(call: Call) -> Reply:
    """`GET …/files?path`: the children of one folder by name; with `order` desc from Z to A."""
    page, session, folder = page_of(call), _session(call), _path(call)
    rows = _below(call, session, folder)
    if folder and not rows:
        raise not_found("Folder", folder)
    children: dict[str, Json] = {}
    for row in rows:
        name, _, deeper = row["path"].removeprefix(folder + "/" if folder else "").partition("/")
        entry = children.setdefault(
            name, {"name": name, "size": 0, "is_directory": bool(deeper), "modified_time": 0}
        )
        entry["modified_time"] = max(entry["modified_time"], int(row["modified_at"]))
        if not deeper:
            entry["size"] = row["size"]
    # Unlike in other lists the names stand in plain order unless the client asks for desc.
    names = sorted(children, reverse=call.query.get("order") == "desc")
    for cursor in (page.after, page.before):
        if cursor is not None and cursor not in children:
            raise invalid(f"The cursor '{cursor}' does not exist in this list.", "after")
    if page.after is not None:
        names = names[names.index(page.after) + 1 :]
    if page.before is not None and page.before in names:
        names = names[: names.index(page.before)]
    shown = names[: page.limit]
    bodies = [(name, dumps(children[name])) for name in shown]
    return Reply(body=list_body(bodies, len(names) > len(shown), key="entries"))


def delete(call: Call) -> Reply:
    """`DELETE …/files?path&recursive`: a folder only with `recursive`."""
    session, path, recursive = _session(call), _path(call, required=True), call.flag("recursive")
    inside = _below(call, session, path)
    if not inside and _content(call, session, path) is None:
        raise not_found("File", path)
    if inside and not recursive:
        raise ApiError(409, f"Folder '{path}' is not empty. Use recursive=true.")
    gone = [path, *(row["path"] for row in inside)]
    call.db.executemany(
        "DELETE FROM session_files WHERE session_id = ? AND path = ?",
        [(session["id"], each) for each in gone],
    )
    sessions.touch(call, session)
    return Reply(204)


def _session(call: Call) -> Row:
    session = sessions.find(call, agents.agent_of(call), call.params["agent_session_id"])
    if sessions.status(session, call.now) == "expired":
        raise not_found("Session", session["name"])
    return session


def _path(call: Call, *, required: bool = False) -> str:
    """The `path` parameter without the leading slash; empty is the home folder."""
    text = call.query.get("path", "")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or not text.isprintable() or len(text) > 1024:
        raise invalid("'path' must stay inside the session's home.", "path")
    if required and not parts:
        raise invalid("Query parameter 'path' is required.", "path")
    return "/".join(parts)


def _content(call: Call, session: Row, path: str) -> bytes | None:
    row = call.db.execute(
        "SELECT content FROM session_files WHERE session_id = ? AND path = ?", (session["id"], path)
    ).fetchone()
    return None if row is None else bytes(row["content"])


def _below(call: Call, session: Row, folder: str) -> list[Row]:
    """Files inside a folder, at any depth."""
    rows = call.db.execute(
        "SELECT path, length(content) AS size, modified_at FROM session_files"
        " WHERE session_id = ? ORDER BY path",
        (session["id"],),
    ).fetchall()
    return [row for row in rows if not folder or row["path"].startswith(folder + "/")]
