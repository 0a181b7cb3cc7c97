import json
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator

from reconciler.fields import FieldDiff
from reconciler.render import render
from reconciler.report import ExitCode
from tests.render import reports
from tests.render.reports import REPORTS, change, project, run

SCHEMA = json.loads((files("reconciler.render") / "report.schema.json").read_text(encoding="utf-8"))


def read(report) -> dict:
    value = json.loads(render(report, "json"))
    Draft202012Validator(SCHEMA).validate(value)
    return value


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_closes_every_object():
    def objects(value):
        if isinstance(value, dict):
            if value.get("type") == "object":
                yield value
            for item in value.values():
                yield from objects(item)
        elif isinstance(value, list):
            for item in value:
                yield from objects(item)

    found = list(objects(SCHEMA))
    assert len(found) > 10
    assert all(item["additionalProperties"] is False for item in found)
    assert all(set(item["required"]) == set(item["properties"]) for item in found)


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_keeps_the_schema(name):
    value = read(REPORTS[name])
    assert value["exit_code"] == REPORTS[name].exit_code
    assert value["format"] == "reconciler.report/v1"


def test_a_change_holds_both_sides_steps_and_drift():
    value = read(reports.PLANNED)["projects"][0]
    [billing] = [item for item in value["changes"] if item["key"] == "prod/Agent/billing"]
    assert billing == {
        "key": "prod/Agent/billing",
        "action": "update",
        "reason": "changed",
        "origin": "both",
        "place": "agents/billing.yaml:1:1",
        "refused": False,
        "held": False,
        "drift": [
            {
                "what": "changed",
                "version": "8",
                "at": "2026-01-01T00:00:00Z",
                "by": "somebody else",
                "fields": [
                    {"op": "replace", "path": "/definition/temperature", "desired": 0.2, "live": 0.9},
                    {
                        "op": "remove",
                        "path": "/definition/tools/0",
                        "desired": None,
                        "live": {"type": "web_search"},
                    },
                ],
            }
        ],
        "fields": [{"op": "replace", "path": "/definition/temperature", "desired": 0.4, "live": 0.9}],
        "steps": {"now": ["create a version"], "later": []},
        "notes": [],
    }
    assert value["summary"]["change"] == 5


def test_a_failed_step_keeps_its_chain():
    outcomes = read(reports.PARTLY)["projects"][0]["outcomes"]
    [failed] = [item for item in outcomes if item["outcome"] == "failed"]
    assert failed["error"][0] == "cannot create a version of agent router"
    assert (failed["code"], failed["request_id"]) == ("invalid_parameter", "8d1c-77")


def test_problems_keep_their_places():
    [first, _] = read(reports.INVALID)["projects"][0]["failed"]["problems"]
    assert (first["file"], first["line"], first["column"]) == ("agents/a.yaml", 7, 11)


@pytest.mark.parametrize(
    ("value", "read_back"),
    [
        (2**80, 2**80),
        ("lone \ud800 half", "lone ? half"),
        ({"\udfff": [float("inf"), float("nan"), 0.5]}, {"?": [None, None, 0.5]}),
        ("日本語 \u202e", "日本語 \u202e"),
    ],
)
def test_values_that_json_writers_refuse_are_written_all_the_same(value, read_back):
    changed = change("x", "update", "changed", fields=(FieldDiff("add", "/v", value),))
    report = run("plan", project(ExitCode.PENDING, {"change": 1}, changes=(changed,)))
    assert read(report)["projects"][0]["changes"][0]["fields"][0]["desired"] == read_back
