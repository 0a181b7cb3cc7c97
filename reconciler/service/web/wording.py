"""How pages say things: health in words and shapes, ages, commits, values of any kind. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from markupsafe import Markup, escape

from reconciler.resource import Json

# Directions and invisible breaks: what they do to a line must be seen and not done.
_STEERING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SPANS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Look:
    """How a state is shown: a word, a shape that tells it without colour, and a tone for the colour."""

    word: str
    shape: str
    tone: str


_UNKNOWN: Final = Look("Unknown", "question", "quiet")

HEALTH: Final[Mapping[str, Look]] = {
    "failed": Look("Failed", "cross", "bad"),
    "refused": Look("Refused", "hand", "hold"),
    "drifted": Look("Drifted", "differs", "warn"),
    "observed": Look("Changes due", "eye", "info"),
    "waiting": Look("In progress", "clock", "info"),
    "unknown": _UNKNOWN,
    "in-sync": Look("In sync", "check", "ok"),
    "unmanaged": Look("Unmanaged", "ring", "quiet"),
}

RESULT: Final[Mapping[str, Look]] = {
    "running": Look("Running", "clock", "info"),
    "unchanged": Look("Nothing to do", "check", "ok"),
    "applied": Look("Applied", "check", "ok"),
    "pending": Look("In progress", "clock", "info"),
    "observed": Look("Observed", "eye", "info"),
    "drifted": Look("Drifted", "differs", "warn"),
    "refused": Look("Refused", "hand", "hold"),
    "partly": Look("Done in part", "differs", "warn"),
    "failed": Look("Failed", "cross", "bad"),
    "superseded": Look("Superseded", "skip", "quiet"),
    "interrupted": Look("Interrupted", "skip", "quiet"),
}

VERSION: Final[Mapping[str, Look]] = {
    "active": Look("Active", "check", "ok"),
    "creating": Look("Starting", "clock", "info"),
    "failed": Look("Failed to start", "cross", "bad"),
    "deleting": Look("Being deleted", "skip", "quiet"),
    "deleted": Look("Deleted", "skip", "quiet"),
}

SEVERITY: Final[Mapping[str, Look]] = {
    "error": Look("Error", "cross", "bad"),
    "warning": Look("Warning", "differs", "warn"),
    "refuse": Look("Refused", "hand", "hold"),
    "warn": Look("Warning", "differs", "warn"),
    "info": Look("Information", "ring", "info"),
}

AUTHOR: Final[Mapping[str, Look]] = {
    "us": Look("Reconciler", "gear", "ok"),
    "portal": Look("Portal or another tool", "person", "warn"),
    "unknown": Look("Unknown author", "question", "quiet"),
}

OUTCOME: Final[Mapping[str, Look]] = {
    "failed": Look("Failed", "cross", "bad"),
    "skipped": Look("Skipped", "skip", "quiet"),
    "pending": Look("Pending", "clock", "info"),
}

# As `EventRecord` lists them.
EVENT_TYPES: Final[Mapping[str, str]] = {
    "drift": "Drift",
    "failure": "Failure",
    "recovery": "Recovery",
    "release": "Release",
    "applied": "Applied",
    "refused": "Refused",
    "rollback": "Rollback",
    "pin-expired": "Rollback over",
    "suspended": "Suspended",
    "resumed": "Resumed",
    "approved": "Approved",
    "source-stale": "Source stale",
    "source-recovered": "Source recovered",
    "config-rejected": "Configuration refused",
    "config-reloaded": "Configuration loaded",
    "project-removed": "Project gone",
}

# As `AuditRecord` lists them.
DEEDS: Final[Mapping[str, str]] = {
    "sync": "Synced",
    "suspend": "Suspended",
    "resume": "Resumed",
    "rollback": "Rolled back",
    "unpin": "Ended a rollback",
    "approve": "Approved",
    "retry": "Tried again",
    "sign-in": "Signed in",
    "denied": "Denied",
}

# What a run counts, as a plan says it and as it is said once the run has done it.
COUNTED: Final = (
    ("add", "+", "to add", "added"),
    ("change", "~", "to change", "changed"),
    ("destroy", "−", "to destroy", "destroyed"),
    ("adopt", "↦", "to adopt", "adopted"),
)

_TABLES: Final = {
    "health": HEALTH,
    "result": RESULT,
    "version": VERSION,
    "severity": SEVERITY,
    "author": AUTHOR,
    "outcome": OUTCOME,
}


def look(table: str, value: str) -> Look:
    """How a value of a table is shown; one that the table does not know is shown as it is."""
    found = _TABLES[table].get(value)
    if found is not None:
        return found
    if table == "outcome":
        return Look(value.capitalize(), "check", "ok")
    return Look(value.replace("-", " ").capitalize(), "question", "quiet") if value else _UNKNOWN


def event_type(value: str) -> str:
    """A type of events in words."""
    return EVENT_TYPES.get(value, value)


def deed(action: str) -> str:
    """What a line of the audit log says that somebody did."""
    return DEEDS.get(action, action)


def condition_title(type_: str, status: str) -> str:
    """What a condition says: `Ready`, `Not ready`, `Ready: not known`."""
    if status == "True":
        return type_
    return f"Not {type_.lower()}" if status == "False" else f"{type_}: not known"


def printable(value: Any) -> Any:
    """Text with control characters as symbols (␛) and steering ones by number; other values as they are."""
    return _STEERING.sub(_symbol, value) if type(value) is str else value


def _symbol(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def span(seconds: float) -> str:
    """A length of time: `40 ms`, `0.4 s`, `3 min 20 s`, `45 min`; from ten of a unit on the smaller one is
    noise."""
    if 0 < seconds < 0.095:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 10:
        return f"{max(0.0, round(seconds, 1)):g} s"
    left = round(seconds)
    at = next(index for index, (size, _) in enumerate(_SPANS) if left >= size)
    size, unit = _SPANS[at]
    count, left = divmod(left, size)
    if count >= 10 or at + 1 == len(_SPANS):
        return f"{count} {unit}"
    smaller_size, smaller = _SPANS[at + 1]
    rest = left // smaller_size
    return f"{count} {unit} {rest} {smaller}" if rest else f"{count} {unit}"


def ago(at: datetime | None, now: float) -> str:
    """How long ago, or in what time, in its largest unit; "never" without a moment."""
    if at is None:
        return "never"
    seconds = now - at.timestamp()
    if -1 < seconds < 5:
        return "now"
    count, unit = next(
        (int(abs(seconds) // size), unit) for size, unit in _SPANS if abs(seconds) >= size or size == 1
    )
    return f"{count} {unit} ago" if seconds > 0 else f"in {count} {unit}"


def at_of(text: str) -> datetime | None:
    """A moment that a report wrote down, None where it has none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def prose(text: str) -> Markup:
    """A sentence of ours with what stands in backticks as code; everything in it is escaped."""
    text = str(printable(text))
    pieces = (text[:1].upper() + text[1:]).split("`")
    # An odd number of backticks is no code.
    if len(pieces) % 2 == 0:
        return escape("`".join(pieces))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if index % 2 else escape(piece)
        for index, piece in enumerate(pieces)
    )


