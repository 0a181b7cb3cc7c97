"""Configurations for tests: the least that works, and a file with changes to it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.errors import InvalidInput
from reconciler.service.config import Config, load_config

LEAST = """\
    store: sqlite:///store.db
    sources:
    - name: agents
      url: https://github.com/acme/agents.git
    """
SOURCE = textwrap.dedent(LEAST)


def write(folder: Path, text: str, name: str = "reconciler.yaml") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def loaded(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    return load_config(write(folder, text), environ or {})


def problems(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Every problem of a configuration as it is printed, without the folder of the test."""
    with pytest.raises(InvalidInput) as caught:
        loaded(folder, text, environ)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def secret_file(folder: Path, name: str, text: str, mode: int = 0o600) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path
