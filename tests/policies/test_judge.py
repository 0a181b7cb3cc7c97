"""What each rule refuses, the near miss that it lets pass, and what never leaves a verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Place
from reconciler.policies import Severity, judge, rules, unknown_rules
from reconciler.policies.facts import facts
from reconciler.resource import Desired, Key, Release, Strategy

TODAY = date(2026, 11, 21)
DIGEST = "sha256:" + "ab" * 32
RAI = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a/raiPolicies/strict"


def prompt(**definition):
    return {"definition": {"kind": "prompt", "model": "gpt", **definition}}


def hosted(**definition):
    image = {"image": f"r.azurecr.io/triage@{DIGEST}"}
    plain = {"kind": "hosted", "cpu": "1", "memory": "2Gi", "container_configuration": image}
    return {"definition": {**plain, **definition}}


def image(text):
    return hosted(container_configuration={"image": text})


def runtime(text):
    code = {"runtime": text, "entry_point": ["python", "main.py"]}
    return hosted(container_configuration=None, code_configuration=code)


def protocol(name, version):
    return hosted(protocol_versions=[{"protocol": name, "version": version}])


def env(**variables):
    return hosted(environment_variables=variables)


def desired(form, *, name="triage", masked=()):
    key = Key("prod", "Agent", name)
    return Desired(key, form, "1:0", Release(Strategy.DIRECT), place=Place("agents/a.yaml"), masked=masked)


def judged(form, *, today=TODAY, severities=None, **more):
    return judge([desired(form, **more)], today=today, severities=severities or {})


def severity(form, rule, **more):
    """The severity of the one verdict of a rule, "" for none."""
    found = [verdict for verdict in judged(form, **more) if verdict.rule == rule]
    assert len(found) <= 1, found
    return str(found[0].severity) if found else ""


@pytest.mark.parametrize(
    ("rule", "form", "expected"),
    [
        pytest.param(
            "metadata-limits", {"metadata": {str(n): "" for n in range(15)}}, "refuse", id="15-pairs"
        ),
        pytest.param("metadata-limits", {"metadata": {str(n): "" for n in range(14)}}, "", id="14-pairs"),
        pytest.param("metadata-limits", {"metadata": {"k" * 65: ""}}, "refuse", id="key-of-65"),
        pytest.param("metadata-limits", {"metadata": {"k" * 64: ""}}, "", id="key-of-64"),
        pytest.param("metadata-limits", {"metadata": {"k": "v" * 513}}, "refuse", id="value-of-513"),
        pytest.param("metadata-limits", {"metadata": {"k": "v" * 512}}, "", id="value-of-512"),
        pytest.param("metadata-limits", {"description": "d" * 513}, "refuse", id="description-of-513"),
        pytest.param("metadata-limits", {"description": "d" * 512}, "", id="description-of-512"),
        pytest.param("resource-tier", hosted(cpu="1", memory="4Gi"), "refuse", id="no-tier"),
        pytest.param("resource-tier", hosted(cpu="lots", memory="4Gi"), "refuse", id="no-number"),
        pytest.param("resource-tier", hosted(cpu="0.25", memory="0.5Gi"), "warn", id="contested-small-tier"),
        pytest.param("resource-tier", hosted(cpu="4", memory="8Gi"), "warn", id="contested-large-tier"),
        pytest.param("resource-tier", hosted(cpu="0.5", memory="1Gi"), "", id="tier"),
        pytest.param("resource-tier", hosted(cpu=1.0, memory="2Gi"), "", id="tier-as-a-number"),
        pytest.param("resource-tier", hosted(memory=None), "", id="missing-is-for-the-schema"),
        pytest.param("runtime", runtime("python_3_11"), "refuse", id="gone-runtime"),
        pytest.param("runtime", runtime("python_3_99"), "warn", id="unknown-runtime"),
        pytest.param("runtime", runtime("python_3_13"), "", id="runtime"),
        pytest.param("reserved-env", env(FOUNDRY_MODEL="x"), "warn", id="reserved-prefix"),
        pytest.param("reserved-env", env(FOUNDRY_HOSTED="x"), "warn", id="platform-name-once"),
        pytest.param("reserved-env", env(PORT="80"), "warn", id="platform-name"),
        pytest.param("reserved-env", env(MY_FOUNDRY_MODEL="x", PORTS="80"), "", id="other-names"),
        pytest.param("image-tag", image("r.azurecr.io/triage"), "warn", id="untagged"),
        pytest.param("image-tag", image("localhost:5000/triage"), "warn", id="port-is-no-tag"),
        pytest.param("image-tag", image("r.azurecr.io/triage:latest"), "warn", id="latest"),
        pytest.param("image-tag", image("r.azurecr.io/triage:latest-7"), "", id="begins-like-latest"),
        pytest.param("image-tag", image("localhost:5000/team/triage:1.2"), "", id="tag-behind-a-port"),
        pytest.param("image-tag", image("triage:1.2"), "", id="tag-without-registry"),
        pytest.param("image-tag", image(f"r.azurecr.io/triage@{DIGEST}"), "", id="digest"),
        pytest.param(
            "image-tag", image(f"r.azurecr.io/triage:latest@{DIGEST}"), "", id="digest-beats-latest"
        ),
        pytest.param("protocol-version", protocol("responses", "v1"), "warn", id="v1"),
        pytest.param("protocol-version", protocol("responses", "1.0.0"), "refuse", id="protocol-1"),
        pytest.param("protocol-version", protocol("responses", "2.0.0"), "", id="protocol-2"),
        pytest.param("protocol-version", protocol("a2a", "0.2"), "", id="other-protocol"),
        pytest.param("one-configuration", hosted(code_configuration={}), "refuse", id="both"),
        pytest.param("one-configuration", hosted(container_configuration=None), "refuse", id="neither"),
        pytest.param("one-configuration", hosted(), "", id="one"),
        pytest.param("one-configuration", prompt(), "", id="not-hosted"),
        pytest.param("tool-limit", prompt(tools=[{"type": "x"}] * 129), "refuse", id="129-tools"),
        pytest.param("tool-limit", prompt(tools=[{"type": "x"}] * 128), "", id="128-tools"),
        pytest.param(
            "idle-timeout",
            hosted(session_configuration={"idle_timeout_seconds": 119}),
            "refuse",
            id="too-short",
        ),
        pytest.param(
            "idle-timeout",
            hosted(session_configuration={"idle_timeout_seconds": 14401}),
            "refuse",
            id="too-long",
        ),
        pytest.param(
            "idle-timeout",
            hosted(session_configuration={"idle_timeout_seconds": 120}),
            "info",
            id="contested-idle",
        ),
        pytest.param(
            "idle-timeout", hosted(session_configuration={"idle_timeout_seconds": 300}), "", id="idle"
        ),
        pytest.param(
            "rai-policy-name", hosted(rai_config={"rai_policy_name": "strict"}), "warn", id="short-rai"
        ),
        pytest.param("rai-policy-name", hosted(rai_config={"rai_policy_name": RAI}), "", id="full-rai"),
        pytest.param("image-digest", image("triage:1.2"), "", id="digest-only-for-those-who-ask"),
    ],
)
def test_rule(rule, form, expected):
    assert severity({"definition": {"kind": "external"}, **form}, rule) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", ""),
        ("A-1", ""),
        ("a" * 63, ""),
        ("a" * 64, "refuse"),
        ("-a", "refuse"),
        ("a-", "refuse"),
        ("a_b", "refuse"),
    ],
)
def test_name_pattern(name, expected):
    assert severity(prompt(), "name-pattern", name=name) == expected


def test_a_name_rule_is_for_its_own_kind():
    toolbox = replace(desired(prompt()), key=Key("prod", "Toolbox", "a_b"))
    assert judge([toolbox], today=TODAY) == ()


@pytest.mark.parametrize(
    ("rule", "form", "today", "expected"),
    [
        ("protocol-version", protocol("responses", "1.0.0"), date(2026, 7, 31), "warn"),
        ("protocol-version", protocol("responses", "1.0.0"), date(2026, 8, 1), "refuse"),
        ("protocol-version", protocol("invocations", "1.0.0"), date(2026, 8, 1), "refuse"),
        ("protocol-version", protocol("responses", "v1"), date(2027, 1, 1), "warn"),
        ("workflow-retirement", {"definition": {"kind": "workflow"}}, date(2026, 11, 30), "warn"),
        ("workflow-retirement", {"definition": {"kind": "workflow"}}, date(2026, 12, 1), "refuse"),
        ("workflow-retirement", prompt(), date(2027, 1, 1), ""),
    ],
)
def test_what_ends_warns_before_and_refuses_after(rule, form, today, expected):
    assert severity(form, rule, today=today) == expected


SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("form", "pointer", "why"),
    [
        pytest.param(env(API_KEY=SECRET), "/API_KEY", "looks like a secret", id="name"),
        pytest.param(env(X="AccountKey=abcdef123;"), "/X", "looks like a secret", id="form"),
        pytest.param(
            env(X="Zm9vYmFyQmF6MTIzNDU2Nzg5MFF1eFF1dXg="), "/X", "looks like a secret", id="randomness"
        ),
        pytest.param(env(REGION="from-environ"), "/REGION", "comes from the environment", id="environment"),
        pytest.param(
            prompt(tools=[{"type": "mcp", "headers": {"x-api-key": SECRET}}]),
            "/tools/0/headers/x-api-key",
            "looks like a secret",
            id="header",
        ),
        pytest.param(
            prompt(tools=[{"type": "mcp", "authorization": SECRET}]),
            "/tools/0/authorization",
            "looks",
            id="bearer",
        ),
        pytest.param(
            prompt(instructions=f"Use Bearer {'a1' * 12}."),
            "/definition/instructions",
            "looks",
            id="in-a-prompt",
        ),
    ],
)
@pytest.mark.rule("P11")
def test_a_secret_in_a_version_is_named_by_its_place_only(form, pointer, why):
    (verdict,) = [
        found for found in judged(form, masked=("from-environ",)) if found.rule == "secret-in-version"
    ]
    assert verdict.severity is Severity.WARN
    assert pointer in verdict.message
    assert why in verdict.message
    assert "${{connections.NAME.credentials.key}}" in verdict.hint
    assert SECRET not in str(verdict)
    assert "from-environ" not in str(verdict)


@pytest.mark.parametrize(
    "form",
    [
        env(BING_KEY="${{connections.bing.credentials.key}}"),
        env(LOG_LEVEL="INFO", USE_API_KEY="true", MAX_TOKENS="4096"),
        prompt(instructions="Never tell the password. Ask for the api key."),
        prompt(tools=[{"type": "mcp", "server_url": "https://host/path"}]),
        image("from-environ/triage:1"),
    ],
)
@pytest.mark.rule("P11")
def test_placeholders_switches_and_prose_are_no_secrets(form):
    assert severity(form, "secret-in-version", masked=("from-environ",)) == ""


def test_a_verdict_says_what_where_since_when_and_what_to_write():
    (verdict,) = judged(runtime("python_3_12"))
    assert verdict.key == Key("prod", "Agent", "triage")
    assert verdict.place == Place("agents/a.yaml")
    assert verdict.message == (
        "the runtime `python_3_12` is gone; there is `python_3_13`, `python_3_14`, `dotnet_10` "
        "(as of 2026-11-01)"
    )
    assert verdict.hint == "Write `python_3_13`."


def test_a_message_about_an_end_says_whether_it_is_past():
    form = {"definition": {"kind": "workflow"}}
    assert "ends after 2026-11-30" in judged(form)[0].message
    assert "ended after 2026-11-30" in judged(form, today=date(2027, 1, 1))[0].message


@pytest.mark.parametrize(
    ("chosen", "rule", "form", "expected"),
    [
        ("off", "runtime", runtime("python_3_11"), ""),
        ("info", "runtime", runtime("python_3_11"), "info"),
        ("refuse", "image-tag", image("a:latest"), "refuse"),
        ("warn", "image-digest", image("a:1"), "warn"),
        ("refuse", "runtime", runtime("python_3_13"), ""),
        ("off", "secret-in-version", env(API_KEY=SECRET), ""),
        ("warn", "workflow-retirement", {"definition": {"kind": "workflow"}}, "warn"),
    ],
)
def test_a_project_chooses_its_severities_and_never_what_is_allowed(chosen, rule, form, expected):
    assert severity(form, rule, severities={rule: chosen}, today=date(2027, 1, 1)) == expected


def test_unknown_rules_are_named_with_the_nearest_one():
    assert unknown_rules({"runtime": "off"}) == []
    near, far = unknown_rules({"image-tags": "off", "zzz": "off"})
    assert near == "no policy is called `image-tags`: Did you mean `image-tag`?"
    assert "runtime" in far


def test_every_row_has_a_source_and_a_date_and_says_what_to_do():
    for row in facts().rows:
        assert len(row.source) > 5, row
        assert date(2026, 1, 1) <= row.date <= TODAY, row
        if row.severity is not Severity.OFF:
            assert row.hint.endswith("."), row


def test_every_rule_of_the_tables_has_a_name_in_kebab_case():
    assert all(rule == rule.lower() and " " not in rule and "_" not in rule for rule in rules())
    assert len(rules()) == 14


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
fields = [
    "kind",
    "cpu",
    "memory",
    "tools",
    "environment_variables",
    "protocol_versions",
    "code_configuration",
]


@given(st.dictionaries(st.sampled_from(fields), json), json)
def test_any_json_is_judged_without_a_crash_and_in_one_order(definition, metadata):
    form = {"definition": definition, "metadata": metadata}
    one, two = desired(form), desired(form, name="b-")
    assert judge([one, two], today=TODAY) == judge([two, one], today=TODAY)
