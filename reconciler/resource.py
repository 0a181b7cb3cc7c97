"""The shapes that every stage knows: keys, marks, desired and live values, steps. No I/O, no decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import orjson

from reconciler.errors import Place

# A JSON value. Recursive aliases cost more in casts than they find in a program that walks unknown JSON.
Json: TypeAlias = Any
JsonObject: TypeAlias = dict[str, Any]

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)


def canonical(value: Json) -> bytes:
    """The one byte form of a JSON value: keys sorted, no spaces, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest_of(value: Json) -> str:
    """SHA-256 over the canonical form, 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


class Key(NamedTuple):
    """One thing of a kind in a project, printed `prod/Agent/support-triage`.

    A tuple, since each is hashed and compared a dozen times in a run, and a dataclass does that in Python.
    """

    project: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.kind}/{self.name}"

    @property
    def local(self) -> str:
        """`Agent/support-triage`: the name inside its project, as marks and flags write it."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Ref:
    """An output of another step that is not known before that step ran: `Ref(key, "version")`."""

    key: Key
    field: str

    def __str__(self) -> str:
        return f"$after {self.key.local}.{self.field}"


@dataclass(frozen=True, slots=True)
class Mark:
    """Our entry in a version's metadata (rule M1): who made this version, from what, for what.

    `base` is the number of the latest version read just before creating, "0" for none; `pinned` the
    traffic that served then ("7", or "6:90,7:10"), empty when nothing served. `time` is the committer's
    time in Unix seconds, 0 without Git.
    """

    owner: str
    resource: str
    spec: str
    base: str
    pinned: str = ""
    commit: str = ""
    time: int = 0
    protect: bool = False
    on_remove: str = ""
    code_sha256: str = ""
    file: str = ""

    def genuine(self, name: Key, version: str) -> bool:
        """Whether this mark was written for this very version of this resource (rule M2)."""
        if self.resource != name.local or not (self.base.isdecimal() and version.isdecimal()):
            return False
        return int(version) == int(self.base) + 1


class Health(StrEnum):
    """Where a version is in its life, as the service says."""

    CREATING = "creating"
    ACTIVE = "active"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


@dataclass(frozen=True)
class Failure:
    """The service's reason why a version failed: its code and message, never more than 2,000 characters."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable live version.

    `form` is what a create would send to get it, our mark taken out; `mark` is that entry when it can be
    read, genuine or not. `created_at` is in Unix seconds (the service's resolution).
    """

    number: str
    form: JsonObject
    health: Health = Health.ACTIVE
    created_at: int = 0
    mark: Mark | None = None
    failure: Failure | None = None
    draft: bool = False

    @property
    def order(self) -> int:
        """For sorting by age: drafts and other names that are no numbers come first."""
        return int(self.number) if self.number.isdecimal() else -1


# Shares in whole per cent by version number, in the service's order; sums to 100 on a healthy service.
Traffic: TypeAlias = tuple[tuple[str, int], ...]


def traffic_text(traffic: Traffic | None) -> str:
    """ "7" for one version, "6:90,7:10" for a split, "" for none."""
    if not traffic:
        return ""
    if len(traffic) == 1 and traffic[0][1] == 100:
        return traffic[0][0]
    return ",".join(f"{version}:{share}" for version, share in traffic)


@dataclass(frozen=True, slots=True)
class Live:
    """What the service holds under one key.

    `selector` is None where traffic follows the latest version. `versions` holds what was read beside
    the latest, newest first; `all_versions` says whether that is every one. `details` is the mutable
    part as the service shows it (`agent_endpoint`, `agent_card`). `state_source` tells who disabled it.
    """

    key: Key
    latest: Version | None
    selector: Traffic | None = None
    enabled: bool = True
    disabled_by: str = ""
    details: JsonObject = field(default_factory=dict)
    versions: tuple[Version, ...] = ()
    all_versions: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[Version, ...]:
        """Every version that was read, newest first."""
        if not self.versions:
            return () if self.latest is None else (self.latest,)
        found = {version.number: version for version in self.versions}
        if self.latest is not None:
            found[self.latest.number] = self.latest
        return tuple(sorted(found.values(), key=lambda version: version.order, reverse=True))

    @property
    def traffic(self) -> Traffic:
        """Who serves now: the selector's shares, else all on the latest version."""
        if self.selector is not None:
            return self.selector
        return ((self.latest.number, 100),) if self.latest else ()

    @property
    def serving(self) -> str:
        """The one version that serves everything, or "" when traffic is split or nothing serves."""
        return self.traffic[0][0] if len(self.traffic) == 1 else ""

    def version(self, number: str) -> Version | None:
        """The version of that number, if it was read."""
        return next((version for version in self.known if version.number == number), None)

    def fingerprint(self) -> str:
        """Changes whenever a decision about this resource could: for the digest and for rule P4."""
        latest = self.latest
        return digest_of(
            {
                "latest": latest and [latest.number, latest.health, latest.form, latest.created_at],
                "traffic": self.selector and [list(share) for share in self.selector],
                "enabled": [self.enabled, self.disabled_by],
                "details": self.details,
            }
        )


@dataclass(frozen=True)
class LiveState:
    """Everything read from one project. Only a `complete` state may say that something is missing."""

    items: Mapping[Key, Live]
    complete: bool


class Strategy(StrEnum):
    """How a new version gets its traffic (rule R1)."""

    PINNED = "pinned"
    DIRECT = "direct"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Release:
    """How versions of a resource are released and kept; `version` pins one in Git."""

    strategy: Strategy
    keep: int = 10
    keep_days: int = 7
    version: str = ""
    metadata_only: str = "try"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What may happen to a resource beside ordinary updates."""

    protect: bool = False
    on_remove: str = "delete"
    ignore: tuple[str, ...] = ()
    allow_kind_change: bool = False
    force_delete: bool = False


@dataclass(frozen=True)
class Code:
    """A folder that becomes a code zip. `tree` is its content hash, so that nothing is zipped to compare.

    `files` maps the path inside the zip to the path of its content relative to the source root.
    """

    folder: str
    tree: str
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """One resource as Git wants it.

    `form` is exactly what a create would send, without the mark; `fingerprint` covers it (rule M3).
    `details` holds the stated mutable part (`agent_endpoint`, `agent_card`; `agent_card: None` removes),
    `enabled` is None where the manifest does not say.
    """

    key: Key
    form: JsonObject
    fingerprint: str
    release: Release
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    details: JsonObject = field(default_factory=dict)
    enabled: bool | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    code: Code | None = None
    place: Place = field(default_factory=lambda: Place("-"))
    masked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step(Generic[C_co]):
    """One call to the service, or a gate: a reading that must hold before the next step.

    `text` is the imperative line of the plan. `needs` names outputs of earlier steps.
    """

    name: str
    key: Key
    call: C_co
    text: str
    gate: bool = False


@dataclass(frozen=True)
class Done:
    """What one step did."""

    outcome: str
    version: str = ""
    note: str = ""
    reason: str = ""
    hint: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
