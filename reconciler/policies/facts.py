"""The dated tables in `facts/`, one file for each shape, as values. What a row means is in `checks.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from reconciler.policies.verdict import Severity


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One row. `source` says where it comes from and `date` when that was known."""

    rule: str
    severity: Severity
    source: str
    date: date
    hint: str = ""
    says: str = ""
    resource: str = ""

    def __str__(self) -> str:
        return f"as of {self.date:%Y-%m-%d}"


@dataclass(frozen=True, kw_only=True)
class Choice(Fact):
    """One value of a list that changes with time: `severity` up to `last_day`, then `after`."""

    value: tuple[str, ...]
    last_day: date | None = None
    after: Severity = Severity.OFF

    def fits(self, values: tuple[str, ...]) -> bool:
        """Whether this row speaks of these values."""
        return all(want in ("*", have) for want, have in zip(self.value, values, strict=True))


@dataclass(frozen=True)
class Choices:
    """The rows for the values of `fields` in every item at `each`."""

    rule: str
    each: str
    fields: tuple[str, ...]
    what: str
    rows: tuple[Choice, ...]

    @cached_property
    def allowed(self) -> str:
        """The values to use, for a message; "" where the table lists none."""
        fine = [row.value for row in self.rows if row.severity is Severity.OFF and "*" not in row.value]
        return ", ".join(f"`{' / '.join(value)}`" for value in fine)


@dataclass(frozen=True, kw_only=True)
class Limit(Fact):
    """A size from `least` to `most`."""

    at: str
    measure: str
    unit: str
    most: int
    least: int = 0


@dataclass(frozen=True, kw_only=True)
class Pattern(Fact):
    """The form of a text."""

    at: str
    matches: re.Pattern[str]


@dataclass(frozen=True, kw_only=True)
class Reserved(Fact):
    """Names in a mapping that belong to somebody else."""

    at: str
    names: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Exclusive(Fact):
    """Fields of which exactly one is there, where `when` holds."""

    when: tuple[tuple[str, str], ...]
    of: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Every table."""

    choices: tuple[Choices, ...]
    limits: tuple[Limit, ...]
    patterns: tuple[Pattern, ...]
    reserved: tuple[Reserved, ...]
    exclusive: tuple[Exclusive, ...]
    secrets: Fact

    @cached_property
    def rows(self) -> tuple[Fact, ...]:
        """Every row of every table."""
        choices = [row for table in self.choices for row in table.rows]
        return (*choices, *self.limits, *self.patterns, *self.reserved, *self.exclusive, self.secrets)


@cache
def facts() -> Facts:
    """The tables of this release, read once."""
    return Facts(
        choices=tuple(_choices(rule, table) for rule, table in _read("choices").items()),
        limits=tuple(Limit(**_row(row)) for row in _read("limits")),
        patterns=tuple(
            Pattern(**{**_row(row), "matches": re.compile(row["matches"])}) for row in _read("patterns")
        ),
        reserved=tuple(
            Reserved(
                **{
                    **_row(row),
                    "names": frozenset(row.get("names", ())),
                    "prefixes": tuple(row.get("prefixes", ())),
                }
            )
            for row in _read("reserved")
        ),
        exclusive=tuple(
            Exclusive(**{**_row(row), "when": tuple(row["when"].items()), "of": tuple(row["of"])})
            for row in _read("exclusive")
        ),
        secrets=Fact(**_row(_read("secrets")[0])),
    )


def _read(name: str) -> Any:
    # Here, because `--help` needs no tables.
    import yaml

    return yaml.load(
        files("reconciler.policies").joinpath("facts", f"{name}.yaml").read_bytes(), yaml.CSafeLoader
    )


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "severity": Severity(row["severity"])}


def _choices(rule: str, table: Mapping[str, Any]) -> Choices:
    rows = tuple(
        Choice(
            **{
                **_row(row),
                "rule": rule,
                "value": tuple(plain(part) for part in row["value"]),
                "after": Severity(row.get("after", "off")),
            }
        )
        for row in table["rows"]
    )
    return Choices(rule, table["each"], tuple(table["fields"]), table["what"], rows)


def plain(value: object) -> str:
    """A value as text, numbers in their shortest form, so that 1, "1" and "1.0" are one."""
    text = str(value).strip()
    try:
        return f"{float(text):g}"
    except ValueError:
        return text
