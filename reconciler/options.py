"""What a run may do beyond the safe defaults, and what earlier attempts of the same process learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.resource import Key


@dataclass(frozen=True)
class Allow:
    """The flags that lift a guard, one each; all off is the safe default."""

    empty: bool = False
    older: bool = False
    rename: bool = False
    take_over: bool = False
    take_traffic: bool = False
    retry_failed: bool = False
    mark: bool = False
    delete_edited: bool = False
    force_sessions: bool = False


@dataclass(frozen=True)
class Memory:
    """What one process knows from its earlier attempts; never stored.

    Args:
        selector_refused: agents whose traffic rule the service refused: an older version is made anew (R2).
        at_cap: agents at the service's limit of versions: retire first (R7).
        floors: the number of the version an earlier attempt made; a reading below it is list lag (P4).
        not_taken: live fingerprint at which the service did not take a change; not tried again (C5).
        deleted: agents that an earlier attempt deleted.
        moved: the version to which an earlier attempt moved the traffic; there it is nobody's edit (R5).
    """

    selector_refused: frozenset[Key] = frozenset()
    at_cap: frozenset[Key] = frozenset()
    floors: Mapping[Key, int] = field(default_factory=dict)
    not_taken: Mapping[Key, str] = field(default_factory=dict)
    deleted: frozenset[Key] = frozenset()
    moved: Mapping[Key, str] = field(default_factory=dict)
