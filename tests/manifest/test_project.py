"""What a Project file may say, and its values, owner, patches and globs."""

from __future__ import annotations

import pytest

from reconciler.errors import InvalidInput
from reconciler.patches import merged
from reconciler.project_spec import ProjectSpec
from tests.manifest.sources import agent, lines, loaded, one, project


def broken(text: str, **options) -> list[str]:
    with pytest.raises(InvalidInput) as raised:
        loaded({"p.yaml": text}, **options)
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://acme.services.ai.azure.com/api/projects/prod",
        "sandbox://local",
        "http://localhost:8080/api/projects/x",
        "http://127.0.0.1/x",
        "'http://[::1]:1/x'",
    ],
)
def test_an_endpoint_is_the_service_a_sandbox_or_this_machine(endpoint):
    assert one({"p.yaml": project(endpoint=endpoint)}).project.endpoint == endpoint.strip("'")


def test_a_slash_at_the_end_of_an_endpoint_means_nothing():
    text = project(endpoint="https://a.services.ai.azure.com/api/projects/x/")
    assert one({"p.yaml": text}).project.endpoint == "https://a.services.ai.azure.com/api/projects/x"


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("https://acme.services.ai.azure.com", "this is not the endpoint of a project"),
        ("https://acme.openai.azure.com/openai/v1", "this is not the endpoint of a project"),
        ("https:///api/projects/x", "this is not the endpoint of a project"),
        ("http://acme.services.ai.azure.com/api/projects/x", "plain http would send the token in the open"),
        ("http://127.0.0.1.evil.example/x", "plain http would send the token in the open"),
        ("https://me:hunter2@x/api/projects/x", "an endpoint has no login"),
        ("https://x/api/projects/x?api-version=v1", "an endpoint has no login, `?` or `#`"),
        ("'https://[/api/projects/x'", "this is no URL"),
        ("sandbox://a/b", "a sandbox is named by"),
        ("acme", "this is no endpoint"),
        ("ftp://x/y", "this is no endpoint"),
        ("''", "this is no endpoint"),
        ("7", "expected text"),
    ],
)
def test_any_other_endpoint_is_refused_with_what_to_write(endpoint, message):
    (line,) = broken(project(endpoint=endpoint))
    assert line.startswith("p.yaml:5:13: spec.endpoint: " + message)
    assert "hunter2" not in line
    assert "Write https://ACCOUNT" in line or "Quote it" in line


def test_everything_has_a_default_but_the_endpoint():
    spec = ProjectSpec.model_validate({"endpoint": "sandbox://x"})
    assert spec.resources == ("**/*.yaml", "**/*.yml")
    assert (spec.sync.mode, spec.sync.prune, spec.sync.on_invalid, spec.sync.interval_s) == (
        "enforce",
        True,
        "fail",
        300,
    )
    limits = spec.sync.limits
    assert (limits.deletes, limits.deletes_percent, limits.updates_percent) == (5, 30, 50)
    assert spec.checks == "strict"


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10), ("30s", 30), ("5m", 300), ("2h", 7200)])
def test_an_interval_is_a_number_and_a_unit(text, seconds):
    found = one({"p.yaml": project(f"sync: {{interval: {text}}}")})
    assert found.project.sync.interval_s == seconds


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param("onwer: me", "6:3: spec.onwer: unknown key `onwer` (Did you mean `owner`?)", id="typo"),
        pytest.param("sync: {interval: 5}", "6:20: spec.sync.interval: expected text", id="interval-type"),
        pytest.param("sync: {interval: 5s}", "6:20: spec.sync.interval: `5s` is no interval", id="too-often"),
        pytest.param(
            "sync: {mode: watch}", "6:16: spec.sync.mode: `watch` is not one of `observe`", id="mode"
        ),
        pytest.param("sync: {limits: {delete: 3}}", "6:19: spec.sync.limits.delete: unknown key", id="limit"),
        pytest.param(
            "sync: {limits: {deletes_percent: 130}}",
            "6:36: spec.sync.limits.deletes_percent: `130` is more than 100",
            id="per-cent",
        ),
        pytest.param("owner: ''", "6:10: spec.owner: an owner is a printable name", id="no-owner"),
        pytest.param(f"owner: {'x' * 151}", "6:10: spec.owner: 151 characters", id="owner-too-long"),
        pytest.param(
            "resources: ['[z-a].yaml']", "6:15: spec.resources.0: `[z-a].yaml` is no glob", id="glob"
        ),
        pytest.param("resources: [/etc/*]", "6:15: spec.resources.0: `/etc/*` is no glob", id="absolute"),
        pytest.param(
            "resources: ['../../*']", "6:15: spec.resources.0: `../../*` leaves the source", id="outside"
        ),
        pytest.param("resources: a.yaml", "6:14: spec.resources: expected a list", id="no-list"),
        pytest.param("selector: {team: 1}", "6:20: spec.selector.team: expected text", id="selector"),
        pytest.param("values: {a-b: 1}", "6:11: spec.values: `a-b` is no name for a value", id="value-name"),
        pytest.param("values_from_env: [A B]", "6:20: spec.values_from_env: `A B` is no name", id="env-name"),
        pytest.param("values_from_env: X", "6:20: spec.values_from_env: expected a mapping", id="env-text"),
        pytest.param(
            "policies: {image-tag: 'no'}", "6:25: spec.policies.image-tag: `no` is not one of", id="policy"
        ),
        pytest.param(
            "patches: [{target: {}}]", "6:13: spec.patches.0: a patch has either `patch` or", id="patch"
        ),
        pytest.param(
            "patches: [{target: {nam: x}, merge: {}}]",
            "6:23: spec.patches.0.target.nam: unknown",
            id="target",
        ),
        pytest.param(
            "schema: loose", "6:11: spec.schema: `loose` is not one of `strict` and `warn`", id="schema"
        ),
    ],
)
def test_a_wrong_setting_is_told_with_its_place(spec, expected):
    (line,) = broken(project(spec))
    assert line.startswith("p.yaml:" + expected)


