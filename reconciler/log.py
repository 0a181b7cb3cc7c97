"""Logs as fields, on standard error, so that standard output holds nothing but the report."""

from __future__ import annotations

import logging
import sys


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
