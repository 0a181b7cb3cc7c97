"""Logs as fields, on standard error, so that standard output holds nothing but the report."""

from __future__ import annotations

import logging
import math
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from structlog.typing import Processor

# Values are names, numbers and short lists; what is nested deeper is no log field.
_DEEPEST: Final = 5
_LONGEST: Final = 4_000
# Libraries that tell the progress of every request at a level that we use for our own.
_TALKATIVE: Final = (
    "azure",
    "httpx",
    "httpcore",
    "aiohttp",
    "apprise",
    "markdown",
    "procrastinate",
    "psycopg",
)


def quiet() -> None:
    """Silence azure's own warnings: what matters of a failed sign-in or a retry is in our report."""
    logging.getLogger("azure").setLevel(logging.CRITICAL)


def set_up(level: str, *, json: bool = False) -> None:
    """Log from `level` on: lines for a person, or JSON for a machine."""
    import structlog

    number = getattr(logging, level.upper())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    if level == "debug":
        logging.getLogger("azure").setLevel(logging.DEBUG)


def set_up_service(level: str, clean: Callable[[str], str]) -> None:
    """Log one JSON object a line from `level` on, our own lines and those of every library alike.

    What is bound to the context (`run`, `project`) is in each line. Every text goes through `clean`, which
    hides secrets and writes out control characters.
    """
    import structlog

    lines = _Whole()
    mask_with(clean)
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [
        structlog.processors.format_exc_info,
        _cleaned,
        structlog.processors.JSONRenderer(),
    ]
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # Not structlog's own: it writes a line and its end apart, under a lock that libraries do not know.
        logger_factory=lambda *args: lines,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*first, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=number, handlers=[handler], force=True)
    # A library that formats its message wrongly must not print a traceback between our lines.
    logging.raiseExceptions = False
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


class _Whole:
    """Standard error for many threads: each line is written whole, whoever writes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def msg(self, text: str) -> None:
        """Write one line, which has no end yet."""
        self.write(text + "\n")

    debug = info = warning = error = critical = exception = msg

    def write(self, text: str) -> None:
        """Write one line with its end."""
        with self._lock:
            sys.stderr.write(text)
            sys.stderr.flush()

    def flush(self) -> None:
        """Nothing is held back."""


_clean: Callable[[str], str] = str


def mask_with(clean: Callable[[str], str]) -> None:
    """From now on let every text of the service's log go through `clean`; for secrets that have changed."""
    global _clean
    _clean = clean


def _cleaned(logger: Any, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {_text(key): _value(value, 0) for key, value in fields.items()}


def _value(value: Any, depth: int) -> Any:
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return _text(value)
        case Mapping() if depth < _DEEPEST:
            return {_text(str(key)): _value(item, depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            return [_value(item, depth + 1) for item in value]
    return _text(str(value))


def _text(text: str) -> str:
    # Cleaned first: a secret that is cut in two would no longer be found.
    clean = _clean(text)
    return clean if len(clean) <= _LONGEST else f"{clean[:_LONGEST]}… ({len(clean)} characters)"
