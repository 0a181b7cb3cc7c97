"""Texts that people read, kept beside the tests; `UPDATE_GOLDEN=1` writes them anew for review."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDER = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    """The text is the one in the golden file."""
    file = _FOLDER / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{name} differs; look, then UPDATE_GOLDEN=1"
