"""Changes and verdicts become a plan: ordered steps now and later, a digest, and what is refused. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from reconciler.kinds.kind import Action, Change, Context, Registry
from reconciler.policies import Severity, Verdict
from reconciler.resource import Code, Json, Key, Mark, Ref, Step, digest_of, traffic_text


@dataclass(frozen=True, slots=True)
class Planned:
    """One change with its steps. `now` ends with the first gate; `later` waits for it."""

    change: Change
    now: tuple[Step[Any], ...] = ()
    later: tuple[Step[Any], ...] = ()
    refused: bool = False

    @property
    def key(self) -> Key:
        return self.change.key

    @property
    def steps(self) -> tuple[Step[Any], ...]:
        return self.now + self.later

    @property
    def writes(self) -> bool:
        """Whether any step changes the service; a gate alone only waits."""
        return any(not step.gate for step in self.steps)


@dataclass(frozen=True)
class Plan:
    """Everything that `apply` will do for one Project, and nothing else."""

    project: str
    endpoint: str
    owner: str
    planned: tuple[Planned, ...]
    verdicts: tuple[Verdict, ...] = ()
    digest: str = ""
    observe: bool = False

    @property
    def refused(self) -> bool:
        """Whether anything was refused; what was not is still in the plan."""
        return any(verdict.severity is Severity.REFUSE for verdict in self.verdicts)

    @property
    def steps(self) -> tuple[Step[Any], ...]:
        return tuple(step for planned in self.planned for step in planned.steps)

    @property
    def needs_sdk(self) -> bool:
        """Whether writes come, so that importing the SDK can start now."""
        return any(planned.writes for planned in self.planned)


def make_plan(
    project: tuple[str, str],
    changes: Sequence[Change],
    ctx: Context,
    verdicts: Iterable[Verdict],
    kinds: Registry,
    *,
    observe: bool = False,
) -> Plan:
    """The plan of one Project.

    Args:
        project: name and endpoint.
        verdicts: a refusal with a key blocks that resource, one without a key blocks every deletion,
            and any refusal blocks every deletion (rule I3).
    """
    name, endpoint = project
    shown = tuple(sorted(verdicts, key=_order))
    refusals = [verdict for verdict in shown if verdict.severity is Severity.REFUSE]
    blocked = {verdict.key for verdict in refusals if verdict.key is not None}
    nothing = any(verdict.key is None and verdict.rule == "empty-source" for verdict in refusals)
    planned = []
    for change in changes:
        steps = kinds[change.key.kind].steps(change, ctx)
        stopped = change.key in blocked or nothing
        if change.action is Action.DELETE and refusals:
            stopped = True
        wants = change.action is not Action.NONE
        if stopped:
            steps = ()
        now, later = _split(steps)
        planned.append(Planned(change, now, later, refused=stopped and wants))
    result = Plan(name, endpoint, ctx.owner, tuple(planned), shown, observe=observe)
    return Plan(name, endpoint, ctx.owner, result.planned, shown, digest=_digest(result), observe=observe)


def _order(verdict: Verdict) -> tuple[str, str, str]:
    return (str(verdict.key or ""), verdict.rule, verdict.message)


def _split(steps: tuple[Step[Any], ...]) -> tuple[tuple[Step[Any], ...], tuple[Step[Any], ...]]:
    """Steps up to and with the first gate, and the rest."""
    for index, step in enumerate(steps):
        if step.gate:
            return steps[: index + 1], steps[index + 1 :]
    return steps, ()


def _digest(plan: Plan) -> str:
    """Rule P1: what was reviewed, and nothing that a merge changes: no time, commit, mark or text."""
    rows = [
        [
            str(planned.key),
            planned.change.action,
            [signature(step) for step in planned.steps],
            planned.change.live.fingerprint() if planned.change.live else None,
            traffic_text(planned.change.live.traffic) if planned.change.live else "",
            planned.refused,
        ]
        for planned in plan.planned
        if planned.steps or planned.refused
    ]
    return digest_of([sorted(rows, key=lambda row: str(row[0])), plan.owner, plan.endpoint])


def signature(step: Step[Any]) -> list[Json]:
    """What a step is, for digests and approvals: its name and call without the mark."""
    return [step.name, _shape(step.call)]


def _shape(value: Any) -> Json:
    match value:
        case Ref():
            return str(value)
        case Mark():
            return None
        case Code():
            return value.tree
        case Enum():
            return str(value)
        case frozenset():
            return sorted(str(item) for item in value)
        case tuple() | list():
            return [_shape(item) for item in value]
        case dict():
            return {str(key): _shape(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _shape(getattr(value, item.name)) for item in fields(value)}
    return value


@dataclass(frozen=True)
class Approval:
    """What was reviewed, as step names and forms by key: later attempts must stay within it (rule P2)."""

    steps: frozenset[tuple[Key, str, str]]

    def covers(self, planned: Planned) -> bool:
        """Whether every step was among those reviewed, with a version number for `$after` allowed.

        What is left of a reviewed patch was reviewed: a new agent may hold some of it by itself.
        """
        return all(self._has(planned.key, *_approved(step)) for step in planned.steps)

    def _has(self, key: Key, name: str, form: str) -> bool:
        # Without a form it is of a version that was still to be made, whose number nobody knew.
        if (key, name, form) in self.steps or (key, name, "") in self.steps:
            return True
        parts, others = set(form.split(",")), (step for step in self.steps if step[:2] == (key, name))
        return any(parts <= set(reviewed.split(",")) for _, _, reviewed in others)


def _approved(step: Step[Any]) -> tuple[str, str]:
    """The name, and what it does: the form of a new version, the number of one that is there already.

    For a patch what it sets at each path, joined by commas.
    """
    patch = getattr(step.call, "patch", None)
    if patch is not None:
        return step.name, ",".join(sorted(digest_of(leaf) for leaf in _leaves(patch, "")))
    form, version = getattr(step.call, "form", None), getattr(step.call, "version", "")
    if form is not None:
        return step.name, digest_of(form)
    return step.name, version if isinstance(version, str) else ""


def _leaves(patch: Json, path: str) -> Iterator[list[Json]]:
    """Each pointer of a merge patch with what it sets; lists are replaced whole."""
    if not isinstance(patch, dict) or not patch:
        yield [path, patch]
        return
    for key, value in patch.items():
        yield from _leaves(value, f"{path}/{key}")


def approve(plan: Plan) -> Approval:
    """Everything in the plan, refused or not shown steps excluded."""
    return Approval(frozenset((step.key, *_approved(step)) for step in plan.steps))


def only(plan: Plan, keys: Collection[Key]) -> tuple[Planned, ...]:
    """The planned changes of some keys."""
    return tuple(planned for planned in plan.planned if planned.key in keys)
