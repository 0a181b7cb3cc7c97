"""The text form of a mark: a metadata pair `reconciler`, compact JSON of at most 512 characters (M1)."""

from __future__ import annotations

import sys
from typing import Final

import orjson

from reconciler.resource import JsonObject, Mark

# The service keeps metadata as strings; this is the one key that is ours. Renaming it disowns every agent.
MARK_KEY: Final = "reconciler"
# The service refuses longer metadata values (azure-ai-projects 2.10).
MAX_MARK_CHARS: Final = 512
_FORMAT: Final = 1

# Field of `Mark` to key of the JSON, in the order they are written; the optional ones may be left out.
_KEYS: Final = {
    "owner": "owner",
    "resource": "for",
    "spec": "spec",
    "base": "base",
    "pinned": "pinned",
    "commit": "commit",
    "time": "time",
    "protect": "protect",
    "on_remove": "on_remove",
    "code_sha256": "code",
    "file": "file",
}
_TYPES: Final = {"time": int, "protect": bool}
# Every agent of a project has the same ones; kept once.
_SHARED: Final = frozenset({"owner", "commit"})
_NEEDED: Final = frozenset({"owner", "resource", "spec", "base"})


def encode(mark: Mark) -> str:
    """The mark as metadata text; the file is left out where it does not fit, then `pinned`.

    Raises:
        ValueError: the owner or the name is so long that nothing else fits. Loading refuses such owners.
    """
    for dropped in ((), ("file",), ("file", "pinned")):
        text = _text(mark, dropped)
        if len(text) <= MAX_MARK_CHARS:
            return text
    raise ValueError(f"the mark of {mark.resource} has {len(text)} of at most {MAX_MARK_CHARS} characters")


def fits(mark: Mark) -> bool:
    """Whether the mark can be written at all."""
    return len(_text(mark, ("file", "pinned"))) <= MAX_MARK_CHARS


def _text(mark: Mark, dropped: tuple[str, ...]) -> str:
    pairs: JsonObject = {"v": _FORMAT}
    for attribute, key in _KEYS.items():
        value = getattr(mark, attribute)
        if attribute not in dropped and (value or attribute in _NEEDED):
            pairs[key] = value
    return orjson.dumps(pairs).decode()


def decode(text: object) -> Mark | None:
    """The mark in a metadata value; None when it cannot be read, which is no mark and never a crash."""
    if not isinstance(text, str) or len(text) > MAX_MARK_CHARS:
        return None
    try:
        pairs = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(pairs, dict) or pairs.get("v") != _FORMAT:
        return None
    values: JsonObject = {}
    for attribute, key in _KEYS.items():
        value = pairs.get(key)
        if value is None:
            if attribute in _NEEDED:
                return None
            continue
        if type(value) is not _TYPES.get(attribute, str):
            return None
        values[attribute] = sys.intern(str(value)) if attribute in _SHARED else value
    return Mark(**values)


def unmarked(metadata: JsonObject | None) -> JsonObject:
    """User metadata: the pairs without ours."""
    return {key: value for key, value in (metadata or {}).items() if key != MARK_KEY}
