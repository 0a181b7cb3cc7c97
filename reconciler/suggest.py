"""The nearest known word to one that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# Below this likeness a suggestion confuses more than it helps.
_LEAST_LIKE = 0.6


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like this one, "" when none is. Case does not count."""
    by_case = {choice.casefold(): choice for choice in known}
    found = get_close_matches(word.casefold(), list(by_case), n=1, cutoff=_LEAST_LIKE)
    return by_case[found[0]] if found else ""


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest known word, else `otherwise`."""
    found = nearest(word, known)
    return f"Did you mean `{found}`?" if found else otherwise


def did_you_mean_key(key: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest known key (`Agent/triage`), else `otherwise`.

    Only names are compared: the kind is the same in nearly all keys and would make any two of them alike.
    """
    by_name = {name_of(choice): choice for choice in sorted(known, reverse=True)}
    found = nearest(name_of(key), by_name)
    return f"Did you mean `{by_name[found]}`?" if found else otherwise


def name_of(key: str) -> str:
    """The name in a key (`Agent/triage`); text without a kind is a name."""
    kind, slash, name = key.partition("/")
    return name if slash else kind


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a sentence: `a`, `b` and `c`; the rest of a long list is counted."""
    every = [f"`{name}`" for name in names]
    if len(every) > most:
        every = [*every[:most], f"{len(every) - most} more"]
    return " and ".join([", ".join(every[:-1]), every[-1]] if len(every) > 1 else every)
