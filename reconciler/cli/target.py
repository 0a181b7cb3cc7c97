"""What a command is about: a Project, or one resource in it."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.errors import InvalidInput


@dataclass(frozen=True)
class Target:
    """`PROJECT`, or `PROJECT/Agent/NAME`; printed as it is written."""

    project: str
    kind: str = ""
    name: str = ""

    @property
    def resource(self) -> str:
        """`Agent/NAME`, "" for a whole Project."""
        return f"{self.kind}/{self.name}" if self.name else ""

    def __str__(self) -> str:
        return f"{self.project}/{self.resource}" if self.name else self.project


def target(text: str) -> Target:
    """A Project or resource as it was written.

    Raises:
        InvalidInput: it is neither.
    """
    parts = text.split("/")
    if len(parts) in (1, 3) and all(parts) and text.isprintable():
        return Target(*parts)
    hint = "Write PROJECT or PROJECT/Agent/NAME."
    if len(parts) == 2 and all(parts):
        hint = f"Write {parts[0]}/Agent/{parts[1]}, if the agent {parts[1]} is meant."
    raise InvalidInput(f"{text[:200]!r} names no Project and no resource", hint=hint)


def resource_target(text: str) -> Target:
    """A resource as it was written.

    Raises:
        InvalidInput: it is none.
    """
    found = target(text)
    if not found.name:
        raise InvalidInput(f"{text!r} is a whole Project", hint=f"Write {text}/Agent/NAME.")
    return found
