import time
from dataclasses import replace

import pytest

from reconciler.fields import FieldDiff
from reconciler.kinds.kind import Drift
from reconciler.render import render
from reconciler.report import ExitCode
from tests.render import reports
from tests.render.golden import assert_golden
from tests.render.reports import REPORTS, change, many, outcome, project, run


def last_line(report) -> str:
    return render(report, "text").splitlines()[-1]


def of_fields(*fields: FieldDiff, width: int = 100) -> str:
    changed = change("x", "update", "changed", fields=fields)
    return render(
        run("plan", project(ExitCode.PENDING, {"change": 1}, changes=(changed,))), "text", width=width
    )


@pytest.mark.parametrize("name", REPORTS)
def test_text_is_as_reviewed(name):
    assert_golden(f"{name}.txt", render(REPORTS[name], "text"))


def test_coloured_text_is_as_reviewed():
    assert_golden("planned-colour.txt", render(reports.PLANNED, "text", color=True).replace("\x1b", "␛"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("in-sync", "No changes. Live agents match the manifests."),
        ("planned", "Plan: 2 to add, 5 to change, 1 to destroy, 1 to adopt."),
        ("blocked", "Refused: 1 change by delete-limit, owner; 1 other change can be applied."),
        ("drifted", "Drift: 2 changed, 1 missing, 1 redirected, 1 disabled."),
        ("no-drift", "No drift. Live agents are as Git last left them."),
        ("applied", "Apply complete! Resources: 1 added, 2 changed, 1 destroyed, 1 adopted."),
        ("nothing-applied", "No changes. Live agents match the manifests."),
        ("observed", "Nothing applied: the mode is observe. 1 change would be made."),
        (
            "partly",
            "Apply incomplete: 1 failed, 1 pending, 1 refused, 1 skipped; 1 added, 0 changed, 0 destroyed. "
            "Mend what failed and run it again.",
        ),
        ("refused-apply", "Refused: 1 change by owner; nothing was written."),
        ("invalid", "Error: 2 problems in the manifests of Project prod"),
        ("unreachable", "Error: cannot list agents of prod"),
        ("no-source", "Error: cannot read the source `agents`"),
        ("valid", "Valid. 12 resources without a problem."),
        ("refused-manifests", "Refused by owner."),
        ("several", "Error: 1 of 3 Projects could not be decided: stage"),
    ],
)
def test_the_last_line_says_how_the_run_ended(name, expected):
    assert last_line(REPORTS[name]) == expected


@pytest.mark.parametrize(
    ("command", "code", "summary", "expected"),
    [
        ("plan", ExitCode.PENDING, {"add": 1, "change": 2}, "Plan: 1 to add, 2 to change, 0 to destroy."),
        ("plan", ExitCode.PENDING, {"drifted": 1}, "Plan: 0 to add, 0 to change, 0 to destroy."),
        ("plan", ExitCode.REFUSED, {}, "Refused."),
        (
            "apply",
            ExitCode.DONE,
            {"add": 1, "change": 2},
            "Apply complete! Resources: 1 added, 2 changed, 0 destroyed.",
        ),
        (
            "apply",
            ExitCode.DONE,
            {"drifted": 2},
            "No changes. 2 resources keep what was changed outside of Git.",
        ),
        (
            "apply",
            ExitCode.PARTLY,
            {"pending": 2},
            "Apply incomplete: 0 failed, 2 pending, 0 refused; 0 added, 0 changed, 0 destroyed. "
            "Run it again to go on.",
        ),
        (
            "apply",
            ExitCode.PARTLY,
            {"refused": 2, "change": 1},
            "Apply incomplete: 0 failed, 0 pending, 2 refused; 0 added, 1 changed, 0 destroyed. "
            "The refusals say what lifts them.",
        ),
    ],
)
def test_the_last_line_counts(command, code, summary, expected):
    assert last_line(run(command, project(code, summary))) == expected


BEGINNINGS = {
    ExitCode.DONE: ("No changes.", "No drift.", "Apply complete!", "Nothing applied:", "Valid."),
    ExitCode.ERROR: ("Error: ",),
    ExitCode.PENDING: ("Plan: ", "Drift: "),
    ExitCode.REFUSED: ("Refused",),
    ExitCode.PARTLY: ("Apply incomplete: ",),
}


