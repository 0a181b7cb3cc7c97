"""Verdicts on desired resources: dated facts about the service, judged before anything is written. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from types import MappingProxyType

from reconciler.policies.checks import (
    Subject,
    check_choices,
    check_exclusive,
    check_limit,
    check_pattern,
    check_reserved,
    check_secrets,
)
from reconciler.policies.facts import facts
from reconciler.policies.verdict import Severity, Verdict
from reconciler.resource import Desired
from reconciler.suggest import did_you_mean

__all__ = ["Severity", "Verdict", "judge", "rules", "unknown_rules"]

_NONE: Mapping[str, str] = MappingProxyType({})


def judge(
    resources: Sequence[Desired], *, today: date, severities: Mapping[str, str] = _NONE
) -> tuple[Verdict, ...]:
    """Every verdict on the resources, by key, rule and message.

    Args:
        today: decides what has ended.
        severities: rule to `off`, `info`, `warn` or `refuse`, instead of what the tables say, today and
            after any date. Names that are no rule are ignored; `unknown_rules` finds them.

    Raises:
        ValueError: a severity that is none of the four.
    """
    chosen = {rule: Severity(severity) for rule, severity in severities.items()}
    found = [verdict for desired in resources for verdict in _judge_one(desired, today, chosen)]
    return tuple(sorted(found, key=lambda verdict: (str(verdict.key), verdict.rule, verdict.message)))


def _judge_one(desired: Desired, today: date, chosen: Mapping[str, Severity]) -> Iterable[Verdict]:
    """The verdicts on one resource; of several rows of a rule about one thing, the strictest."""
    strictest: dict[tuple[str, str], Verdict] = {}
    for at, verdict in _found(Subject(desired, {**desired.form, "name": desired.key.name}, today), chosen):
        before = strictest.get((verdict.rule, at))
        if before is None or verdict.severity.weight > before.severity.weight:
            strictest[verdict.rule, at] = verdict
    for verdict in strictest.values():
        severity = chosen.get(verdict.rule, verdict.severity)
        if severity is not Severity.OFF:
            yield verdict if severity is verdict.severity else replace(verdict, severity=severity)


def _found(subject: Subject, chosen: Mapping[str, Severity]) -> Iterator[tuple[str, Verdict]]:
    """What every table says about one resource, before the Project's choice of severities."""
    tables = facts()
    for choices in tables.choices:
        yield from check_choices(subject, choices)
    for limit in tables.limits:
        yield from check_limit(subject, limit)
    for pattern in tables.patterns:
        if pattern.resource in ("", subject.desired.key.kind):
            yield from check_pattern(subject, pattern)
    for reserved in tables.reserved:
        yield from check_reserved(subject, reserved)
    for exclusive in tables.exclusive:
        yield from check_exclusive(subject, exclusive)
    # The only check that reads every text; who turned it off does not pay for it.
    if chosen.get(tables.secrets.rule) is not Severity.OFF:
        yield from check_secrets(subject, tables.secrets)


def rules() -> tuple[str, ...]:
    """The names of all rules, sorted."""
    return tuple(sorted({row.rule for row in facts().rows}))


def unknown_rules(severities: Mapping[str, str]) -> list[str]:
    """A sentence for every name in `severities` that is no rule, with the nearest one that is."""
    every = ", ".join(rules())
    return [
        f"no policy is called `{name}`: {did_you_mean(name, rules(), f'there are {every}.')}"
        for name in sorted(set(severities) - set(rules()))
    ]
