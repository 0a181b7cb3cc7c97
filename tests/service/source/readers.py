"""A reader of a real repository, and what goes into it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from reconciler.service.config import load_config
from reconciler.service.source import SourceReader
from reconciler.settings import read
from tests.source.repos import commit, git, repository

PROJECT = """\
apiVersion: reconciler/v1
kind: Project
metadata: {name: prod}
spec: {endpoint: sandbox://prod, owner: tests, resources: [agents/**/*.yaml]}
"""


def agent(name: str, model: str = "gpt-5-mini", more: str = "") -> str:
    """The manifest of a prompt agent."""
    return (
        f"apiVersion: reconciler/v1\nkind: Agent\nmetadata: {{name: {name}}}\n"
        f"spec: {{definition: {{kind: prompt, model: {model}}}{more}}}\n"
    )


def repo(folder: Path, files: dict[str, str] | None = None) -> Path:
    """A repository with a Project and two agents, or with these files instead."""
    return repository(
        folder,
        {"project.yaml": PROJECT, "agents/a.yaml": agent("a"), "agents/b.yaml": agent("b")}
        if files is None
        else files,
    )


def reader(
    folder: Path, url: str | Path, *, environ: dict[str, str] | None = None, **source: Any
) -> SourceReader:
    """A reader of the repository, with its cache in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    address = url if isinstance(url, str) else f"file://{url}"
    spec = {"name": "agents", "url": address, **({} if "ref" in source else {"ref": "main"}), **source}
    path = folder / "service.yaml"
    path.write_text(json.dumps({"store": f"sqlite:///{folder}/x.db", "sources": [spec]}))
    known = {"HOME": str(folder), "PATH": os.environ["PATH"], **(environ or {})}
    config = load_config(path, known)
    return SourceReader(config.spec.sources[0], config, read(known), known)


__all__ = ["PROJECT", "agent", "commit", "git", "reader", "repo"]