@pytest.mark.parametrize("name", REPORTS)
def test_the_last_line_agrees_with_the_exit_code(name):
    report = REPORTS[name]
    assert last_line(report).startswith(BEGINNINGS[report.exit_code])
    for code, others in BEGINNINGS.items():
        if code is not report.exit_code:
            assert not last_line(report).startswith(others)


def test_a_stalled_version_counts_as_failed_when_apply_had_nothing_to_write():
    stalled = run("apply", project(ExitCode.PARTLY, conditions=(reports.STALLED,)))
    assert last_line(stalled).startswith("Apply incomplete: 1 failed")
    assert "router stalled, image_pull_failed: the image cannot be pulled" in render(stalled, "text")


@pytest.mark.rule("D2")
def test_a_refused_plan_is_shown_before_its_refusals_with_limit_flag_and_key():
    text = render(reports.BLOCKED, "text")
    plan, refusals = text.split("\nRefused\n")
    assert plan.rstrip().endswith("Plan: 0 to add, 1 to change, 0 to destroy.")
    assert "router will have its traffic moved" in plan
    assert "! prod/Agent/payments would be destroyed, but is refused" in plan
    assert "sync.limits.deletes: 5" in refusals
    assert "--max-deletes 7" in refusals
    assert "Agent/payments belongs to" in refusals
    assert "--take-over" in refusals


@pytest.mark.rule("P9")
def test_drift_stands_apart_from_changes_and_is_told_from_the_side_of_git():
    text = render(reports.PLANNED, "text")
    drift, changes = text.split("Changes that apply would make")
    assert "billing was changed: version 8, made 2026-01-01T00:00:00Z by somebody else" in drift
    assert "~ /definition/temperature:  0.2 → 0.9" in drift
    assert '+ /definition/tools/0/type: "web_search"' in drift
    assert "~ /definition/temperature: 0.9 → 0.4" in changes
    assert "puts back what Git says: 1 difference, above" in changes


@pytest.mark.rule("R5")
def test_held_traffic_names_the_way_out():
    assert "with --take-traffic" in render(reports.DRIFTED, "text")


def test_drift_only_counts_what_is_pending_in_git():
    text = render(reports.DRIFTED, "text")
    assert "2 changes are pending in Git" in text
    assert "create a version" not in text
    assert "secret-in-version" not in text


def test_problems_stand_alone_on_their_line_with_place_and_remedy():
    lines = render(reports.INVALID, "text").splitlines()
    at = lines.index("agents/a.yaml:7:11: spec.definition.kind: unknown kind `promt`")
    assert lines[at + 1] == "  → Did you mean `prompt`?"


def test_a_failed_step_shows_its_whole_chain_ids_and_remedy():
    text = render(reports.PARTLY, "text")
    for part in (
        "failed add-version",
        "cannot create a version of agent router",
        "HTTP 400, invalid_parameter, unknown model `gpt-9`",
        "request id 8d1c-77",
        "→ Deploy the model",
    ):
        assert part in text


def test_what_a_later_attempt_got_past_is_not_told():
    waited = (
        outcome("x", "add-version", "created", "2"),
        outcome("x", "await-active", "pending", "2", reason="Creating"),
        outcome("y", "read", "skipped", reason="Moved"),
        outcome("z", "await-active", "pending", "3", reason="Creating", note="first"),
        outcome("x", "move-traffic", "moved", "2"),
        outcome("y", "read", "unchanged"),
        outcome("z", "await-active", "pending", "3", reason="Creating", note="second"),
    )
    report = run("apply", project(ExitCode.PARTLY, {"add": 1, "pending": 1}, outcomes=waited))
    text = render(report, "text")
    for line in ("created version 2", "moved traffic to version 2", "second"):
        assert line in text
    for gone in ("first", "Moved", "unchanged", "prod/Agent/y"):
        assert gone not in text
    assert text.count("pending await-active") == 1
    assert "skipped" not in text
    assert render(report, "github").count("::warning") == 1
    assert render(report, "junit").count("<skipped") == 1
    assert render(report, "json").count('"pending"') == 3 + 1  # three outcomes and the summary


def test_a_service_code_that_no_message_names_is_shown():
    failed = outcome(
        "x", "await-active", "failed", "3", note="version 3 is failed", code="quota", hint="Ask."
    )
    text = render(run("apply", project(ExitCode.PARTLY, {"failed": 1}, outcomes=(failed,))), "text")
    assert "code quota" in text


