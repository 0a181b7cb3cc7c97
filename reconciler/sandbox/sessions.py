"""Sessions of agents: create, look at, stop, delete, and their log. Their status is computed on reading."""

from __future__ import annotations

import re
import sqlite3
import uuid
from datetime import UTC, datetime

import orjson

from reconciler.sandbox import agents, traffic, versions
from reconciler.sandbox.errors import ApiError, invalid, not_found
from reconciler.sandbox.paging import Position, cut, keyset, list_body, page_of
from reconciler.sandbox.versions import Row
from reconciler.sandbox.wire import Call, Json, Reply, dumps, reply

LIFE_S = 30 * 24 * 3600.0
"""A session expires this long after it was last used. Source: `AgentSessionResource.expires_at`."""

IDLE_S = 900.0
"""Without use for this long a session goes idle, unless its definition says otherwise.

Source: `SessionConfiguration.idle_timeout_seconds` of azure-ai-projects 2.10.
"""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def create_session(call: Call) -> Reply:
    """`POST /agents/{agent_name}/endpoint/sessions`: on the version named, or the one whose turn it is."""
    body = call.json_or_empty()
    agent = agents.agent_of(call)
    traffic.check_enabled(agent)
    name = traffic.text_of(body.get("agent_session_id"), "agent_session_id")
    if name is not None and not NAME.fullmatch(name):
        raise invalid("'agent_session_id' holds letters, digits, dots, hyphens.", "agent_session_id")
    served = traffic.resolve(call, agent, _indicated(body.get("version_indicator")))
    kind = orjson.loads(served.version["content"])["kind"]
    if kind != "hosted" and call.settings["validation"] == "strict":
        raise invalid(f"Sessions are for hosted agents, not {kind}.", "agent_name")
    traffic.check_ready(call, agent, served.version)
    session = open_session(call, agent, served.version, name)
    return reply(view(session, call.now), 201)


def _indicated(indicator: object) -> str | None:
    if indicator is None:
        return None
    path = "version_indicator"
    if not isinstance(indicator, dict) or indicator.get("type") != "version_ref":
        raise invalid("The only type of version indicator is version_ref.", f"{path}.type")
    version = indicator.get("agent_version")
    if not isinstance(version, str) or not version:
        raise invalid("'agent_version' is required and must be a string.", f"{path}.agent_version")
    return version


def open_session(call: Call, agent: Row, version: Row, name: str | None = None) -> Row:
    """A new session on that version.

    Raises:
        ApiError: 409, a session of that name exists.
    """
    configuration = orjson.loads(version["content"]).get("session_configuration")
    idle_s = configuration.get("idle_timeout_seconds") if isinstance(configuration, dict) else None
    try:
        cursor = call.db.execute(
            "INSERT INTO sessions (resource_id, name, version, idle_s, created_at, last_accessed_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                agent["id"],
                name or f"ses-{uuid.uuid4()}",
                version["version"],
                min(float(idle_s), LIFE_S) if isinstance(idle_s, int | float) else IDLE_S,
                call.now,
                call.now,
            ),
        )
    except sqlite3.IntegrityError as e:
        raise ApiError(409, f"Session '{name}' exists already.") from e
    row: Row = call.db.execute("SELECT * FROM sessions WHERE id = ?", (cursor.lastrowid,)).fetchone()
    return row


def status(session: Row, now: float) -> str:
    """active, idle (stopped, or unused for its idle time) or expired."""
    if now >= session["last_accessed_at"] + LIFE_S:
        return "expired"
    return "active" if idle_since(session, now) is None else "idle"


def idle_since(session: Row, now: float) -> float | None:
    """When the session stopped or went idle, Unix seconds; None while it is active."""
    if session["stopped_at"] is not None:
        return float(session["stopped_at"])
    end: float = session["last_accessed_at"] + session["idle_s"]
    return end if now >= end else None


def view(session: Row, now: float) -> Json:
    """The session object. Source: `AgentSessionResource` of azure-ai-projects 2.10."""
    body: Json = {
        "agent_session_id": session["name"],
        "version_indicator": {"type": "version_ref", "agent_version": session["version"]},
        "status": status(session, now),
        "created_at": int(session["created_at"]),
        "last_accessed_at": int(session["last_accessed_at"]),
        "expires_at": int(session["last_accessed_at"] + LIFE_S),
    }
    stopped_at = idle_since(session, now)
    if stopped_at is not None:
        body["stopped_at"] = int(stopped_at)
    return body