@pytest.mark.rule("M4")
@pytest.mark.parametrize(
    ("spec", "origin", "owner"),
    [
        ("owner: acme/agents", "github.com/acme/agents", "acme/agents"),
        ("", "github.com/acme/agents", "github.com/acme/agents#dev"),
        ("", "", "local#dev"),
    ],
)
def test_the_owner_is_stated_or_comes_from_git(spec, origin, owner):
    assert one({"p.yaml": project(spec)}, origin=origin).project.owner == owner


@pytest.mark.rule("M1", "M4")
def test_an_owner_that_the_mark_has_no_room_for_is_an_error():
    (line,) = broken(project(), origin=f"github.com/{'o' * 200}")
    assert "has 215 characters, and a mark has room for 150 (Set a shorter `owner`.)" in line


def test_a_value_of_the_environment_wins_over_the_one_in_the_file():
    text = agent(definition="kind: prompt\nmodel: {$value: MODEL}")
    spec = "values: {MODEL: small}\nvalues_from_env: {MODEL: CI_MODEL}"
    for environ, expected in (({}, "small"), ({"CI_MODEL": "large"}, "large")):
        found = one({"p.yaml": project(spec), "a.yaml": text}, environ=environ)
        assert found.resources[0].form["definition"]["model"] == expected


def test_values_are_typed():
    text = agent(definition="kind: prompt\nmodel: m\ntemperature: {$value: T}\ntools: {$value: TOOLS}")
    spec = "values: {T: 0.5, TOOLS: [{type: web_search}]}"
    found = one({"p.yaml": project(spec), "a.yaml": text})
    assert lines(found.problems) == []
    assert found.resources[0].form["definition"]["tools"] == [{"type": "web_search"}]


@pytest.mark.rule("P11")
def test_values_of_the_environment_are_masked_where_agents_use_them():
    text = agent(definition="kind: prompt\nmodel: {$text: 'x-${SECRET}'}\ninstructions: {$value: SHORT}")
    spec = "values_from_env: [SECRET, SHORT, OTHER]"
    environ = {"SECRET": "hunter22", "SHORT": "abc", "OTHER": "unused-one", "PATH": "/bin"}
    found = one({"p.yaml": project(spec), "a.yaml": text}, environ=environ)
    assert found.masked == {"hunter22", "unused-one"}
    assert found.resources[0].masked == ("hunter22",)


@pytest.mark.rule("P11")
def test_an_endpoint_from_the_environment_is_shown():
    text = project("values_from_env: [HOST, KEY]", endpoint="{$text: 'http://localhost/${HOST}'}")
    found = one({"p.yaml": text}, environ={"HOST": "project-x", "KEY": "hunter22"})
    assert found.project.endpoint == "http://localhost/project-x"
    assert found.masked == {"hunter22"}


@pytest.mark.rule("P11")
@pytest.mark.parametrize("secret", ["hunter22-hunter22", "s" * 300])
def test_no_message_shows_a_secret(secret):
    text = agent(definition="kind: {$value: KEY}\nmodel: {$text: 'm ${KEY}'}\ntemperature: {$value: KEY}")
    found = one({"p.yaml": project("values_from_env: [KEY]"), "a.yaml": text}, environ={"KEY": secret})
    assert found.problems
    assert not any(secret[:8] in line for line in lines((*found.problems, *found.notes)))
    shown = broken(project("values_from_env: [KEY]\nsync: {mode: {$value: KEY}}"), environ={"KEY": secret})
    assert not any(secret[:8] in line for line in shown)