def test_other_peoples_agents_are_one_line():
    text = render(reports.PLANNED, "text")
    assert "7 live resources are not managed here: Agent/guest-1," in text
    assert "and 2 more" in text
    assert "guest-6" not in text


def test_every_project_has_a_heading_and_a_row():
    text = render(reports.SEVERAL, "text")
    assert "Project stage  https://" in text
    assert "stage      0       0        0  error" in text


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        pytest.param(FieldDiff("add", "/a", 1), "+ /a: 1", id="added"),
        pytest.param(FieldDiff("remove", "/a", live="1"), '- /a: "1"', id="removed-string-is-quoted"),
        pytest.param(FieldDiff("replace", "/a", None, False), "~ /a: false → null", id="replaced"),
        pytest.param(FieldDiff("replace", "", {}, []), "~ /: [] → {}", id="whole-document"),
        pytest.param(FieldDiff("add", "/a", {"b/c": {"d": 1}}), "+ /a/b~1c/d: 1", id="mapping-by-entry"),
        pytest.param(FieldDiff("add", "/a", {}), "+ /a: {}", id="empty-mapping"),
        pytest.param(
            FieldDiff("add", "/a", "x" * 500), "x… (500 characters)", id="long-value-is-cut-with-its-length"
        ),
        pytest.param(
            FieldDiff("add", "/a", "one\n" * 300), '"one… (301 lines, 1,200 characters)', id="many-lines"
        ),
        pytest.param(
            FieldDiff("replace", "/a", "y" * 300 + "new", "y" * 300 + "old"),
            '- …yyyyyyyyyyyyyyyyyyyyyyyyold"',
            id="long-values-are-cut-around-the-difference",
        ),
        pytest.param(FieldDiff("replace", "/a", "a\nb ", "a\nb"), "+ b\\x20", id="space-at-line-end"),
        pytest.param(FieldDiff("replace", "/a", "a\r\nb", "a\nb"), "+ a\\r", id="line-ending"),
        pytest.param(
            FieldDiff("replace", "/image", "r.example.com/" + "b" * 40, "r.example.com/" + "a" * 40),
            '~ /image:\n          - "r.example.com/a',
            id="two-values-that-fit-on-a-line-each",
        ),
        pytest.param(FieldDiff("replace", "… and 9 more differences"), "… and 9 more differences", id="rest"),
        pytest.param(
            FieldDiff("replace", "/a", "\n".join(map(str, range(900))), "x"),
            "1 lines replaced by 900, see --format json",
            id="a-rewritten-text-is-not-compared",
        ),
    ],
)
def test_differences_are_shown(field, expected):
    assert expected in of_fields(field)


def test_a_long_text_shows_a_few_lines_around_each_edit():
    live = "\n".join(f"line {number}" for number in range(100))
    desired = live.replace("line 20", "line twenty").replace("line 70", "line seventy")
    text = of_fields(FieldDiff("replace", "/t", desired, live))
    shown = [line.strip() for line in text.splitlines()]
    assert shown[shown.index("- line 20") - 1 : shown.index("+ line seventy") + 2] == [
        *("line 19", "- line 20", "+ line twenty", "line 21"),
        "…",
        *("line 69", "- line 70", "+ line seventy", "line 71"),
    ]


def test_more_than_twenty_differences_are_counted():
    text = of_fields(*(FieldDiff("add", f"/a/{number:02}", number) for number in range(33)))
    assert "… 13 more, see --format json" in text
    assert "/a/20" not in text


def test_a_text_diff_is_cut_after_sixteen_lines():
    live = "\n".join(f"old {number}" for number in range(60))
    desired = "\n".join(f"new {number}" for number in range(60))
    assert "… 104 more lines, see --format json" in of_fields(FieldDiff("replace", "/t", desired, live))


def test_a_rule_broken_by_many_is_shown_twenty_times_with_one_hint():
    text = render(many(25), "text")
    assert text.count("* secret-in-version: ") == 20
    assert "… 5 more of secret-in-version, see --format json" in text
    assert text.count("→ Mend it.") == 1


