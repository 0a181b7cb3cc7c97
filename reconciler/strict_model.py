"""The base of everything that comes in as text from a manifest."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A part of a manifest: frozen, unknown keys are errors, and nothing is converted on the quiet."""

    model_config = ConfigDict(extra="forbid", frozen=True)
