"""One check's result. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.errors import ReconcilerError, explain


class Status(StrEnum):
    """How a check ended; only `failed` fails the command."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """What was tried, what came of it, and what to do; `project` is "" for checks of this machine."""

    name: str
    status: Status
    tried: str
    found: str
    fix: str = ""
    project: str = ""


def ok(name: str, tried: str, found: str) -> Check:
    """It works."""
    return Check(name, Status.OK, tried, found)


def warning(name: str, tried: str, found: str, fix: str) -> Check:
    """It works, but something will hurt."""
    return Check(name, Status.WARNING, tried, found, fix)


def failed(name: str, tried: str, found: str, fix: str) -> Check:
    """It does not work."""
    return Check(name, Status.FAILED, tried, found, fix)


def skipped(name: str, tried: str, why: str) -> Check:
    """It could not be tried, or needs not to be."""
    return Check(name, Status.SKIPPED, tried, why)


def broken(name: str, tried: str, error: ReconcilerError) -> Check:
    """It failed with one of our errors."""
    return failed(name, tried, "; ".join(explain(error)), error.hint)
