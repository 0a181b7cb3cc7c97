import re

import pytest

from reconciler.render import render
from reconciler.render.github import step_summary
from reconciler.render.markdown import code
from reconciler.report import ExitCode
from tests.render import reports
from tests.render.golden import assert_golden
from tests.render.reports import REPORTS, change, many, project, run


@pytest.mark.parametrize("name", REPORTS)
def test_markdown_is_as_reviewed(name):
    assert_golden(f"{name}.md.txt", render(REPORTS[name], "markdown"))


def test_the_marker_finds_the_comment_again():
    assert render(reports.SEVERAL, "markdown").startswith("<!-- reconciler:dev,prod,stage -->\n")
    odd = run("plan", project(ExitCode.DONE, name="a-->b\n`x`"))
    assert render(odd, "markdown").startswith("<!-- reconciler:a--_b__x_ -->\n")
    names = [project(ExitCode.DONE, name=f"team-{number}") for number in range(100)]
    assert re.match(r"<!-- reconciler:[0-9a-f]{64} -->\n", render(run("plan", *names), "markdown"))


def test_the_result_is_the_first_line_that_shows():
    for report in REPORTS.values():
        lines = render(report, "markdown").splitlines()
        assert lines[2].startswith("**")


def test_long_parts_are_folded_and_refusals_never():
    text = render(many(3), "markdown")
    assert re.search(r"<details><summary>Changes that apply would make \(\d\d lines\)</summary>", text)
    refused = render(reports.BLOCKED, "markdown")
    assert refused.index("delete-limit: 7 of 9") < refused.index("Changes that apply would make")
    assert "**Refused**\n" in refused


def test_signs_of_a_diff_stand_in_the_first_column():
    text = render(reports.PLANNED, "markdown")
    assert "\n+ prod/Agent/greeter will be created" in text
    assert "\n- prod/Agent/old-bot will be destroyed" in text
    assert "\n! prod/Agent/legacy-faq will be adopted" in text
    assert "\n+         Be brief and friendly.\n" in text


@pytest.mark.parametrize("count", [700, 3000])
def test_a_comment_stays_below_the_limit_and_says_that_it_was_cut(count):
    text = render(many(count), "markdown")
    assert len(text) <= 60_000
    assert text.rstrip().endswith("The whole report is what `--output json=FILE` writes.")
    assert "**Cut here:**" in text
    assert text.count("```") % 2 == 0
    assert text.count("<details>") == text.count("</details>")


def test_many_projects_stay_below_the_limit():
    projects = [
        project(ExitCode.PENDING, {"change": 1}, name=f"p{n:04}", changes=(reports.UPDATE,))
        for n in range(2000)
    ]
    text = render(run("plan", *projects), "markdown")
    assert len(text) <= 60_000
    assert "**Cut here:**" in text


def test_one_enormous_line_does_not_break_the_limit():
    huge = change("x", "update", "changed", notes=("n" * 100_000,))
    text = render(run("plan", project(ExitCode.PENDING, changes=(huge,))), "markdown")
    assert len(text) <= 60_000
    assert "**Cut here:**" in text


def test_a_step_summary_stays_below_one_mebibyte_in_bytes():
    from dataclasses import replace

    report = many(3000)
    [mine] = report.projects
    wide = tuple(replace(item, notes=("日本語" * 50,)) for item in mine.changes)
    text = step_summary(replace(report, projects=(replace(mine, changes=wide),)))
    assert 900_000 < len(text.encode()) < 1_000_000
    assert "**Cut here:**" in text
    assert "<!--" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "`a`"),
        ("", "` `"),
        ("a`b", "`` a`b ``"),
        ("```", "```` ``` ````"),
        ("@team #1 <b>", "`@team #1 <b>`"),
        ("two\nlines", "`two\\nlines`"),
    ],
)
def test_a_code_span_is_longer_than_any_inside(text, expected):
    assert code(text) == expected