@pytest.mark.parametrize("width", [1, 40, 60, 100, 140])
def test_prose_stays_within_the_width(width):
    text = render(reports.BLOCKED, "text", width=width)
    prose = [line for line in text.splitlines()[:-1] if "→ Look" in line or "would be deleted" in line]
    assert prose
    assert max(map(len, prose)) <= max(width, 40)


def test_plain_text_holds_no_escape_and_colour_changes_nothing_else():
    import re

    for report in REPORTS.values():
        plain = render(report, "text")
        painted = render(report, "text", color=True)
        assert "\x1b" not in plain
        assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == plain


def test_our_own_words_are_ascii_but_for_arrows_and_dots():
    for report in REPORTS.values():
        assert set(render(report, "text")) - {"→", "…"} <= {chr(code) for code in range(32, 127)} | {"\n"}


@pytest.mark.parametrize(
    ("revision", "first"),
    [
        ("4f2a9c1d3e5b7a9c", "Commit 4f2a9c1d3e5b"),
        ("4f2a9c1d3e5b7a9c+dirty", "Commit 4f2a9c1d3e5b with uncommitted changes"),
        ("", "No changes. Live agents match the manifests."),
    ],
)
def test_the_first_line_names_the_commit_if_there_is_one(revision, first):
    assert render(replace(reports.IN_SYNC, revision=revision), "text").splitlines()[0] == first


@pytest.mark.parametrize(
    ("command", "code", "word"),
    [
        ("plan", ExitCode.DONE, "in sync"),
        ("apply", ExitCode.DONE, "applied"),
        ("validate", ExitCode.DONE, "valid"),
        ("plan", ExitCode.PENDING, "changes"),
        ("drift", ExitCode.PENDING, "drift"),
        ("plan", ExitCode.REFUSED, "refused"),
        ("apply", ExitCode.PARTLY, "in part"),
        ("apply", ExitCode.ERROR, "error"),
    ],
)
def test_a_row_says_how_its_project_fared(command, code, word):
    report = run(command, project(code, name="a"), project(ExitCode.DONE, name="b"))
    row = next(line for line in render(report, "text").splitlines() if line.startswith("a  "))
    assert row.endswith(f"  {word}")


def test_a_drift_without_time_or_version_reads_as_a_sentence():
    held = change("x", "none", "redirected", drift=(Drift("redirected"),))
    text = render(run("drift", project(ExitCode.PENDING, changes=(held,))), "text")
    assert "prod/Agent/x has its traffic moved\n" in text


def test_a_thousand_changes_render_in_half_a_second():
    report = many(1000)
    render(reports.PLANNED, "text")
    started = time.process_time()
    render(report, "text")
    assert time.process_time() - started < 0.5


def test_what_befell_many_agents_is_told_once():
    """But for the name and the id of the request; whatever differs in more is told of its own."""
    broken = {"hint": "The service failed. Run the command again.", "code": "server_error"}

    def failed(name: str, number: int, status: int = 503):
        facts = f"HTTP {status}, server_error, request id id-{number}"
        messages = (f"cannot create a version of agent {name} at https://x", facts)
        more = broken | {"error": messages, "request_id": f"id-{number}"}
        return outcome(name, "add-version", "failed", **more)

    put_off = {
        "reason": "Throttled",
        "note": "the service refuses requests for now, so this was not tried yet",
    }
    outcomes = [
        *(failed(f"bot-{number}", number) for number in range(300)),
        failed("other", 1_000, status=500),
        *(outcome(f"late-{number}", "add-version", "pending", **put_off) for number in range(50)),
    ]
    text = render(run("apply", project(ExitCode.PARTLY, {}, outcomes=tuple(outcomes))), "text")

    assert text.count("HTTP 503") == 1
    assert text.count("HTTP 500") == 1
    assert text.count("Run the command again") == 2
    assert text.count("not tried yet") == 1
    lines = text.splitlines()
    assert sum("failed add-version" in line for line in lines) == 301
    [line] = [line for line in lines if "bot-299 " in line]
    assert line.endswith("0.4 s  as bot-0")
    assert sum(line.endswith("as late-0") for line in lines) == 49


def test_a_short_note_is_said_of_each_agent():
    outcomes = tuple(
        outcome(f"a-{n}", "delete-agent", "skipped", reason="InUse", note="it serves") for n in (1, 2)
    )
    text = render(run("apply", project(ExitCode.PARTLY, {}, outcomes=outcomes)), "text")
    assert text.count("InUse: it serves") == 2
