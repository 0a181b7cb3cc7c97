"""Builders: a source in memory, and manifests as text."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent
from typing import Any

from reconciler.desired import DesiredProject, load
from reconciler.errors import Problem
from reconciler.kinds.agent import AGENT
from reconciler.snapshot import Snapshot, SourceFile, blob_id

KINDS = {"Agent": AGENT}

PROJECT = """
apiVersion: reconciler/v1
kind: Project
metadata: {name: dev}
spec:
  endpoint: sandbox://dev
"""


def source(files: Mapping[str, str | bytes], *, scope: str = "", origin: str = "") -> Snapshot:
    """A source that holds these files; indentation and a first empty line of texts are taken off."""
    contents = {
        path: dedent(text).lstrip("\n").encode() if isinstance(text, str) else text
        for path, text in files.items()
    }

    def look(file: SourceFile) -> tuple[str, int]:
        return blob_id(contents[file.path]), len(contents[file.path])

    listed = {path: SourceFile(path, look=look) for path in sorted(contents)}
    return Snapshot("repo", listed, lambda file: contents[file.path], scope, origin)


def agent(name: str = "a", spec: str = "", *, labels: str = "{}", definition: str = "") -> str:
    """An Agent as text; `spec` and `definition` are YAML lines without indentation."""
    inner = dedent(definition).strip() or "kind: prompt\nmodel: m"
    lines = ["definition:", *(f"  {line}" for line in inner.splitlines())]
    lines += dedent(spec).strip().splitlines()
    body = "\n".join(f"  {line}" for line in lines)
    head = f"apiVersion: reconciler/v1\nkind: Agent\nmetadata: {{name: {name}, labels: {labels}}}\nspec:\n"
    return f"{head}{body}\n"


def project(spec: str = "", *, name: str = "dev", endpoint: str = "sandbox://dev") -> str:
    """A Project as text; `spec` is YAML lines without indentation."""
    body = "".join(f"  {line}\n" for line in dedent(spec).strip().splitlines())
    head = f"apiVersion: reconciler/v1\nkind: Project\nmetadata: {{name: {name}}}\nspec:\n"
    return f"{head}  endpoint: {endpoint}\n{body}"


def loaded(files: Mapping[str, str | bytes], **options: Any) -> tuple[DesiredProject, ...]:
    """The Projects of these files; `scope`, `origin` and everything that `load` takes are options."""
    place = {key: options.pop(key) for key in ("scope", "origin") if key in options}
    environ = options.pop("environ", {})
    return load(source(files, **place), environ=environ, kinds=KINDS, **options)


def one(files: Mapping[str, str | bytes], **options: Any) -> DesiredProject:
    """The only Project of these files; a Project `dev` is added where they have none."""
    if not any("kind: Project" in str(text) for text in files.values()):
        files = {"project.yaml": PROJECT, **files}
    (found,) = loaded(files, **options)
    return found


def lines(problems: tuple[Problem, ...]) -> list[str]:
    """Problems as people read them."""
    return [str(problem) for problem in problems]
