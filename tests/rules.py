"""A pytest plugin: which rules of docs/semantics.md have a test that passed, and how long each part took.

`script/test` loads it with `-p tests.rules`. Under xdist workers run the tests and the controller sums up.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
SEMANTICS: Final = ROOT / "docs" / "semantics.md"

# Seconds a part may take on two cores; over it is a remark, never a failure: machines differ.
BUDGETS: Final = {
    "lint": 60,
    "unit": 90,
    "contracts": 60,
    "scenarios": 120,
    "properties": 240,
    "faults": 90,
    "crash": 90,
    "service": 300,
    "browser": 90,
    "deploy": 45,
    "soak": 90,
}

_RULES: Final = pytest.StashKey[set[str]]()
_SECONDS: Final = pytest.StashKey[dict[str, float]]()


def documented(text: str) -> list[str]:
    """The numbers of the rules in the order of the page: each starts an item, `- **I1** …`."""
    return re.findall(r"^- \*\*([A-Z]\d+)\*\*", text, flags=re.MULTILINE)


def part_of(path: str) -> str:
    """The part of the suite that a test file belongs to, by its folder."""
    folder = Path(path).parts[1:2]
    return folder[0] if folder and folder[0] in BUDGETS else "unit"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-rule", action="store_true", help="Fail when a rule of docs/semantics.md has no passing test."
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RULES] = set()
    config.stash[_SECONDS] = defaultdict(float)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        numbers = [str(number) for marker in item.iter_markers("rule") for number in marker.args]
        item.user_properties.append(("rules", numbers))


class _Sums:
    """Hears of every finished test; under xdist only the controller has one."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.config.stash[_SECONDS][part_of(report.nodeid)] += report.duration
        if report.when == "call" and report.passed:
            for name, value in report.user_properties:
                if name == "rules":
                    self.config.stash[_RULES].update(map(str, value))  # type: ignore[call-overload]


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(_Sums(session.config), "rule-sums")


def _missing(config: pytest.Config) -> list[str]:
    rules = documented(SEMANTICS.read_text(encoding="utf-8"))
    return [rule for rule in rules if rule not in config.stash[_RULES]]


def pytest_sessionfinish(session: pytest.Session) -> None:
    wanted = session.config.getoption("--every-rule") and not hasattr(session.config, "workerinput")
    if wanted and session.exitstatus == pytest.ExitCode.OK and _missing(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    workers = int(getattr(config.option, "numprocesses", None) or 1)
    terminalreporter.section("parts and rules")
    taken = {part: seconds / workers for part, seconds in config.stash[_SECONDS].items()}
    if lint := os.environ.get("RECONCILER_LINT_SECONDS"):
        taken["lint"] = float(lint)
    for part, budget in BUDGETS.items():
        if part in taken:
            over = "  over budget" if taken[part] > budget else ""
            terminalreporter.write_line(f"{part:<10} {taken[part]:>6.1f} s of {budget:>3} s{over}")
    if config.getoption("--every-rule"):
        rules, missing = documented(SEMANTICS.read_text(encoding="utf-8")), _missing(config)
        terminalreporter.write_line(
            f"{len(rules) - len(missing)} of {len(rules)} rules have tests that passed"
        )
        if missing:
            terminalreporter.write_line(f"Without one, which fails this run: {', '.join(missing)}", red=True)