def test_an_unset_variable_is_a_problem_only_where_it_is_used():
    spec = "values_from_env: {KEY: CI_KEY}"
    assert lines(one({"p.yaml": project(spec), "a.yaml": agent()}).problems) == []
    text = agent(definition="kind: prompt\nmodel: {$value: KEY}")
    (line,) = lines(one({"p.yaml": project(spec), "a.yaml": text}).problems)
    assert (
        "a.yaml:7:21: spec.definition.model.$value: `KEY` comes from the environment variable CI_KEY" in line
    )


@pytest.mark.parametrize(
    ("value", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "c": 1}, {"a": None}, {"c": 1}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": 1}, {"a": {"b": None, "c": 2}}, {"a": {"c": 2}}),
        ({"a": 1}, 5, 5),
    ],
)
def test_a_merge_patch_is_merged(value, patch, expected):
    assert merged(value, patch) == expected


@pytest.mark.parametrize(
    ("patch", "models"),
    [
        ("{merge: {spec: {definition: {model: big}}}}", ["big", "big"]),
        ("{target: {name: 'a*'}, merge: {spec: {definition: {model: big}}}}", ["big", "m"]),
        ("{target: {labels: {tier: gold}}, merge: {spec: {definition: {model: big}}}}", ["m", "big"]),
        (
            "{target: {kind: Agent, name: b}, patch: [{op: add, path: /spec/definition/model, value: big}]}",
            ["m", "big"],
        ),
        ("{patch: [{op: add, path: /spec/definition/model, value: {$value: MODEL}}]}", ["huge", "huge"]),
    ],
)
def test_a_patch_changes_what_its_target_names(patch, models):
    files = {
        "p.yaml": project(f"values: {{MODEL: huge}}\npatches: [{patch}]"),
        "a.yaml": agent("a1") + "---\n" + agent("b", labels="{tier: gold}"),
    }
    found = one(files)
    assert lines(found.problems) == []
    assert [desired.form["definition"]["model"] for desired in found.resources] == models


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        (
            "{patch: [{op: remove, path: /spec/nope}]}",
            "p.yaml:6:22: spec.patches.0.patch.0: Agent/a has no `/spec/nope`",
        ),
        (
            "{patch: [{op: test, path: /spec/state, value: enabled}]}",
            "p.yaml:6:22: spec.patches.0.patch.0: the test of `/spec/state` does not hold",
        ),
        (
            "{patch: [{op: test, path: /kind, value: x}]}",
            "p.yaml:6:22: spec.patches.0.patch.0: the test of `/kind` does not hold for Agent/a",
        ),
        ("{patch: [{op: replce, path: /spec}]}", "p.yaml:6:22: spec.patches.0.patch.0: this is no operation"),
        ("{patch: [{path: /spec}]}", "p.yaml:6:22: spec.patches.0.patch.0: this is no operation"),
        ("{patch: [{op: add, path: spec, value: 1}]}", "p.yaml:6:22: spec.patches.0.patch.0: "),
        (
            "{merge: {metadata: {name: b}}}",
            "p.yaml:6:13: spec.patches.0: it changes more than `spec` of Agent/a",
        ),
        ("{merge: {spec: null}}", "p.yaml:6:13: spec.patches.0: it "),
        ("{patch: [{op: replace, path: '', value: 1}]}", "p.yaml:6:13: spec.patches.0: it changes more"),
    ],
)
def test_a_patch_that_does_not_fit_is_a_problem(patch, expected):
    found = one({"p.yaml": project(f"patches: [{patch}]"), "a.yaml": agent()})
    (line,) = lines(found.problems)
    assert line.startswith(expected)
    assert line.endswith(")")


def test_a_problem_in_a_patched_manifest_names_the_patch():
    spec = "patches: [{merge: {spec: {definition: {modle: x}}}}]"
    (line,) = lines(one({"p.yaml": project(spec), "a.yaml": agent()}).problems)
    assert line.startswith("a.yaml:6:5: spec.definition.modle: unknown key")
    assert "The patch in p.yaml:6:13 changed this manifest." in line


def test_what_matches_nothing_is_a_note():
    spec = "resources: ['*.yaml', 'agents/*.yaml']\npatches: [{target: {name: x}, merge: {}}]"
    found = one({"p.yaml": project(spec), "a.yaml": agent()})
    assert lines(found.problems) == []
    assert lines(found.notes) == [
        "p.yaml:6:25: spec.resources.1: the glob `agents/*.yaml` matches no file "
        "(It is relative to the folder of p.yaml.)",
        "p.yaml:7:13: spec.patches.0: the patch matches no manifest (Check its `target`.)",
    ]
    assert all(note.note for note in found.notes)


def test_windows_say_when_and_for_how_long():
    window = "{kind: allow, cron: 0 8 * * 1-5, duration: 8h, time_zone: Europe/Berlin}"
    found = one({"p.yaml": project(f"sync: {{windows: [{window}]}}")})
    assert [str(window) for window in found.project.sync.windows] == [
        "allow 0 8 * * 1-5 for 8h (Europe/Berlin)"
    ]
