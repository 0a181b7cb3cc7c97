"""Sync windows, for the service; the command line asks the same module."""

from reconciler.windows import Open, open_at

__all__ = ["Open", "open_at"]
