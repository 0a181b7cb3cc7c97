from xml.etree import ElementTree as ET

import pytest

from reconciler.render import render
from tests.render import reports
from tests.render.reports import REPORTS


def suites(report) -> dict[str, ET.Element]:
    return {suite.get("name"): suite for suite in ET.fromstring(render(report, "junit")).iter("testsuite")}


def fates(report) -> dict[str, str]:
    [suite] = suites(report).values()
    return {
        case.get("name"): next((child.tag for child in case if child.tag != "system-out"), "passed")
        for case in suite.iter("testcase")
    }


@pytest.mark.parametrize("name", REPORTS)
def test_the_counts_of_a_suite_are_those_of_its_cases(name):
    for suite in suites(REPORTS[name]).values():
        cases = list(suite.iter("testcase"))
        assert suite.get("tests") == str(len(cases))
        assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(attribute) == str(sum(1 for case in cases if case.find(tag) is not None))


def test_drift_is_a_failure_and_a_pending_change_is_not():
    found = fates(reports.PLANNED)
    assert found["prod/Agent/chat"] == found["prod/Agent/billing"] == found["prod/Agent/notes"] == "failure"
    assert found["prod/Agent/greeter"] == found["prod/Agent/old-bot"] == "passed"
    assert "prod/Agent/guest-1" not in found


def test_refusals_and_failed_steps_are_failures_and_what_waits_is_skipped():
    assert fates(reports.PARTLY) == {
        "prod can be decided": "passed",
        "prod/Agent/greeter": "passed",
        "prod/Agent/router": "failure",
        "prod/Agent/payments": "failure",
        "prod/Agent/voice": "skipped",
        "prod/Agent/old-bot": "skipped",
        "prod/Agent/faq": "passed",
        "prod/Agent/payments owner": "failure",
    }


def test_what_could_not_be_decided_is_an_error():
    assert fates(reports.UNREACHABLE) == {"prod can be decided": "error"}
    assert fates(reports.NO_SOURCE) == {"reconciler can be decided": "error"}
    found = suites(reports.INVALID)["prod"].find("testcase/error")
    assert "agents/a.yaml:7:11: spec.definition.kind: unknown kind `promt`" in found.text
    assert list(suites(reports.SEVERAL)) == ["dev", "prod", "stage"]


def test_the_details_of_a_case_hold_its_differences():
    case = suites(reports.PLANNED)["prod"].find("testcase[@name='prod/Agent/billing']/failure")
    assert case.get("message").startswith("prod/Agent/billing was changed: version 8")
    assert "~ /definition/temperature: 0.9 → 0.4" in case.text
