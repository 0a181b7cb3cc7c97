"""What an Agent's spec may say, what it becomes, and its fingerprint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds.agent.desire import fingerprint
from reconciler.resource import Lifecycle, Release, Strategy
from tests.manifest.sources import agent, lines, one

HOSTED = "kind: hosted\ncpu: '1'\nmemory: 2Gi\nprotocol_versions: [{protocol: responses, version: 2.0.0}]"
IMAGE = f"{HOSTED}\ncontainer_configuration: {{image: r/i@sha256:0}}"
CODE = f"{HOSTED}\ncode_configuration: {{runtime: python_3_13, entry_point: [python, main.py]}}"
EXTERNAL = "kind: external"
SELECTOR = (
    "endpoint: {version_selector: {version_selection_rules: "
    "[{type: FixedRatio, agent_version: '1', traffic_percentage: 100}]}}"
)


def desired(text: str, **files: str):
    found = one({"a.yaml": text, **{name.replace("__", "."): content for name, content in files.items()}})
    assert lines(found.problems) == []
    return found.resources[0]


def problems(text: str, **files: str) -> list[str]:
    return lines(one({"a.yaml": text, **files}).problems)


def test_the_form_is_what_a_create_sends():
    found = desired(agent("a", "description: d\nmetadata: {owner: me}"))
    assert found.form == {
        "definition": {"kind": "prompt", "model": "m"},
        "description": "d",
        "metadata": {"owner": "me"},
    }
    assert (found.details, found.enabled, found.code) == ({}, None, None)


def test_what_is_not_stated_is_not_sent():
    assert desired(agent()).form == {"definition": {"kind": "prompt", "model": "m"}}


@pytest.mark.rule("R1", "C4")
@pytest.mark.parametrize(
    ("definition", "spec", "release"),
    [
        ("", "", Release(Strategy.DIRECT, metadata_only="try")),
        (IMAGE, "", Release(Strategy.PINNED, metadata_only="defer")),
        (EXTERNAL, "", Release(Strategy.DIRECT, metadata_only="try")),
        (
            IMAGE,
            "release: {strategy: direct, metadata_only: try}",
            Release(Strategy.DIRECT, metadata_only="try"),
        ),
        ("", "release: {strategy: pinned, keep: 2, keep_days: 0}", Release(Strategy.PINNED, 2, 0)),
        ("", "release: {version: 7}", Release(Strategy.DIRECT, version="7")),
        ("", "release: {version: '7'}", Release(Strategy.DIRECT, version="7")),
        ("", f"release: {{strategy: manual}}\n{SELECTOR}", Release(Strategy.MANUAL)),
    ],
)
def test_the_release_rule_follows_the_kind(definition, spec, release):
    assert desired(agent("a", spec, definition=definition)).release == release


@pytest.mark.rule("C6")
@pytest.mark.parametrize(
    ("spec", "details", "enabled"),
    [
        ("", {}, None),
        ("card: null", {"agent_card": None}, None),
        (
            "card: {version: '1', skills: []}",
            {"agent_card": {"version": "1", "skills": []}},
            None,
        ),
        (
            "endpoint: {protocol_configuration: {responses: {}}}",
            {"agent_endpoint": {"protocol_configuration": {"responses": {}}}},
            None,
        ),
        ("endpoint: null", {}, None),
        ("state: enabled", {}, True),
        ("state: disabled", {}, False),
    ],
)
def test_the_mutable_part_is_only_what_is_stated(spec, details, enabled):
    found = desired(agent("a", spec))
    assert (found.details, found.enabled) == (details, enabled)


def test_the_lifecycle_is_kept():
    spec = """
    lifecycle:
      protect: true
      on_remove: keep
      ignore: [/definition/temperature, /definition/tools/*/server_url, /description, /metadata/x]
      allow_kind_change: true
      force_delete: true
    """
    ignore = ("/definition/temperature", "/definition/tools/*/server_url", "/description", "/metadata/x")
    assert desired(agent("a", spec)).lifecycle == Lifecycle(True, "keep", ignore, True, True)


def test_code_is_a_folder_beside_the_manifest():
    files = {"agents/a.yaml": agent("a", "code: {path: ../code}", definition=CODE), "code/main.py": "1"}
    found = one(files)
    assert lines(found.problems) == []
    code = found.resources[0].code
    assert code is not None
    assert (code.folder, code.files) == ("code", (("main.py", "code/main.py"),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            agent("a", "release: {strategy: pinned}", definition=EXTERNAL),
            ["a.yaml:7:23: spec.release.strategy: an external agent has no versions to pin"],
            id="pinned-external",
            marks=pytest.mark.rule("R1"),
        ),
        pytest.param(
            agent("a", "release: {strategy: manual}"),
            ["a.yaml:8:23: spec.release.strategy: `manual` takes the traffic from"],
            id="manual-without-selector",
            marks=pytest.mark.rule("R1"),
        ),
        pytest.param(
            agent("a", SELECTOR),
            ["a.yaml:8:14: spec.endpoint.version_selector: the strategy `direct` moves the traffic itself"],
            id="selector-without-manual",
            marks=pytest.mark.rule("R1"),
        ),
        pytest.param(
            agent("a", f"release: {{strategy: manual, version: 3}}\n{SELECTOR}"),
            ["a.yaml:8:40: spec.release.version: `manual` takes the traffic from"],
            id="manual-and-version",
            marks=pytest.mark.rule("R5"),
        ),
        pytest.param(
            agent("a", f"release: {{strategy: manual}}\n{SELECTOR}".replace("100", "90")),
            ["a.yaml:9:58: spec.endpoint.version_selector.version_selection_rules: the shares sum to 90"],
            id="shares",
        ),
        pytest.param(
            agent("a", "lifecycle: {ignore: [/definition, '', definition/x, /definition/temprature]}"),
            [
                "a.yaml:8:24: spec.lifecycle.ignore.0: `/definition` would ignore the whole agent",
                "a.yaml:8:37: spec.lifecycle.ignore.1: `` would ignore the whole agent",
                "a.yaml:8:41: spec.lifecycle.ignore.2: `definition/x` is no JSON Pointer",
            ],
            id="ignore-too-much",
            marks=pytest.mark.rule("C3"),
        ),
        pytest.param(
            agent("a", "lifecycle: {ignore: [/definition/temprature]}"),
            ["a.yaml:8:24: spec.lifecycle.ignore.0: no agent has `/definition/temprature`"],
            id="ignore-unknown",
            marks=pytest.mark.rule("C3"),
        ),
        pytest.param(
            agent("a", definition=HOSTED),
            ["a.yaml:6:5: spec.definition: a hosted agent with neither"],
            id="hosted-of-nothing",
        ),
        pytest.param(
            agent("a", "code: {path: .}", definition=f"{CODE}\ncontainer_configuration: {{image: x}}"),
            [
                "a.yaml:6:5: spec.definition: a hosted agent with both",
                "a.yaml:10:61: spec.definition.code_configuration.entry_point: no file `main.py`",
            ],
            id="hosted-of-both",
        ),
        pytest.param(
            agent("a", definition=CODE),
            ["a.yaml:10:25: spec.definition.code_configuration: `code_configuration` needs the folder"],
            id="code-without-folder",
        ),
        pytest.param(
            agent("a", "code: {path: .}"),
            ["a.yaml:8:3: spec.code: `code` goes with a hosted agent"],
            id="folder-without-code",
        ),
        pytest.param(
            agent("a", "code: {path: ../out}", definition=CODE),
            ["a.yaml:11:16: spec.code.path: `../out` leaves the source"],
            id="code-outside",
        ),
        pytest.param(
            agent("a", "code: {path: nowhere}", definition=CODE),
            ["a.yaml:11:16: spec.code.path: no files in the folder `nowhere`"],
            id="code-missing",
        ),
        pytest.param(
            agent("a", "code: {path: .}", definition=CODE.replace("main.py", "mian.py")),
            ["a.yaml:10:61: spec.definition.code_configuration.entry_point: no file `mian.py`"],
            id="no-entry-point",
        ),
        pytest.param(
            agent("a", "metadata: {reconciler: x}"),
            ["a.yaml:8:13: spec.metadata: the key `reconciler` is the reconciler's own mark"],
            id="mark-in-metadata",
            marks=pytest.mark.rule("M1"),
        ),
        pytest.param(
            agent("a", "metadata: {" + ", ".join(f"k{n}: v" for n in range(15)) + "}"),
            ["a.yaml:8:13: spec.metadata: 15 pairs, and 14 are yours"],
            id="too-much-metadata",
        ),
        pytest.param(
            agent("a", "metadata: {n: 1, l: [x]}"),
            [
                "a.yaml:8:17: spec.metadata.n: expected text, found `1` (Quote it.)",
                "a.yaml:8:23: spec.metadata.l: expected text, found a list",
            ],
            id="metadata-is-text",
        ),
        pytest.param(
            agent("a", "relase: {keep: 3}\nrelease: {keeps: 3}"),
            [
                "a.yaml:8:3: spec.relase: unknown key `relase` (Did you mean `release`?)",
                "a.yaml:9:13: spec.release.keeps: unknown key `keeps` (Did you mean `keep`?)",
            ],
            id="typos",
        ),
        pytest.param(
            agent("a", "state: on\nrelease: {strategy: pined, keep: many, keep_days: -1, version: v1}"),
            [
                "a.yaml:8:10: spec.state: `on` is not one of `enabled` and `disabled`",
                "a.yaml:9:23: spec.release.strategy: `pined` is not one of `pinned`, `direct` and `manual` "
                "(Did you mean `pinned`?)",
                "a.yaml:9:36: spec.release.keep: expected a whole number, found `many`",
                "a.yaml:9:53: spec.release.keep_days: `-1` is less than 0 (Raise it.)",
                "a.yaml:9:66: spec.release.version: `v1` is no version",
            ],
            id="wrong-values",
        ),
        pytest.param(
            agent("a", "lifecycle: {protect: 'yes', on_remove: purge}"),
            [
                "a.yaml:8:24: spec.lifecycle.protect: expected true or false, found `yes`",
                "a.yaml:8:42: spec.lifecycle.on_remove: `purge` is not one of `delete` and `keep`",
            ],
            id="wrong-lifecycle",
        ),
        pytest.param(
            "apiVersion: reconciler/v1\nkind: Agent\nmetadata: {name: a}\nspec: {description: x}\n",
            ["a.yaml:4:7: spec: `definition` is missing (Add it.)"],
            id="no-definition",
        ),
        pytest.param(
            agent("a", definition="kind: prompt\nmodle: m\ntools: [{type: mpc}]"),
            [
                "a.yaml:7:5: spec.definition.modle: ",
                "a.yaml:8:20: spec.definition.tools.0.type: ",
            ],
            id="the-services-own-schema",
        ),
    ],
)
def test_a_problem_has_its_place_its_path_and_a_remedy(text, expected):
    found = problems(text)
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)
        assert line.endswith(")"), "no remedy"


