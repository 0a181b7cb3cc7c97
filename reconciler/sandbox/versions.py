"""Named resources with numbered, immutable versions: counter, latest, dedupe, deletion. Knows no kind.

A deleted row stays for a while as a tombstone: a lagging list still shows it, and a cursor may point at it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from reconciler.sandbox.settings import Settings
from reconciler.sandbox.wire import Json, dumps

Row = sqlite3.Row

DEDUPE_ALL = "latest-definition+metadata+description"
"""The strictest dedupe policy: everything that a client sends has to be equal."""

TOMBSTONE_S = 7200.0
"""How long deleted rows are kept: longer than the longest list lag."""


@dataclass(frozen=True)
class Shelf:
    """One collection of one project, such as the agents of `prod`, at one time (Unix seconds)."""

    db: sqlite3.Connection
    project: str
    collection: str
    settings: Settings
    now: float

    @property
    def lags(self) -> bool:
        """Whether lists show an earlier moment than now."""
        return bool(self.settings["list_lag_s"])

    def listed(self) -> tuple[str, tuple[float, ...]]:
        """SQL, with its arguments, for the rows that lists show: those of `list_lag_s` ago."""
        if not self.lags:
            return "deleted_at IS NULL", ()
        seen_at = self.now - float(self.settings["list_lag_s"])
        return "listed_from <= ? AND (deleted_at IS NULL OR deleted_at > ?)", (seen_at, seen_at)


@dataclass(frozen=True)
class NewVersion:
    """A version to be added. `content` is what was sent, in normal order, without the server's additions.

    `name` is given to seeded versions; otherwise the counter names it, or for drafts the time.
    `settles_at` (Unix seconds) is when `outcome` replaces the status `creating`; None at once.
    """

    content: Json
    metadata: Mapping[str, str]
    description: str = ""
    draft: bool = False
    name: str | None = None
    code_sha: str | None = None
    settles_at: float | None = None
    outcome: str = "active"
    error: Json | None = None
    created_at: int | None = None
    listed_from: float | None = None


def find(shelf: Shelf, name: str) -> Row | None:
    """The resource of that name, None when there is none."""
    fold = " COLLATE NOCASE" if shelf.settings["names"] == "case-insensitive" else ""
    row: Row | None = shelf.db.execute(
        "SELECT * FROM resources WHERE project = ? AND collection = ? AND deleted_at IS NULL"
        f" AND name = ?{fold} ORDER BY id LIMIT 1",
        (shelf.project, shelf.collection, name),
    ).fetchone()
    return row


def reload(db: sqlite3.Connection, resource_id: int) -> Row:
    """The resource as it is now."""
    row: Row = db.execute("SELECT * FROM resources WHERE id = ?", (resource_id,)).fetchone()
    return row


def add_resource(shelf: Shelf, name: str, details: Json, *, born_at: float, listed_from: float) -> int:
    """Put a resource without versions on the shelf; `born_at` decides its place in lists, newest first."""
    cursor = shelf.db.execute(
        "INSERT INTO resources (project, collection, name, rank, listed_from, kind, details)"
        " VALUES (?, ?, ?, ?, ?, '', ?)",
        (shelf.project, shelf.collection, name, -born_at, listed_from, dumps(details)),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def set_details(shelf: Shelf, resource_id: int, details: Json) -> None:
    """Replace the mutable part of a resource; a lagging list shows the former one for a while."""
    db = shelf.db
    db.execute(
        "INSERT INTO former_details (resource_id, details, replaced_at)"
        " SELECT id, details, ? FROM resources WHERE id = ?",
        (shelf.now, resource_id),
    )
    db.execute(
        "DELETE FROM former_details WHERE resource_id = ? AND replaced_at < ?",
        (resource_id, shelf.now - TOMBSTONE_S),
    )
    db.execute("UPDATE resources SET details = ? WHERE id = ?", (dumps(details), resource_id))


def set_details_at_once(shelf: Shelf, resource_id: int, details: Json) -> None:
    """As `set_details`, but lists show it at once, whatever their lag."""
    shelf.db.execute("UPDATE resources SET details = ? WHERE id = ?", (dumps(details), resource_id))
    shelf.db.execute("DELETE FROM former_details WHERE resource_id = ?", (resource_id,))


def listed_details(shelf: Shelf) -> tuple[str, tuple[float, ...]]:
    """SQL, with its arguments, for the mutable part of a resource at the moment that lists show."""
    former = (
        "SELECT details FROM former_details WHERE resource_id = resources.id AND replaced_at > ?"
        " ORDER BY replaced_at, id LIMIT 1"
    )
    return f"coalesce(({former}), details)", (shelf.now - float(shelf.settings["list_lag_s"]),)


def add_version(shelf: Shelf, resource_id: int, new: NewVersion) -> Row:
    """Add a version and give it its name. Numbers only ever go up, whatever is deleted."""
    name, number = new.name, None
    if new.draft and name is None:
        name = _draft_name(shelf, resource_id)
    if not new.draft:
        if name is None:
            (number,) = shelf.db.execute(
                "SELECT next_number FROM resources WHERE id = ?", (resource_id,)
            ).fetchone()
            name = str(number)
        else:
            number = int(name)
        shelf.db.execute(
            "UPDATE resources SET next_number = max(next_number, ?) WHERE id = ?", (number + 1, resource_id)
        )
    cursor = shelf.db.execute(
        "INSERT INTO versions (resource_id, version, number, created_at, listed_from,"
        " settles_at, outcome, error, content, metadata, description, code_sha)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            resource_id,
            name,
            number,
            int(shelf.now) if new.created_at is None else new.created_at,
            shelf.now if new.listed_from is None else new.listed_from,
            new.settles_at,
            new.outcome,
            None if new.error is None else dumps(new.error),
            dumps(new.content),
            dumps(dict(new.metadata)),
            new.description,
            new.code_sha,
        ),
    )
    row: Row = shelf.db.execute("SELECT * FROM versions WHERE id = ?", (cursor.lastrowid,)).fetchone()
    return row


def _draft_name(shelf: Shelf, resource_id: int) -> str:
    stamp = int(shelf.now * 1000)
    while version(shelf.db, resource_id, f"draft-{stamp}") is not None:
        stamp += 1
    return f"draft-{stamp}"


def version(db: sqlite3.Connection, resource_id: int, name: str) -> Row | None:
    """The version of that name; `@latest` is the latest release."""
    if name == "@latest":
        return latest(db, resource_id)
    row: Row | None = db.execute(
        "SELECT * FROM versions WHERE resource_id = ? AND version = ? AND deleted_at IS NULL",
        (resource_id, name),
    ).fetchone()
    return row


def latest(db: sqlite3.Connection, resource_id: int) -> Row | None:
    """The release with the highest number; a draft only when there is no release."""
    return _latest(db, resource_id, "deleted_at IS NULL", ())


def latest_listed(shelf: Shelf, resource_id: int) -> Row | None:
    """As `latest`, at the moment that lists show."""
    return _latest(shelf.db, resource_id, *shelf.listed())


def _latest(db: sqlite3.Connection, resource_id: int, where: str, args: tuple[float, ...]) -> Row | None:
    row: Row | None = db.execute(
        f"SELECT * FROM versions WHERE resource_id = ? AND {where}"
        " ORDER BY number IS NULL, number DESC, id DESC LIMIT 1",
        (resource_id, *args),
    ).fetchone()
    return row


def count_versions(db: sqlite3.Connection, resource_id: int) -> int:
    """How many versions exist, drafts included."""
    (count,) = db.execute(
        "SELECT count(*) FROM versions WHERE resource_id = ? AND deleted_at IS NULL", (resource_id,)
    ).fetchone()
    return int(count)


def unchanged(policy: str, old: Row, new: NewVersion, comparable: Any = lambda content: content) -> bool:
    """Whether a dedupe policy calls `new` the same as the version `old`.

    Args:
        policy: `off`, `latest-definition`, or `latest-definition+metadata+description`.
        comparable: takes what the server adds out of a content before it is compared.
    """
    if policy == "off" or new.draft or old["number"] is None:
        return False
    same = comparable(orjson.loads(old["content"])) == comparable(new.content)
    same = same and (new.code_sha or None) == old["code_sha"]
    if policy.endswith("+metadata+description"):
        same = (
            same and orjson.loads(old["metadata"]) == new.metadata and old["description"] == new.description
        )
    return bool(same)


def delete_version(shelf: Shelf, resource: Row, version_row: Row) -> None:
    """Delete one version; with the last one the resource goes too, and its numbering with it."""
    shelf.db.execute("UPDATE versions SET deleted_at = ? WHERE id = ?", (shelf.now, version_row["id"]))
    if count_versions(shelf.db, resource["id"]) == 0:
        delete_resource(shelf, resource)


def delete_resource(shelf: Shelf, resource: Row) -> None:
    """Delete a resource with all its versions, and sweep out tombstones that nobody can see any more."""
    db, now = shelf.db, shelf.now
    db.execute(
        "UPDATE versions SET deleted_at = ? WHERE resource_id = ? AND deleted_at IS NULL",
        (now, resource["id"]),
    )
    db.execute("UPDATE resources SET deleted_at = ? WHERE id = ?", (now, resource["id"]))
    db.execute("DELETE FROM resources WHERE deleted_at < ?", (now - TOMBSTONE_S,))
    db.execute("DELETE FROM versions WHERE deleted_at < ?", (now - TOMBSTONE_S,))


def status(row: Row, now: float) -> str:
    """`creating`, then what the version's provisioning ends with."""
    if row["settles_at"] is not None and now < row["settles_at"]:
        return "creating"
    return str(row["outcome"])
