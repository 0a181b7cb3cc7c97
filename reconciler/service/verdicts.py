"""What the policies say of resources, remembered for as long as a resource stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from reconciler.policies import Verdict, judge
from reconciler.resource import Desired

# Projects remembered at once; one more makes another be judged anew, which takes 0.1 ms a resource.
_MOST: Final = 200


class Verdicts:
    """The policies with a memory: a push that changes one of 10,000 resources judges one.

    A checkout hands on the very values of what did not change, so that a value itself is the key.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Said] = {}

    def judge(
        self, resources: Sequence[Desired], *, today: date, severities: Mapping[str, str]
    ) -> tuple[Verdict, ...]:
        """As `policies.judge`, for the resources of one Project."""
        if not resources:
            return ()
        project, rules = resources[0].key.project, (today, tuple(sorted(severities.items())))
        said = self._known.pop(project, None)
        if said is None or said.rules != rules:
            said = _Said(rules)
        self._known[project] = said
        while len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
        fresh = [want for want in resources if not said.knows(want)]
        verdicts: dict[str, list[Verdict]] = {}
        for verdict in judge(fresh, today=today, severities=severities):
            verdicts.setdefault(str(verdict.key), []).append(verdict)
        for want in fresh:
            said.of[want.key.local] = (want, tuple(verdicts.get(str(want.key), ())))
        said.most = max(said.most, len(resources))
        if len(resources) == said.most and len(said.of) > 2 * said.most + 100:
            kept = {want.key.local for want in resources}
            said.of = {name: one for name, one in said.of.items() if name in kept}
        found = [verdict for want in resources for verdict in said.of[want.key.local][1]]
        return tuple(sorted(found, key=lambda verdict: (str(verdict.key), verdict.rule, verdict.message)))


class _Said:
    """The verdicts on one Project by these rules: each resource with what was said of it."""

    def __init__(self, rules: tuple[date, tuple[tuple[str, str], ...]]) -> None:
        self.rules = rules
        self.most = 0
        self.of: dict[str, tuple[Desired, tuple[Verdict, ...]]] = {}

    def knows(self, want: Desired) -> bool:
        """Whether this very value was judged."""
        known = self.of.get(want.key.local)
        return known is not None and known[0] is want
