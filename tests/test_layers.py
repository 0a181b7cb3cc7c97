"""What import-linter cannot see: stages that name a kind, and modules and functions that grew too long."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
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


# What `all` adds up.
_EXTRAS = ("replicas", "notify", "oidc", "tracing")


@pytest.mark.parametrize(
    ("folder", "extras"), [(PACKAGE, _EXTRAS), (PACKAGE.parent / "tests", (*_EXTRAS, "dev"))]
)
def test_every_import_is_a_declared_dependency(folder: Path, extras: tuple[str, ...]) -> None:
    """What only another tool brings along would be missing for whoever installs the package."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(d for extra in extras for d in project["optional-dependencies"][extra]),
    ]
    declared = {distribution(line) for line in lines}
    theirs = [line for name in declared for line in requires(name) or () if "extra" not in line]
    there = declared | {distribution(line) for line in theirs}
    providers = packages_distributions()
    missing: dict[str, str] = {}
    for module in sorted(folder.rglob("*.py")):
        for name in imports(ast.parse(module.read_text(encoding="utf-8"))):
            known = {distribution(provider) for provider in providers.get(name, [name])}
            ours = {*sys.stdlib_module_names, PACKAGE.name, "tests", "bench", "script", "azure"}
            if name not in ours and not known & there:
                missing[name] = module.relative_to(folder).as_posix()

    assert not missing, f"add these to pyproject.toml: {missing}"


def imports(tree: ast.AST) -> Iterator[str]:
    """The first part of every imported module's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def distribution(requirement: str) -> str:
    """The normalised name of what a requirement asks for."""
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")