def branch(ref: str) -> str:
    """A ref as people call it."""
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def utc(at: datetime | None) -> str:
    """A moment in full, "" without one."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC") if at else ""


def short(commit: str) -> str:
    """A commit as people write it."""
    return commit[:8] if re.fullmatch(r"[0-9a-f]{9,64}", commit) else commit[:40]


def web_link(text: str) -> str:
    """An address that a browser may follow, "" for everything that is not plain http or https."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.password or parts.username:
        return ""
    return "" if _STEERING.search(text) or any(char.isspace() for char in text) else text


def path_to(*segments: str, **query: object) -> str:
    """A path of ours with its parts quoted; parameters that are empty are left out."""
    path = "/" + "/".join(quote(segment, safe="") for segment in segments)
    asked = {name: value for name, value in query.items() if value not in ("", None, 0, ())}
    return path + ("?" + urlencode(asked) if asked else "")


def value_text(value: Json) -> str:
    """A value of a difference as lines of text: strings as they are, everything else as indented JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)


def counted(number: int, one: str, many: str = "") -> str:
    """`1 agent`, `2 agents`, `10,000 agents`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def identifier(text: str) -> str:
    """A name as the id of an element: letters, digits, `-` and `_`, and different for different names."""
    return re.sub(r"[^A-Za-z0-9-]", lambda match: f"_{ord(match[0]):x}", text)


def shares(serving: str) -> tuple[tuple[str, int], ...]:
    """Versions and their per cent of `7` or `6:90,7:10`, the largest first."""
    found = []
    for part in filter(None, serving.split(",")):
        version, _, share = part.partition(":")
        found.append((version, int(share) if share.isdecimal() else 100))
    return tuple(sorted(found, key=lambda pair: -pair[1]))
