"""What a webhook tells, in one shape for every provider, and whether it matters to a source. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from reconciler.errors import SourceError
from reconciler.location import origin_of, parse_location

BRANCH: Final = "refs/heads/"
TAG: Final = "refs/tags/"


@dataclass(frozen=True)
class Change:
    """One ref that moved: its full name, "" where the event does not tell. `gone`: it was deleted."""

    ref: str
    gone: bool = False


@dataclass(frozen=True)
class Event:
    """What one delivery says.

    `changes` is None where it does not tell what moved. `repositories` are the paths of the repository on
    its server, as `path_of` writes them; empty where it does not tell. `delivery` is an id in the body.
    """

    kind: Literal["push", "ping", "other"]
    changes: tuple[Change, ...] | None = None
    repositories: frozenset[str] = frozenset()
    delivery: str = ""


@dataclass(frozen=True)
class Followed:
    """What a source watches: the repository's path, "" where it has none, and a ref, "" for the default."""

    path: str
    ref: str


class Decision(StrEnum):
    """Whether a delivery makes us fetch, or why not."""

    FETCH = "fetch"
    PING = "ping"
    NO_PUSH = "the event is no push"
    OTHER_REPOSITORY = "the event is of another repository"
    OTHER_REF = "no ref that this source follows has moved"


def followed(url: str, ref: str | None) -> Followed:
    """What a source with this address and ref watches."""
    try:
        location = parse_location(url, ref)
    except SourceError:
        return Followed("", ref or "")
    if location is None:
        return Followed("", ref or "")
    asked = "" if location.ref == "HEAD" else location.ref
    return Followed(path_of(location.url), asked)


def path_of(url: str) -> str:
    """A repository's path on its server, the same for each way to write it; "" for what is no Git address.

    Without the host: many servers have one name inside a cluster and another for the world, and the
    signature already says which server speaks. Without case, as on nearly every server.
    """
    return origin_of(url).partition("/")[2].casefold()


def decide(event: Event, watched: Followed) -> Decision:
    """Whether this event makes us fetch. In doubt it does: that is cheap, and a push missed is not."""
    if event.kind == "ping":
        return Decision.PING
    if event.kind == "other":
        return Decision.NO_PUSH
    if event.repositories and watched.path and watched.path not in event.repositories:
        return Decision.OTHER_REPOSITORY
    if event.changes is None or any(_matters(change, watched.ref) for change in event.changes):
        return Decision.FETCH
    return Decision.OTHER_REF


def _matters(change: Change, ref: str) -> bool:
    if change.gone:
        return False
    if not change.ref:
        return True
    if not ref:
        return change.ref.startswith(BRANCH)
    return change.ref in ((ref,) if ref.startswith("refs/") else (BRANCH + ref, TAG + ref))
