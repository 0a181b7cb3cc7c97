"""What one process knows of a Project between its turns: nothing that a restart may not lose."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Final

from reconciler.apply import Outcome
from reconciler.options import Memory
from reconciler.plan import Plan
from reconciler.resource import Key
from reconciler.service.sight import Going, Sight

# A version takes minutes to start; asking more often than every 10 s tells nothing new.
FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 10.0
# A list that is later than this does not lag: somebody changed what we did, and it is done again.
_LAG_S: Final = 60.0


@dataclass
class Release:
    """What earlier runs learned, and what of their release is still under way.

    `run` is the last run that this process kept. `manual` says that a person asked for what is under way.
    """

    memory: Memory = field(default_factory=Memory)
    commit: str = ""
    endpoint: str = ""
    run: str = ""
    first: Plan | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    waiting: frozenset[Key] = frozenset()
    manual: bool = False
    pause_s: float = FIRST_PAUSE_S
    whole_at: float = -1.0
    learned_at: float = 0.0

    def going(self, revision: str) -> Going | None:
        """What is under way, if nobody has run another commit than this process since."""
        return Going(self.commit, self.manual) if self.waiting and revision == self.commit else None

    def begin(self, sight: Sight) -> None:
        """Keep of what was learned and begun only what still counts for this run."""
        endpoint = sight.project.project.endpoint
        if self.endpoint != endpoint:
            self.memory = Memory()
        if self.run != sight.row.last_run:
            # Another replica may have moved the traffic on, and somebody may have moved it back.
            self.memory = replace(self.memory, moved={})
        if self.commit != sight.commit:
            self.memory = replace(self.memory, not_taken={})
            self.settled()
        self.commit, self.endpoint = sight.commit, endpoint
        # Expect no more of the service's lists than what a run did just now (rule P4).
        if time.monotonic() - self.learned_at > _LAG_S:
            self.memory = replace(self.memory, floors={}, deleted=frozenset())

    def learn(self, memory: Memory) -> None:
        """Take over what a run learned."""
        if memory != self.memory:
            self.memory, self.learned_at = memory, time.monotonic()

    def pause(self) -> float:
        """How long to wait for what is under way, in seconds; longer each time."""
        pause_s, self.pause_s = self.pause_s, min(self.pause_s * 1.5, _LONGEST_PAUSE_S)
        return pause_s

    def settled(self) -> None:
        """Nothing waits any more; plans of thousands of agents need not be kept."""
        self.first, self.outcomes, self.waiting = None, [], frozenset()
        self.manual, self.pause_s = False, FIRST_PAUSE_S
