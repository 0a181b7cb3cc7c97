"""The JSON Schema of manifests, read by an independent validator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from reconciler.manifest_schema import manifest_schema
from tests.manifest.sources import KINDS, agent, project

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "manifests").glob("**/*.yaml"))
SCHEMA = manifest_schema(KINDS)
VALIDATOR = Draft202012Validator(SCHEMA)


def errors(text: str) -> list[str]:
    """Paths and messages of everything wrong, those inside alternatives included."""

    def every(found: Any) -> list[str]:
        inner = [line for one in found.context for line in every(one)]
        return [f"{found.json_path}: {found.message}", *inner]

    document = yaml.load(text, yaml.CSafeLoader)
    return [line for found in VALIDATOR.iter_errors(document) for line in every(found)]


def test_it_is_a_json_schema():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_passes(path):
    for document in yaml.load_all(path.read_text("utf-8"), yaml.CSafeLoader):
        assert list(VALIDATOR.iter_errors(document)) == []


@pytest.mark.parametrize(
    "text",
    [
        agent(definition="kind: prompt\nmodel: {$value: MODEL}\ntemperature: {$value: T}"),
        agent(definition="kind: prompt\nmodel: m\ninstructions: {$file: p.md, substitute: true}"),
        agent(definition="kind: prompt\nmodel: m\ntools: [{$value: TOOL}, {type: {$text: '${T}'}}]"),
        agent(
            "a", "metadata: {owner: {$text: '${A}'}}\nrelease: {keep: {$value: N}, version: 3}\ncard: null"
        ),
        project("owner: {$value: OWNER}\nsync: {interval: {$value: I}}", endpoint="{$value: E}"),
        project("values: {A: {b: [1]}}\nvalues_from_env: [X]\npatches: [{merge: {spec: {$value: X}}}]"),
        project("values_from_env: {X: Y}\nschema: warn"),
    ],
)
def test_values_may_be_filled_in_anywhere(text):
    assert errors(text) == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (agent(definition="kind: prompt\nmodle: m"), "modle"),
        (agent(definition="kind: prompt\nmodel: m\ntools: [{type: mcp, server_labl: x}]"), "server_labl"),
        (agent("a", "relase: {}"), "relase"),
        (agent("a", "release: {keeps: 3}"), "keeps"),
        (agent("a", "lifecycle: {protect: 3}"), "3 is not of type 'boolean'"),
        (agent("a", "endpoint: {version_selektor: {}}"), "version_selektor"),
        (agent("a_b"), "a_b"),
        (agent().replace("/v1", "/v2"), "$.apiVersion"),
        (agent().replace("kind: Agent", "kind: Agnet"), "Agnet"),
        (project("onwer: x"), "onwer"),
        (project("sync: {mode: watch}"), "watch"),
        (project("sync: {limits: {deletes: many}}"), "many"),
        (agent(definition="kind: prompt\nmodel: {$values: X}"), "$value"),
    ],
)
def test_a_typo_fails(text, key):
    assert any(key in line for line in errors(text)), errors(text)
