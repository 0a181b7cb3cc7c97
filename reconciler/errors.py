"""The error tree: may the same inputs succeed later, and what does the operator do next.

A message says what *we* tried and on what; the cause, chained with `from`, says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


class ReconcilerError(Exception):
    """A failure with a remedy.

    Args:
        message: what was tried, on which resource, endpoint or file.
        hint: what the operator does next; one or two sentences.
    """

    retryable = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """Where a value was written: file relative to the source root, line and column from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with the input, printed `file:line:col: path: message`.

    `path` is the dotted path inside the manifest (`spec.definition.tools.0.type`), empty for a whole file.
    `hint` says what to do. A `note` informs and never fails a run.
    """

    place: Place
    path: str
    message: str
    hint: str = ""
    note: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        where = f"{self.place}: {self.path}: " if self.path else f"{self.place}: "
        return where + self.message + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True)
class Finding:
    """A problem inside one manifest: `path` from the document's root, as keys and indexes.

    `on_key` asks for the place of the key instead of its value (unknown keys). A `note` never fails.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    on_key: bool = False
    note: bool = False


class InvalidInput(ReconcilerError):
    """Manifests, flags or settings are wrong; every problem found is in `problems`, sorted by place."""

    def __init__(self, message: str, problems: Sequence[Problem] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(sorted(problems))


class SourceError(ReconcilerError):
    """The source of the manifests cannot be read."""


class SourceUnreachable(SourceError):
    """A Git remote does not answer, or not in time."""

    retryable = True


class StateError(ReconcilerError):
    """A state file cannot be used: newer than this program, locked, or not writable."""


class Refused(ReconcilerError):
    """A limit, a policy or a stale plan forbids the run; nothing was written."""


class ServiceError(ReconcilerError):
    """The Foundry service refused or failed a call.

    Args:
        status: HTTP status, None when there was no answer.
        code: the service's own error code, for example `image_pull_failed`.
        request_id: the id to give to the service's support.
        detail: the service's own message, masked and shortened.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        request_id: str = "",
        detail: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.detail = detail


class ServiceUnreachable(ServiceError):
    """No answer, or one from the wrong thing; nothing is known about what happened."""

    retryable = True


class Throttled(ServiceError):
    """The service asked us to slow down, and went on asking."""

    retryable = True


class NotSent(ServiceError):
    """The run was asked to stop while this write waited for its turn: nothing happened."""

    retryable = True


class Conflict(ServiceError):
    """Somebody else changed the resource at the same time."""

    retryable = True


class ServiceBroken(ServiceError):
    """An answer 5xx: the outcome of a write is unknown."""

    retryable = True


class IncompleteList(ServiceError):
    """A list ended in a way that may hide agents (rule I2)."""

    retryable = True


class Unauthorized(ServiceError):
    """The credential is missing, expired, for another audience, or lacks a role."""


def explain(error: BaseException) -> list[str]:
    """The messages of an error and of its causes, outermost first, each once.

    Causes of foreign types are named by type and first line, so that no body or header leaks out.
    """
    return list(dict.fromkeys(_messages(error)))


def _messages(error: BaseException) -> Iterator[str]:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ServiceError):
            yield str(seen)
            facts = [f"HTTP {seen.status}" if seen.status else "", seen.code, seen.detail]
            facts.append(f"request id {seen.request_id}" if seen.request_id else "")
            if any(facts):
                yield ", ".join(fact for fact in facts if fact)
        elif isinstance(seen, ReconcilerError):
            yield str(seen)
        else:
            first = str(seen).strip().split("\n", 1)[0][:300]
            yield f"{type(seen).__name__}: {first}" if first else type(seen).__name__
        seen = seen.__cause__
