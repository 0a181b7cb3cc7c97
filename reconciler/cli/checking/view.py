"""The checks of `doctor` as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

import orjson

from reconciler.cli.checking.check import Check, Status
from reconciler.masking import Masker

_SIGNS: Final = {Status.OK: "✓", Status.WARNING: "!", Status.FAILED: "✗", Status.SKIPPED: "–"}
_mask = Masker()


def exit_code(checks: Sequence[Check]) -> int:
    """1 when a check failed; warnings are allowed."""
    return int(any(check.status is Status.FAILED for check in checks))


def as_text(checks: Sequence[Check]) -> str:
    """One line for each check, with what to do below those that need it."""
    return _mask.text("\n".join(_lines(checks))) + "\n"


def _lines(checks: Sequence[Check]) -> Iterator[str]:
    heading = None
    for check in checks:
        if check.project != heading:
            if heading is not None:
                yield ""
            heading = check.project
            yield f"Project {heading}" if heading else "This machine"
        found, *more = check.found.split("\n")
        yield f"  {_SIGNS[check.status]} {check.name.ljust(12)} {found}"
        yield from (f"      · {line}" for line in more)
        if check.status in (Status.FAILED, Status.WARNING):
            yield f"      tried: {check.tried}"
            yield f"      → {check.fix}"
    counts = Counter(check.status for check in checks)
    yield ""
    if counts[Status.FAILED]:
        yield f"{_count(counts[Status.FAILED], 'check')} failed."
    elif counts[Status.WARNING]:
        yield f"Everything works; {_count(counts[Status.WARNING], 'warning')}."
    else:
        yield "Everything works."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def as_json(checks: Sequence[Check]) -> str:
    """One object: format, exit_code, and the checks in order."""
    value = {
        "format": "reconciler.doctor/v1",
        "exit_code": exit_code(checks),
        "checks": [{key: _mask.text(text) for key, text in asdict(check).items()} for check in checks],
    }
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n"
