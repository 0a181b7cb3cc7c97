"""Importing the SDK ahead of the first write: it takes a second, and a run without writes never does."""

from __future__ import annotations


def import_sdk() -> None:
    """Import what writes need, for a thread of its own."""
    import azure.ai.projects.aio
    import azure.ai.projects.models  # noqa: F401