def find(call: Call, agent: Row, name: str) -> Row:
    """The session of that name.

    Raises:
        ApiError: 404.
    """
    row: Row | None = call.db.execute(
        "SELECT * FROM sessions WHERE resource_id = ? AND name = ?", (agent["id"], name)
    ).fetchone()
    if row is None:
        raise not_found("Session", name)
    return row


def touch(call: Call, session: Row) -> None:
    """Note a use: the session wakes up and its 30 days start again."""
    call.db.execute(
        "UPDATE sessions SET last_accessed_at = ?, stopped_at = NULL WHERE id = ?", (call.now, session["id"])
    )


def get_session(call: Call) -> Reply:
    """`GET /agents/{agent_name}/endpoint/sessions/{session_id}`"""
    return reply(view(find(call, agents.agent_of(call), call.params["session_id"]), call.now))


def list_sessions(call: Call) -> Reply:
    """`GET /agents/{agent_name}/endpoint/sessions`: newest first."""
    page, agent = page_of(call), agents.agent_of(call)

    def locate(cursor: str) -> Position | None:
        row = call.db.execute(
            "SELECT id, name FROM sessions WHERE resource_id = ? AND name = ?", (agent["id"], cursor)
        ).fetchone()
        return row and (-row["id"], row["name"])

    keys = keyset(page, ("-id", "name"), locate)
    rows = call.db.execute(
        f"SELECT * FROM sessions WHERE resource_id = ? AND {keys.where} {keys.tail}",
        (agent["id"], *keys.args),
    )
    return Reply(body=list_body(*cut([(row["name"], dumps(view(row, call.now))) for row in rows], keys)))


def stop_session(call: Call) -> Reply:
    """`POST /agents/{agent_name}/endpoint/sessions/{session_id}:stop`; without effect on an idle one."""
    session = find(call, agents.agent_of(call), call.params["session_id"])
    if status(session, call.now) == "active":
        call.db.execute("UPDATE sessions SET stopped_at = ? WHERE id = ?", (call.now, session["id"]))
    return Reply(204)


def delete_session(call: Call) -> Reply:
    """`DELETE /agents/{agent_name}/endpoint/sessions/{session_id}`: its files go with it."""
    session = find(call, agents.agent_of(call), call.params["session_id"])
    call.db.execute("DELETE FROM sessions WHERE id = ?", (session["id"],))
    return Reply(204)


def log_stream(call: Call) -> Reply:
    """`GET …/versions/{agent_version}/sessions/{session_id}:logstream`: a few lines, then the stream ends."""
    agent = agents.agent_of(call)
    session = find(call, agent, call.params["session_id"])
    version = versions.version(call.db, agent["id"], call.params["agent_version"])
    if version is None or version["version"] != session["version"]:
        raise not_found("Session", session["name"])
    at = datetime.fromtimestamp(session["created_at"], UTC).isoformat(timespec="milliseconds")
    lines = (
        ("stdout", "Server listens on port 8088"),
        ("stderr", "INFO: ready"),
        ("status", "Connected to the container"),
    )
    frames = []
    for stream, message in lines:
        line = {"timestamp": at.replace("+00:00", "Z"), "stream": stream, "message": message}
        frames.append(b"event: log\ndata: %b\n\n" % dumps(line))
    return Reply(body=b"".join(frames), content_type="text/event-stream")


def end_or_refuse(call: Call, agent: Row, version: str | None, *, force: bool) -> None:
    """End the sessions of an agent, or of one version, before it is deleted.

    Raises:
        ApiError: 409, some are active and `force` is not given.

    Source: routes.tsp of the service; code and wording are inferred.
    """
    rows = call.db.execute(
        "SELECT * FROM sessions WHERE resource_id = ? AND version = coalesce(?, version)",
        (agent["id"], version),
    ).fetchall()
    active = [row for row in rows if status(row, call.now) == "active"]
    if active and not force:
        raise ApiError(
            409,
            f"Agent '{agent['name']}' has {len(active)} active session(s). Delete them, or use force=true.",
        )
    call.db.executemany("DELETE FROM sessions WHERE id = ?", [(row["id"],) for row in rows])
