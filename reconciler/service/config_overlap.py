"""Whether two globs can match the same name. Pure."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from reconciler.globs import compiled

# What names of Projects are made of.
_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_TOKEN: Final = re.compile(r"\*+|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)
# What one token stands for: one of these characters, or None for any number of any characters.
_Token = frozenset[str] | None


def can_overlap(one: str, other: str) -> bool:
    """Whether some name of a Project matches both globs."""
    return _meet(_tokens(one), _tokens(other))


@cache
def _tokens(glob: str) -> tuple[_Token, ...]:
    return tuple(None if token.startswith("*") else _class(token) for token in _TOKEN.findall(glob))


def _class(token: str) -> frozenset[str]:
    pattern = compiled(token)
    return frozenset(char for char in _ALPHABET if pattern.fullmatch(char))


@cache
def _meet(one: tuple[_Token, ...], other: tuple[_Token, ...]) -> bool:
    if not one or not other:
        return all(token is None for token in one + other)
    if one[0] is None:
        return _meet(one[1:], other) or _meet(one, other[1:])
    if other[0] is None:
        return _meet(one, other[1:]) or _meet(one[1:], other)
    return bool(one[0] & other[0]) and _meet(one[1:], other[1:])
