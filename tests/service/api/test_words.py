"""Pages, API and command line say in words what the service calls by short names."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

import pytest

from reconciler.kinds.agent import compare, details, ladder
from reconciler.service import project_turn
from reconciler.service.records import Health, ResourceRecord
from reconciler.service.views_words import drift_text, reason_text, step_text, why_resource, why_run

# Short names that are words already.
PLAIN: Final = {"kept", "forgotten", "enable", "disable"}


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (("commit 197a6a9c7f47",), ("a new commit",)),
        (("requeue",), ("a release goes on",)),
        (("check",), ("a second look after a change",)),
        (("retry", "failed"), ("tried again after a failure",)),
        (("interval", "manual by ann"), ("the regular look", "asked for by ann")),
        (("suspended by ann",), ("suspended by ann",)),
        (("sunrise",), ("sunrise",)),
        ((), ()),
    ],
)
def test_why_a_run_came_is_said_in_words(reasons: tuple[str, ...], said: tuple[str, ...]) -> None:
    assert why_run(reasons) == said


def test_every_reason_for_a_next_turn_has_words() -> None:
    named = re.findall(r'Again\([^"]+"([a-z]+)"', inspect.getsource(project_turn))
    assert len(named) >= 4
    assert [name for name in named if why_run([name]) == (name,)] == []


def test_every_step_and_every_reason_of_a_change_has_words() -> None:
    steps = re.findall(r'_step\((?:self\.)?change, "([a-z-]+)"', inspect.getsource(ladder))
    sources = inspect.getsource(compare) + inspect.getsource(details)
    reasons = re.findall(r'reason="([a-z ]+)"', sources)
    assert len(set(steps)) >= 9
    assert len(set(reasons)) >= 6
    assert {step for step in steps if step_text(step) == step} <= PLAIN
    assert {reason for reason in reasons if reason_text(reason) == reason} <= PLAIN


def test_a_step_names_the_version_once_it_is_known() -> None:
    assert step_text("await-active") == "wait until the version is active"
    assert step_text("await-active", "4") == "wait until version 4 is active"
    assert step_text("patch-details", "4") == "change endpoint, card or state"
    assert step_text("dance", "4") == "dance"


def test_drift_is_said_with_who_did_it() -> None:
    assert drift_text("changed", "8", "somebody else") == (
        "changed outside of Git in version 8 by somebody else"
    )
    assert drift_text("redirected", "8") == "its traffic was moved to version 8"
    assert drift_text("redirected", "7:90,8:10", "ann") == (
        "its traffic was moved to version 7 (90 %) and version 8 (10 %) by ann"
    )
    assert drift_text("changed", "8", "a copied mark").endswith("by somebody else")
    assert drift_text("missing") == "deleted outside of Git"


def row(health: Health, reason: str, action: str = "none", **detail: Any) -> ResourceRecord:
    return ResourceRecord("prod", "Agent/triage", health, reason, action, detail=detail)


FAILED: Final = "version 4 failed: image_pull_failed: no such image"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        pytest.param(row(Health.IN_SYNC, "equal"), "", id="well"),
        pytest.param(row(Health.IN_SYNC, "changed", "update"), "", id="done"),
        pytest.param(row(Health.UNMANAGED, "unmanaged"), "no manifest names it", id="unmanaged"),
        pytest.param(
            row(
                Health.FAILED,
                "failed",
                "update",
                change={"reason": "failed", "notes": [FAILED, "mend it"]},
                conditions=[{"type": "Stalled", "message": "no such image"}],
            ),
            FAILED,
            id="failed",
        ),
        pytest.param(row(Health.FAILED, "failed", "update"), "its version did not start", id="bare"),
        pytest.param(
            row(
                Health.WAITING,
                "failed",
                "update",
                change={"reason": "failed", "notes": [FAILED]},
                conditions=[{"type": "Reconciling", "message": "version 5 is being provisioned"}],
            ),
            "version 5 is being provisioned",
            id="tried-again",
        ),
        pytest.param(
            row(
                Health.REFUSED,
                "changed",
                "update",
                verdicts=[
                    {"severity": "warn", "message": "old model"},
                    {"severity": "refuse", "message": "a secret"},
                ],
            ),
            "a secret",
            id="refused",
        ),
        pytest.param(
            row(Health.REFUSED, "removed", "delete"),
            "refused with the plan of the Project: it has no manifest",
            id="refused-with-others",
        ),
        pytest.param(
            row(
                Health.DRIFTED,
                "changed",
                "update",
                change={"drift": [{"what": "changed", "version": "8", "by": "somebody else"}]},
                conditions=[{"type": "Drifted", "message": "changed"}],
            ),
            "changed outside of Git in version 8 by somebody else",
            id="drifted",
        ),
        pytest.param(
            row(
                Health.WAITING,
                "creating",
                "update",
                conditions=[{"type": "Reconciling", "message": "it starts"}],
            ),
            "it starts",
            id="waiting",
        ),
        pytest.param(
            row(Health.DRIFTED, "changed", change="?", conditions="?"), "manifest and live differ", id="odd"
        ),
    ],
)
def test_a_row_says_why_in_one_line(record: ResourceRecord, said: str) -> None:
    assert why_resource(record) == said
