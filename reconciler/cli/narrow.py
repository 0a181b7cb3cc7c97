"""Flags that narrow a run, as values."""

from __future__ import annotations

from reconciler.errors import InvalidInput
from reconciler.loading import Narrowing


def narrowing(projects: list[str] | None, selector: list[str] | None, only: list[str] | None) -> Narrowing:
    """The flags as values.

    Raises:
        InvalidInput: a selector is not KEY=VALUE.
    """
    labels = {}
    for pair in selector or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(
                f"--selector {pair!r} is not KEY=VALUE", hint="For example --selector team=support."
            )
        labels[name] = value
    return Narrowing(projects or (), labels or None, only or ())
