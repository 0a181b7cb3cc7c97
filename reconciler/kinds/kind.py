"""What every kind of resource tells the stages: its manifest, its normal form, its ladder of steps. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from reconciler.errors import Finding, Problem
from reconciler.fields import FieldDiff
from reconciler.resource import Code, Desired, JsonObject, Key, Live, Mark, Step, Version

if TYPE_CHECKING:
    from pydantic import BaseModel

C = TypeVar("C")


class Action(StrEnum):
    """What a change means for one resource; imperative, as the plan says it."""

    CREATE = "create"
    UPDATE = "update"
    MOVE = "move"
    ADOPT = "adopt"
    DELETE = "delete"
    NONE = "none"


@dataclass(frozen=True)
class Refusal:
    """Why the steps of one change may not run: the rule, what was found, and what lifts it."""

    rule: str
    message: str
    hint: str


@dataclass(frozen=True)
class Drift:
    """Live differs although Git did not move (rule P9).

    `what` is changed, missing, redirected, disabled or unmanaged; `by` is "us", "a copied mark" or
    "somebody else"; `at` is when the version was made, in Unix seconds, 0 when that is not known.
    """

    what: str
    version: str = ""
    at: int = 0
    by: str = ""
    fields: tuple[FieldDiff, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """Desired against live for one resource. `target` is the live version to release, if there is one.

    `pending` says that Git moved: the manifest differs from our newest genuine mark. `held` says that
    somebody moved the traffic and it stays there (rule R5). `blocked` refuses the steps, with a remedy.
    `patch` is the merge patch that the stated mutable part needs, empty for none. `enable` is the state
    to reach, None for none. `base` is the version that `fields` compares with.
    """

    key: Key
    action: Action
    reason: str
    desired: Desired | None
    live: Live | None
    fields: tuple[FieldDiff, ...] = ()
    drift: tuple[Drift, ...] = ()
    target: Version | None = None
    base: Version | None = None
    patch: JsonObject = field(default_factory=dict)
    enable: bool | None = None
    pending: bool = False
    held: bool = False
    unmarked: bool = False
    blocked: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()


class Files(Protocol):
    """What a kind may read of the source while it makes a desired value: folders with code."""

    def code(self, folder: str, ignore_file: str = ".agentignore") -> tuple[Code | None, tuple[Problem, ...]]:
        """The folder (relative to the source root) as a code bundle, or what is wrong with it."""
        ...


@dataclass(frozen=True)
class Context:
    """What the ladder of one run depends on beside desired and live: who we are and what was allowed.

    `left` are the versions to which we moved the traffic of an agent before, where no mark tells; `served` is
    the one that served when a release was done, as far as somebody remembers.
    """

    owner: str
    owner_aliases: frozenset[str] = frozenset()
    commit: str = ""
    time: int = 0
    dirty: bool = False
    now: int = 0
    code_sha256: Callable[[Code], str] | None = None
    take_traffic: bool = False
    taken: frozenset[Key] = frozenset()
    left: Mapping[Key, frozenset[str]] = field(default_factory=dict)
    served: Mapping[Key, str] = field(default_factory=dict)
    take_over: bool = False
    retry_failed: bool = False
    retried: frozenset[Key] = frozenset()
    mark_equal: bool = False
    delete_edited: bool = False
    force_sessions: bool = False
    at_cap: frozenset[Key] = frozenset()
    selector_refused: frozenset[Key] = frozenset()

    def takes(self, key: Key) -> bool:
        """Whether traffic of this agent may be moved although somebody moved it (rule R5)."""
        return self.take_traffic or key in self.taken

    def retries(self, key: Key) -> bool:
        """Whether a version of this agent that failed to start is made once more (rule R4)."""
        return self.retry_failed or key in self.retried

    def ours(self, mark: Mark | None) -> bool:
        """Whether a mark carries our owner name or one of its aliases."""
        return mark is not None and (mark.owner == self.owner or mark.owner in self.owner_aliases)


@dataclass(frozen=True)
class Kind(Generic[C]):
    """A kind as a value. `C` is the closed union of its calls; its I/O is a port with the same name.

    Args:
        spec: what a manifest may say under `spec`.
        desire: a checked spec becomes a desired value, or problems with their path inside the spec.
        normal: one function for both sides; what differs after it differs in meaning.
        steps: the whole ladder still to do, gates included; () is in sync.
        looks: which versions must be read before comparing: () for none, None for all of them.
        compare: desired against live, of which at least one is there.
        fresh: outputs that exist only after the steps.
        references: what a form names, as `Kind/name`; also things that no manifest describes yet.
        check: a manifest's spec against the service's own schema, and `upgrade` from older shapes of it.
    """

    name: str
    spec: type[BaseModel]
    desire: Callable[[Key, Any, Files], tuple[Desired | None, tuple[Finding, ...]]]
    check: Callable[[JsonObject], tuple[Finding, ...]]
    upgrade: Callable[[JsonObject], tuple[JsonObject, tuple[Finding, ...]]]
    normal: Callable[[JsonObject], JsonObject]
    looks: Callable[[Desired | None, Live, Context], tuple[str, ...] | None]
    compare: Callable[[Key, Desired | None, Live | None, Context], Change]
    steps: Callable[[Change, Context], tuple[Step[C], ...]]
    fresh: Callable[[Change], frozenset[str]]
    references: Callable[[JsonObject], tuple[str, ...]]
    read_only: bool = False


Registry = Mapping[str, "Kind[Any]"]
