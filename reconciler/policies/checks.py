"""One check for each shape of table. Pure: a resource and the rows in, verdicts out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TypeAlias

from reconciler.masking import is_harmless, looks_secret, secret_form
from reconciler.pointers import parts, pointer
from reconciler.policies.facts import Choices, Exclusive, Fact, Limit, Pattern, Reserved, plain
from reconciler.policies.verdict import Severity, Verdict
from reconciler.resource import Desired, Json, JsonObject

Path: TypeAlias = tuple[str | int, ...]
# What is judged, so that of two rows about one thing the stricter one speaks; and the verdict.
Found: TypeAlias = Iterator[tuple[str, Verdict]]


@dataclass(frozen=True)
class Subject:
    """A resource under judgement. `document` is its form with its name, which pointers walk."""

    desired: Desired
    document: JsonObject
    today: date

    def at(self, where: str) -> Iterator[tuple[Path, Json]]:
        """Every value that a pointer names, with its path."""
        return _walk(self.document, _parts(where), ())

    def verdict(self, fact: Fact, message: str, severity: Severity | None = None) -> Verdict:
        """The verdict of a row on this resource."""
        return Verdict(
            fact.severity if severity is None else severity,
            fact.rule,
            self.desired.key,
            f"{message} ({fact})",
            fact.hint,
            self.desired.place,
        )


_parts = cache(parts)


def _walk(value: Json, rest: tuple[str, ...], path: Path) -> Iterator[tuple[Path, Json]]:
    if not rest:
        yield path, value
    elif rest[0] == "*":
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, item in items:
            yield from _walk(item, rest[1:], (*path, key))
    elif isinstance(value, dict) and rest[0] in value:
        yield from _walk(value[rest[0]], rest[1:], (*path, rest[0]))


def check_choices(subject: Subject, table: Choices) -> Found:
    """The values of one list; a value that is not stated is not judged."""
    for path, item in subject.at(table.each):
        if not isinstance(item, dict) or not all(item.get(field) is not None for field in table.fields):
            continue
        values = tuple(plain(item[field]) for field in table.fields)
        row = next((row for row in table.rows if row.fits(values)), None)
        if row is None:
            continue
        over = row.last_day is not None and subject.today > row.last_day
        severity = row.after if over else row.severity
        if severity is Severity.OFF:
            continue
        ends = "ended" if over else "ends"
        says = f"{ends} after {row.last_day:%Y-%m-%d}" if row.last_day else row.says
        allowed = f"; there is {table.allowed}" if table.allowed else ""
        message = f"{table.what} `{' / '.join(values)}` {says}{allowed}"
        yield pointer(path), subject.verdict(row, message, severity)


def check_limit(subject: Subject, limit: Limit) -> Found:
    """One size."""
    for path, value in subject.at(limit.at):
        for where, words, size in _sizes(path, value, limit):
            if not limit.least <= size <= limit.most:
                allowed = f"{limit.least:,} to {limit.most:,}" if limit.least else f"at most {limit.most:,}"
                says = f" {limit.says}" if limit.says else ""
                message = f"`{where}` {words}; allowed{says} is {allowed}"
                yield where + limit.measure, subject.verdict(limit, message)


def _sizes(path: Path, value: Json, limit: Limit) -> Iterator[tuple[str, str, float]]:
    """Pointer, words and number of what a limit measures."""
    match limit.measure, value:
        case "items", list() | dict():
            yield pointer(path), f"has {len(value):,} {limit.unit}", len(value)
        case "keys", dict():
            for key in value:
                yield pointer((*path, key)), f"has a name of {len(key):,} {limit.unit}", len(key)
        case "characters", str():
            yield pointer(path), f"has {len(value):,} {limit.unit}", len(value)
        case "number", int() | float():
            yield pointer(path), f"is {value:,} {limit.unit}", value
        case _:
            return


def check_pattern(subject: Subject, pattern: Pattern) -> Found:
    """The form of one text."""
    for path, value in subject.at(pattern.at):
        if isinstance(value, str) and not pattern.matches.fullmatch(value):
            yield pointer(path), subject.verdict(pattern, f"`{value}` {pattern.says}")


def check_reserved(subject: Subject, reserved: Reserved) -> Found:
    """Names that somebody else gives."""
    for path, mapping in subject.at(reserved.at):
        for name in mapping if isinstance(mapping, dict) else ():
            if name in reserved.names or name.startswith(reserved.prefixes):
                yield pointer((*path, name)), subject.verdict(reserved, f"`{name}` {reserved.says}")


def check_exclusive(subject: Subject, exclusive: Exclusive) -> Found:
    """Exactly one of several fields."""
    if any([value for _, value in subject.at(at)] != [wanted] for at, wanted in exclusive.when):
        return
    there = [at for at in exclusive.of if any(value is not None for _, value in subject.at(at))]
    if len(there) != 1:
        names = " and ".join(f"`{at}`" for at in exclusive.of)
        found = "both" if there else "neither"
        yield names, subject.verdict(exclusive, f"{found} of {names}; allowed is exactly one")


# Mappings of names to values; what stands elsewhere is judged by its form alone.
_NAMED = frozenset({"environment_variables", "headers"})


def check_secrets(subject: Subject, fact: Fact) -> Found:
    """Values that came from the environment or look secret (rule P11); their places, never the values."""
    masked = tuple(value for value in subject.desired.masked if len(value) >= 4)
    for path, text in _texts(subject.desired.form, ()):
        why = _why_secret(path, text, masked)
        if why:
            message = f"`{pointer(path)}` {why}, and whoever may read the agent can read it"
            yield pointer(path), subject.verdict(fact, message)


def _why_secret(path: Path, text: str, masked: tuple[str, ...]) -> str:
    named = len(path) >= 2 and path[-2] in _NAMED
    bearer = path[-1] == "authorization"
    if not (named or bearer):
        return "looks like a secret" if secret_form(text) else ""
    if is_harmless(text):
        return ""
    if any(value in text for value in masked):
        return "comes from the environment"
    return "looks like a secret" if bearer or looks_secret(str(path[-1]), text) else ""


def _texts(value: Json, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text below a value, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))
