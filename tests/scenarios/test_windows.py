"""Stories about sync windows at the command line (rule W1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.world import World, hosted

pytestmark = pytest.mark.rule("W1")
ALWAYS = "* * * * *"


def far() -> str:
    """Half a year from now, so that a window then is closed whenever this test runs."""
    month = (datetime.now(UTC).month + 5) % 12 + 1
    return f"0 8 1 {month} *"


def allow(cron: str, **more: Any) -> dict[str, Any]:
    return {"windows": [{"kind": "allow", "cron": cron, "duration": "1h", **more}]}


def deny(cron: str = ALWAYS, **more: Any) -> dict[str, Any]:
    return {"windows": [{"kind": "deny", "cron": cron, "duration": "1h", **more}]}


def test_outside_of_its_windows_nothing_is_written_and_the_next_opening_is_named(world: World) -> None:
    world.project(sync=allow(far(), time_zone="Europe/Berlin"))
    world.agent("triage")
    world.commit()

    refused = world.apply()

    assert refused.exit_code == 3
    assert world.names() == []
    text = " ".join(refused.stdout.split())
    assert "outside of the sync windows until" in text
    assert "08:00 Europe/Berlin" in text
    assert "Run again after" in text
    assert "--outside-window" in text
    assert "triage" in text

    assert world.apply("--outside-window").exit_code == 0
    assert world.names() == ["triage"]
    world.in_sync()


def test_an_open_window_lets_through(world: World) -> None:
    world.project(sync=allow(ALWAYS))
    world.agent("triage")
    world.commit()

    assert world.apply().exit_code == 0
    world.in_sync()


def test_the_plan_says_that_apply_would_be_refused_and_keeps_its_exit_code_and_digest(world: World) -> None:
    world.agent("triage")
    world.commit()
    before = world.json("plan")
    world.project(sync=deny())
    world.commit()

    closed = world.json("plan")

    assert closed["exit"] == before["exit"] == 2
    assert closed["digest"] == before["digest"]
    (note,) = [note for note in closed["notes"] if note["path"] == "spec.sync.windows"]
    assert "`deny * * * * * for 1h (UTC)` is in force" in note["message"]
    assert "`apply` would be refused now" in note["message"]
    refused = world.json("apply", "--plan-digest", closed["digest"])
    assert [verdict["rule"] for verdict in refused["verdicts"]] == ["closed-window"]
    assert refused["exit"] == 3


def test_with_nothing_to_write_a_closed_window_refuses_nothing(world: World) -> None:
    world.agent("triage")
    world.commit()
    assert world.apply().exit_code == 0
    world.project(sync=deny())
    world.commit()

    assert world.apply().exit_code == 0
    assert world.drift().exit_code == 0


def test_drift_is_reported_while_the_window_is_closed(world: World) -> None:
    world.agent("triage")
    world.commit()
    world.apply()
    world.edit("triage", instructions="Edited in the portal")
    world.project(sync=deny())
    world.commit()

    assert world.drift().exit_code == 2
    assert world.apply().exit_code == 3


def test_a_project_that_observes_is_not_refused(world: World) -> None:
    world.project(sync={"mode": "observe", **deny()})
    world.agent("triage")
    world.commit()

    assert world.apply().exit_code == 0
    assert world.names() == []


def test_windows_for_people_in_the_service_do_not_open_the_command_line(world: World) -> None:
    world.project(sync=deny(manual=True))
    world.agent("triage")
    world.commit()

    assert world.apply().exit_code == 3
    assert world.names() == []


def test_a_release_that_waits_is_waited_for_while_the_window_is_closed(world: World) -> None:
    world.agent("bot", hosted("registry.example.com/bot:1"))
    world.commit()
    world.settings(provisioning={"delay_s": 2})
    assert world.apply("--timeout", "0").exit_code == 4
    world.project(sync=deny())
    world.commit()

    assert world.apply().exit_code == 0
    world.in_sync()


@pytest.mark.parametrize(
    ("window", "message", "remedy"),
    [
        pytest.param({"cron": "0 25 * * *"}, "`0 25 * * *` is no time: bad hour", "Write minute", id="hour"),
        pytest.param({"cron": "0 0 31 2 *"}, "is no time: bad day-of-month", "Write minute", id="day"),
        pytest.param({"cron": "0 8 * *"}, "it takes five fields, not 4", "Write minute", id="fields"),
        pytest.param({"duration": "8"}, "`8` is no duration", "Write `30m`", id="duration"),
        pytest.param({"duration": "32d"}, "`32d` is no duration", "at most 31d", id="too-long"),
        pytest.param({"time_zone": "Europe/Berln"}, "no time zone", "`Europe/Berlin`", id="zone"),
        pytest.param({"time_zone": "../etc/passwd"}, "no time zone", "`UTC`", id="path"),
        pytest.param({"kind": "alow"}, "`alow` is not one of", "Did you mean `allow`?", id="kind"),
        pytest.param({"timezone": "UTC"}, "unknown key `timezone`", "Did you mean `time_zone`?", id="key"),
    ],
)
def test_a_wrong_window_is_told_with_its_place(
    world: World, window: dict[str, str], message: str, remedy: str
) -> None:
    world.project(sync={"windows": [{"kind": "allow", "cron": ALWAYS, "duration": "1h", **window}]})
    world.agent("triage")
    world.commit()

    report = world.run("validate", str(world.repo), "--format", "json").report
    (problem,) = report["failed"]["problems"]

    assert message in problem["message"]
    assert remedy in problem["hint"]
    assert problem["path"].startswith("spec.sync.windows.0.")
    assert problem["file"] == "prod.yaml"
