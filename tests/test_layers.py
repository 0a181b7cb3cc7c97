"""What import-linter cannot see: stages that name a kind, and modules and functions that grew too long."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

import pytest

PACKAGE: Final = Path(__file__).resolve().parent.parent / "reconciler"

# A stage works for every kind. `wiring` and `cli` may name one: they choose ports and show examples.
STAGES: Final = frozenset(
    {
        "apply",
        "attempt",
        "desired",
        "diff",
        "errors",
        "fields",
        "guards",
        "live",
        "manifest",
        "mark",
        "masking",
    }
    | {"options", "patches", "plan", "pointers", "reconcile", "release", "render", "report", "resource"}
)
KIND_NAMES: Final = frozenset({"Agent", "agents", "prompt", "hosted", "workflow", "external", "voice"})

MOST_LINES: Final = 400
MOST_FUNCTION_LINES: Final = 50
MEDIAN_LINES: Final = 150

# `file` or `file: function`, each with the reason why it is better long.
LONG: Final[dict[str, str]] = {}


def modules() -> list[Path]:
    """Every module of the package, sorted."""
    return sorted(PACKAGE.rglob("*.py"))


def relative(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def stage_modules() -> list[Path]:
    return [module for module in modules() if re.split(r"[/.]", relative(module))[0] in STAGES]


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """String constants that are not docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Name and length in lines, without decorators and docstring, of every function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            documented = ast.get_docstring(node) is not None and len(node.body) > 1
            first = node.body[1].lineno if documented else node.lineno
            yield node.name, node.end_lineno - first + 1


@pytest.mark.parametrize("module", stage_modules(), ids=relative)
def test_no_stage_names_a_kind(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))

    named = [f"line {node.lineno}: {node.value!r}" for node in strings(tree) if node.value in KIND_NAMES]

    assert not named, f"{relative(module)} knows a kind; that belongs in kinds/: {named}"


def test_every_stage_exists() -> None:
    there = {re.split(r"[/.]", relative(module))[0] for module in modules()}

    assert there >= STAGES


def test_modules_stay_short() -> None:
    lines = {relative(module): len(module.read_text(encoding="utf-8").splitlines()) for module in modules()}

    long = {name: count for name, count in lines.items() if count >= MOST_LINES and name not in LONG}
    assert not long, f"split these, or give the reason in LONG: {long}"
    assert median(count for count in lines.values() if count > 5) <= MEDIAN_LINES


def test_functions_stay_short() -> None:
    long = {
        f"{relative(module)}: {name}": count
        for module in modules()
        for name, count in functions(ast.parse(module.read_text(encoding="utf-8")))
        if count > MOST_FUNCTION_LINES and f"{relative(module)}: {name}" not in LONG
    }

    assert not long, f"split these, or give the reason in LONG: {long}"


def test_exceptions_are_still_needed() -> None:
    named = {exception.partition(":")[0] for exception in LONG}

    assert named <= {relative(module) for module in modules()}
