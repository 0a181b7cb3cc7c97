"""Whatever a manifest, a live agent or a service says, it never becomes more than text."""

import json
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft202012Validator
from markdown_it import MarkdownIt

from reconciler.errors import Place, Problem
from reconciler.fields import FieldDiff
from reconciler.kinds.kind import Drift
from reconciler.render import FORMATS, render
from reconciler.render.issues import issues
from reconciler.report import ChangeReport, Condition, ExitCode, Failed, OutcomeReport, VerdictReport
from tests.render.annotations import azure_commands, github_commands
from tests.render.reports import project, run
from tests.render.test_json import SCHEMA as REPORT_SCHEMA
from tests.render.test_sarif import SCHEMA as SARIF_SCHEMA

SNIPPETS = (
    *("\x1b[2J", "\x1b]8;;http://evil\x07", "\x9b31m", "\x00", "\r", "\n", "\u2028", "\u0085", "\u202e"),
    *("\ud800", "\ufffe", "`", "```", "````diff\n", "~~~", "-->", "<!--", "]]>", "<script>", "&amp;"),
    *("</details>", "<details>", "::", "\n::error::x", "::set-output name=a::b", "::stop-commands::x"),
    *("##vso[task.setvariable variable=a]b", "##[error]", "##VSO[", "|", "\n| a | b |", "@team", "#1"),
    *("[x](http://evil)", "![x](http://evil)", "https://evil.example", "**", "\n# head", "%", "%0A", ","),
    *(";", "]", "=", " ", "/", ":", "\\", "é", "\U0001f600"),
)
evil = st.lists(
    st.one_of(st.sampled_from(SNIPPETS), st.text(min_size=1, max_size=4)), min_size=1, max_size=5
).map("".join)
values = st.one_of(
    evil, st.integers(), st.lists(evil, max_size=2), st.dictionaries(evil, evil, max_size=2), st.none()
)


@st.composite
def fields(draw):
    return FieldDiff(
        draw(st.sampled_from(["add", "remove", "replace"])), draw(evil), draw(values), draw(values)
    )


@st.composite
def hostile_reports(draw):
    """A report in which every text that is not ours is hostile."""
    text = lambda: draw(evil)  # noqa: E731
    key = f"prod/Agent/{text()}"
    place = f"{text()}:3:7"
    diffs = tuple(draw(st.lists(fields(), min_size=1, max_size=3)))
    drift = (Drift("changed", text(), draw(st.integers(0, 10**12)), text(), diffs),)
    changes = (
        ChangeReport(
            key, "update", "changed", "both", drift, diffs, (text(),), (text(),), place, notes=(text(),)
        ),
        ChangeReport(key + "2", "none", text(), "git", (), (), (), (), place, notes=(text(),)),
        ChangeReport(key + "3", "none", "unmanaged", "live", (Drift("unmanaged"),), (), (), ()),
        ChangeReport(key + "4", "delete", "removed", "git", (), (), (), (), refused=True),
    )
    verdicts = tuple(
        VerdictReport(severity, text(), key, text(), text(), place) for severity in ("info", "warn", "refuse")
    )
    outcomes = tuple(
        OutcomeReport(
            key, text(), word, text(), text(), text(), text(), (text(), text()), text(), text(), 1.5
        )
        for word in ("failed", "created", "skipped")
    )
    failed = Failed(
        (text(), text()), text(), (Problem(Place(text(), 3, 7), text(), text(), text()),), text(), text()
    )
    conditions = (Condition(key + "5", "Stalled", True, text(), text(), 1),)
    notes = (Problem(Place(text(), 1, 1), text(), text(), text(), note=True),)
    command = draw(st.sampled_from(["plan", "drift", "apply"]))
    mine = project(
        draw(st.sampled_from([ExitCode.ERROR, ExitCode.REFUSED])),
        name=text(), endpoint=text(), changes=changes, verdicts=verdicts, outcomes=outcomes,
        conditions=conditions, notes=notes, failed=draw(st.sampled_from([failed, None])),
    )  # fmt: skip
    others = [project(ExitCode.DONE, name="zz-" + text())] if draw(st.booleans()) else []
    return run(command, mine, *others, failed=draw(st.sampled_from([failed, None])))


