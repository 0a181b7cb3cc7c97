"""The example manifests of the repository: they load, and they show every kind of agent."""

from __future__ import annotations

from pathlib import Path

from reconciler.desired import load
from reconciler.source import open_source
from tests.manifest.sources import KINDS, lines

MANIFESTS = Path(__file__).parents[2] / "manifests"


def examples():
    (found,) = load(open_source(str(MANIFESTS), environ={}), environ={}, kinds=KINDS)
    return found


def test_the_examples_are_valid():
    found = examples()
    assert lines(found.problems) == []
    assert lines(found.notes) == []
    assert (found.project.name, found.project.endpoint) == ("local", "sandbox://local")


def test_the_examples_show_every_kind_of_agent():
    definitions = [desired.form["definition"] for desired in examples().resources]
    assert {definition["kind"] for definition in definitions} == {
        "prompt",
        "hosted",
        "workflow",
        "external",
        "voice",
    }
    hosted = {key for definition in definitions for key in definition if key.endswith("_configuration")}
    assert hosted == {"container_configuration", "code_configuration"}


def test_the_example_code_is_packed():
    coded = [desired.code for desired in examples().resources if desired.code]
    assert [[inside for inside, _ in code.files] for code in coded] == [["main.py", "requirements.txt"]]


def test_the_services_own_placeholders_stay():
    by_name = {desired.key.name: desired for desired in examples().resources}
    triage = by_name["support-triage"].form["definition"]["instructions"]
    assert "{{company}}" in triage
    variables = by_name["invoice-reader"].form["definition"]["environment_variables"]
    assert variables["LEDGER_KEY"] == "${{connections.ledger.credentials.key}}"
