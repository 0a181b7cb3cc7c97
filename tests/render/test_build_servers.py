import json

import pytest

from reconciler.errors import Place, Problem
from reconciler.render import render
from reconciler.render.issues import placed
from reconciler.report import ExitCode, Failed
from tests.render import reports
from tests.render.annotations import azure_commands, github_commands
from tests.render.reports import REPORTS, many, project, run, verdict


def test_refusals_and_failures_are_errors_at_their_line():
    found = github_commands(render(reports.PARTLY, "github"))
    assert [(item.name, item.properties.get("file"), item.properties["title"]) for item in found] == [
        ("error", "agents/payments.yaml", "owner"),
        ("error", "agents/router.yaml", "failed-step"),
        ("warning", None, "pending-step"),
        ("warning", None, "skipped-step"),
        ("notice", None, "reconciler apply"),
    ]
    assert found[0].properties["line"] == "1"
    assert found[0].message.endswith("\n→ If it shall move here, run with --take-over.")
    assert "request id 8d1c-77" in found[1].message


def test_problems_are_errors_and_notes_notices():
    found = github_commands(render(reports.INVALID, "github"))
    assert found[0].properties == {
        "file": "agents/a.yaml", "line": "7", "col": "11", "title": "invalid-manifest",
    }  # fmt: skip
    assert found[0].message == "spec.definition.kind: unknown kind `promt`\n→ Did you mean `prompt`?"
    [note, _] = github_commands(render(reports.VALID, "github"))
    assert (note.name, note.properties["line"]) == ("notice", "4")


def test_drift_is_a_warning_with_a_way_out():
    found = github_commands(render(reports.DRIFTED, "github"))
    held = next(item for item in found if item.properties["title"] == "drift-redirected")
    assert (held.name, held.properties["file"]) == ("warning", "agents/chat.yaml")
    assert "--take-traffic" in held.message


@pytest.mark.parametrize("name", REPORTS)
def test_the_result_is_the_last_notice(name):
    last = github_commands(render(REPORTS[name], "github"))[-1]
    assert last.name == "notice"
    assert last.message == render(REPORTS[name], "text").splitlines()[-1]


def test_github_gets_no_more_than_it_shows_and_the_last_says_how_many_more():
    problems = tuple(Problem(Place("a.yaml", line), "spec", "wrong") for line in range(1, 31))
    report = many(30)
    broken = project(ExitCode.ERROR, failed=Failed(("30 problems",), problems=problems), name="a")
    found = github_commands(render(run("plan", *report.projects, broken), "github"))
    names = [item.name for item in found]
    assert (names.count("error"), names.count("warning")) == (10, 10)
    assert found[9].message == "21 more errors, see the log or --format json"
    assert found[19].message == "21 more warnings, see the log or --format json"


def test_ten_errors_need_no_tenth_that_counts():
    problems = tuple(Problem(Place("a.yaml", line), "spec", "wrong") for line in range(1, 11))
    found = github_commands(
        render(run("plan", project(ExitCode.ERROR, failed=Failed(("10",), problems=problems))), "github")
    )
    assert [item.message for item in found[:10]] == ["spec: wrong"] * 10


def test_text_with_the_signs_of_a_command_comes_back_as_it_was():
    odd = verdict(
        "refuse", "a:b,c", "x", message="100% of Agent/x, yes: a::b", hint="", place="a:b,c%.yaml:3:4"
    )
    report = run("plan", project(ExitCode.REFUSED, verdicts=(odd,)))
    first = github_commands(render(report, "github"))[0]
    assert first.properties == {"file": "a:b,c%.yaml", "line": "3", "col": "4", "title": "a:b,c"}
    assert first.message == "100% of Agent/x, yes: a::b"
    azure = verdict("refuse", "a;b]c", "x", message="100% of Agent/x; yes]", hint="", place="a;b]%.yaml:3:4")
    first = azure_commands(render(run("plan", project(ExitCode.REFUSED, verdicts=(azure,))), "azure-devops"))[
        0
    ]
    assert first.properties["sourcepath"] == "a;b]%.yaml"
    assert first.properties["code"] == "a;b]c"
    assert first.message == "100% of Agent/x; yes]"


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("in-sync", "Succeeded"),
        ("planned", "SucceededWithIssues"),
        ("blocked", "Failed"),
        ("partly", "Failed"),
        ("unreachable", "Failed"),
        ("applied", "Succeeded"),
    ],
)
def test_azure_pipelines_learns_how_the_task_ended(name, result):
    *_, last = azure_commands(render(REPORTS[name], "azure-devops"))
    assert (last.name, last.properties) == ("task.complete", {"result": result})


def test_azure_pipelines_gets_issues_with_places():
    first, *_ = azure_commands(render(reports.INVALID, "azure-devops"))
    assert (first.name, first.properties) == (
        "task.logissue",
        {
            "type": "error",
            "sourcepath": "agents/a.yaml",
            "linenumber": "7",
            "columnnumber": "11",
            "code": "invalid-manifest",
        },
    )
    found = azure_commands(render(many(200), "azure-devops"))
    assert len(found) == 51
    assert found[49].message == "151 more warnings, see --format json"


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("planned", {"create": 2, "update": 6, "delete": 1}),
        ("in-sync", {"create": 0, "update": 0, "delete": 0}),
        ("no-source", {"create": 0, "update": 0, "delete": 0}),
        ("several", {"create": 0, "update": 1, "delete": 0}),
    ],
)
def test_gitlab_gets_its_three_counts(name, counts):
    assert json.loads(render(REPORTS[name], "gitlab")) == counts


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("a/b.yaml:3:4", ("a/b.yaml", 3, 4)),
        ("c:/x:y.yaml:3:4", ("c:/x:y.yaml", 3, 4)),
        ("-:1:1", ("", 0, 0)),
        ("", ("", 0, 0)),
        ("a.yaml", ("", 0, 0)),
        ("a.yaml:x:1", ("", 0, 0)),
    ],
)
def test_a_place_is_file_line_and_column(place, expected):
    assert placed(place) == expected