HTML = re.compile(
    r"<!-- reconciler:[A-Za-z0-9._,-]* -->|<details><summary>[A-Za-z ]+ \(\d+ lines\)</summary>|</details>"
)


@settings(max_examples=60, deadline=None)
@given(hostile_reports())
def test_text_stays_text_on_a_terminal_and_in_a_log(report):
    plain = render(report, "text")
    visible = re.sub("[\u200c\u200d]", "", plain)
    assert all(line.isprintable() for line in visible.split("\n"))
    assert_no_commands(plain)
    ours = re.sub(r"\x1b\[[0-9;]*m", "", render(report, "text", color=True))
    assert "\x1b" not in ours


def assert_no_commands(log: str) -> None:
    assert "##vso[" not in log.lower()
    assert "##[" not in log
    assert not [line for line in log.split("\n") if line.lstrip().startswith("::")]


@pytest.mark.parametrize("format", ["text", "json", "markdown", "junit", "sarif", "gitlab"])
@settings(max_examples=25, deadline=None)
@given(report=hostile_reports())
def test_no_format_that_is_no_command_commands_a_build_server(format, report):
    assert_no_commands(render(report, format))


@settings(max_examples=60, deadline=None)
@given(hostile_reports())
def test_markdown_renders_nothing_that_is_not_ours(report):
    text = render(report, "markdown")
    assert len(text) <= 60_000
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    flat = [child for token in tokens for child in (token, *(token.children or ()))]
    kinds = {token.type for token in flat}
    assert not kinds & {
        "link_open",
        "image",
        "html_inline",
        "code_block",
        "blockquote_open",
        "hr",
        "lheading_open",
    }
    for token in flat:
        if token.type == "html_block":
            assert all(HTML.fullmatch(line) for line in token.content.split("\n") if line), token.content
        elif token.type == "text":
            assert not re.search(r"[@#<>]|://", token.content), token.content
        elif token.type == "fence":
            assert token.info == "diff"
    headings = [token for token in tokens if token.type == "heading_open"]
    assert len(headings) <= len(report.projects)


@settings(max_examples=60, deadline=None)
@given(hostile_reports())
def test_every_line_for_github_is_one_annotation_of_ours(report):
    log = render(report, "github")
    found = github_commands(log)
    assert len(found) == len(log.splitlines()) == log.count("\n")
    assert {item.name for item in found} <= {"error", "warning", "notice"}
    assert all(set(item.properties) <= {"file", "line", "col", "title"} for item in found)
    said = {(issue.rule, issue.message) for issue in issues(report)}
    for item in found[:-1]:
        assert (item.properties["title"], item.message.split("\n→ ")[0]) in said
    assert "##vso[" not in log.lower()


@settings(max_examples=60, deadline=None)
@given(hostile_reports())
def test_every_line_for_azure_pipelines_is_one_command_of_ours(report):
    log = render(report, "azure-devops")
    found = azure_commands(log)
    assert len(found) == len(log.splitlines()) == log.lower().count("##vso[")
    assert [item.name for item in found] == ["task.logissue"] * (len(found) - 1) + ["task.complete"]
    said = {(issue.rule, issue.message) for issue in issues(report)}
    for item in found[:-1]:
        assert set(item.properties) <= {"type", "sourcepath", "linenumber", "columnnumber", "code"}
        assert any(rule == item.properties["code"] and item.message.startswith(text) for rule, text in said)


@settings(max_examples=60, deadline=None)
@given(hostile_reports())
def test_junit_is_well_formed_with_the_cases_that_belong(report):
    root = ET.fromstring(render(report, "junit"))
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out",
    }  # fmt: skip
    assert len(root.findall("testsuite")) == len(report.projects) + (report.failed is not None)


@settings(max_examples=60, deadline=None)
@given(hostile_reports())
def test_json_and_sarif_keep_their_schemas(report):
    Draft202012Validator(REPORT_SCHEMA).validate(json.loads(render(report, "json")))
    Draft4Validator(SARIF_SCHEMA).validate(json.loads(render(report, "sarif")))


@settings(max_examples=25, deadline=None)
@given(hostile_reports())
def test_every_format_is_one_that_a_file_can_hold(report):
    for format in FORMATS:
        render(report, format).encode("utf-8")