@pytest.mark.parametrize("where", ["spec", "project"])
def test_unknown_keys_pass_with_a_note_where_the_schema_warns(where):
    text = agent(
        "a", "schema: warn" if where == "spec" else "", definition="kind: prompt\nmodel: m\nnew_thing: 1"
    )
    files = {"a.yaml": text}
    if where == "project":
        from tests.manifest.sources import project

        files["p.yaml"] = project("schema: warn")
    found = one(files)
    assert lines(found.problems) == []
    assert "new_thing" in lines(found.notes)[0]
    assert found.resources[0].form["definition"]["new_thing"] == 1


def test_old_shapes_are_upgraded_with_a_note():
    old = "kind: hosted\ncpu: '1'\nmemory: 2Gi\nimage: r/i@sha256:0\ncontainer_protocol_versions: []"
    found = one({"a.yaml": agent("a", definition=old)})
    assert lines(found.problems) == []
    assert found.resources[0].form["definition"]["container_configuration"] == {"image": "r/i@sha256:0"}
    assert "image" not in found.resources[0].form["definition"]
    assert any("spec.definition.image" in line for line in lines(found.notes))


GOLDEN = Path(__file__).parent / "fingerprints.json"


@pytest.mark.rule("M3")
@pytest.mark.parametrize("row", json.loads(GOLDEN.read_text("utf-8")), ids=lambda row: row["about"])
def test_fingerprints_stay_as_they_are(row):
    """A mark in the field holds each of these; a change here needs a new prefix."""
    assert fingerprint(row["form"], row["ignore"], row["code_tree"]) == row["fingerprint"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
forms = st.fixed_dictionaries({"definition": st.dictionaries(st.text(max_size=4), json_values, max_size=4)})


@pytest.mark.rule("M3")
@given(forms)
def test_the_order_of_keys_is_not_in_the_fingerprint(form):
    def turned(value):
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert fingerprint(turned(form)) == fingerprint(form)


@pytest.mark.rule("M3")
@given(forms, forms)
def test_different_forms_have_different_fingerprints(one_form, other):
    same = json.dumps(one_form, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint(one_form) == fingerprint(other)) is same


@pytest.mark.rule("M3", "C3")
@given(forms, json_values)
def test_an_ignored_value_is_not_in_the_fingerprint(form, value):
    form = {"definition": {**form["definition"], "kind": "prompt"}}
    changed = {"definition": {**form["definition"], "ignored": value}}
    assert fingerprint(changed, ["/definition/ignored"]) == fingerprint(form, ["/definition/ignored"])


@pytest.mark.rule("M3")
@pytest.mark.parametrize(
    "spec",
    [
        "release: {keep: 3, strategy: pinned}",
        "lifecycle: {protect: true}",
        "endpoint: {protocol_configuration: {responses: {}}}",
        "card: null",
        "state: disabled",
        "schema: warn",
    ],
)
def test_only_what_a_version_holds_is_in_the_fingerprint(spec):
    assert desired(agent("a", spec)).fingerprint == desired(agent("b", labels="{x: y}")).fingerprint


@pytest.mark.rule("M3")
def test_another_code_tree_is_another_fingerprint():
    form = {"definition": {"kind": "hosted"}}
    assert len({fingerprint(form), fingerprint(form, (), "a"), fingerprint(form, (), "b")}) == 3
