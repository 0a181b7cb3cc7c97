"""From files to Projects with ordered desired values: who belongs to whom, what is refused, what is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired import Earlier, load
from reconciler.errors import InvalidInput
from reconciler.resource import Key
from tests.manifest.sources import KINDS, PROJECT, agent, lines, loaded, one, project, source


def refused(files: dict[str, str], **options) -> InvalidInput:
    with pytest.raises(InvalidInput) as raised:
        loaded(files, **options)
    assert raised.value.hint
    return raised.value


def names(found) -> list[str]:
    return [desired.key.name for desired in found.resources]


def test_resources_are_sorted_and_carry_place_and_labels():
    found = one({"b.yaml": agent("zed") + "---\n" + agent("Mid"), "a.yaml": agent("abc", labels="{x: y}")})
    assert names(found) == ["Mid", "abc", "zed"]
    assert str(found.resources[1].place) == "a.yaml:3:18"
    assert found.resources[1].labels == {"x": "y"}
    assert found.resources[2].key == Key("dev", "Agent", "zed")


@given(st.permutations(["a.yaml", "b/c.yaml", "b/d.yaml", "p.yaml", "z.yml"]))
def test_the_order_of_files_means_nothing(order):
    files = {path: agent(path.replace("/", "-").split(".")[0]) for path in order} | {"p.yaml": PROJECT}
    assert loaded({path: files[path] for path in order}) == loaded(dict(sorted(files.items())))


def test_three_projects_share_one_set_of_manifests():
    files = {
        f"envs/{name}.yaml": project(
            f"resources: [../agents/*.yaml]\nvalues: {{MODEL: {name}-model}}",
            name=name,
            endpoint=f"sandbox://{name}",
        )
        for name in ("prod", "dev", "stage")
    }
    files["agents/a.yaml"] = agent(definition="kind: prompt\nmodel: {$value: MODEL}")
    found = loaded(files)
    assert [item.project.name for item in found] == ["dev", "prod", "stage"]
    assert [item.resources[0].form["definition"]["model"] for item in found] == [
        "dev-model",
        "prod-model",
        "stage-model",
    ]
    assert [item.problems for item in found] == [(), (), ()]


def test_the_selector_of_a_project_takes_what_has_all_its_labels():
    files = {
        "p.yaml": project("selector: {team: a, tier: gold}"),
        "a.yaml": agent("a", labels="{team: a, tier: gold, more: x}"),
        "b.yaml": agent("b", labels="{team: a}"),
        "c.yaml": agent("c"),
    }
    found = one(files)
    assert names(found) == ["a"]
    assert not found.narrowed


def test_a_value_that_only_others_need_is_no_problem():
    files = {
        "p.yaml": project("selector: {team: a}"),
        "a.yaml": agent("a", labels="{team: a}"),
        "b.yaml": agent("b", definition="kind: prompt\nmodel: {$value: MISSING}"),
    }
    assert lines(one(files).problems) == []


def test_globs_take_and_leave_out():
    files = {
        "p.yaml": project("resources: ['agents/**/*.yaml', '!agents/old/**', more.yaml]"),
        "agents/a.yaml": agent("a"),
        "agents/x/b.yaml": agent("b"),
        "agents/old/c.yaml": "[",
        "more.yaml": agent("d"),
        "other.yaml": agent("e"),
    }
    assert names(one(files)) == ["a", "b", "d"]


@pytest.mark.rule("I4")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"selector": {"team": "a"}}, ["a", "b"]),
        ({"selector": {"team": "a", "tier": "gold"}}, ["b"]),
        ({"selector": {"team": "zzz"}}, []),
        ({"only": ["Agent/c"]}, ["c"]),
        ({"only": ["dev/Agent/c", "Agent/a"]}, ["a", "c"]),
        ({"only": ["Agent/a", "Agent/c"], "selector": {"team": "a"}}, ["a"]),
    ],
)
def test_narrowing_takes_a_part_and_says_so(options, expected):
    files = {
        "a.yaml": agent("a", labels="{team: a}"),
        "b.yaml": agent("b", labels="{team: a, tier: gold}"),
        "c.yaml": agent("c"),
    }
    found = one(files, **options)
    assert names(found) == expected
    assert found.narrowed
    assert found.notes == ()


def test_an_only_that_matches_nothing_is_a_note_with_the_nearest_name():
    found = one({"a.yaml": agent("support-triage")}, only=["Agent/suport-triage", "prod/Agent/x"])
    assert lines(found.notes) == [
        "project.yaml:3:18: `--only Agent/suport-triage` matches nothing in the Project `dev` "
        "(Did you mean `Agent/support-triage`?)"
    ]


@pytest.mark.rule("I1")
def test_a_broken_file_counts_against_every_project_whose_globs_match_it():
    files = {
        "a/p.yaml": project(name="a", endpoint="sandbox://a"),
        "a/x.yaml": agent("x"),
        "b/p.yaml": project("resources: ['*.yaml', ../a/x.yaml, ../shared/*.yaml]", name="b"),
        "b/y.yaml": agent("y"),
        "shared/broken.yaml": "a: [\n",
    }
    first, second = loaded(files)
    assert (lines(first.problems), names(first)) == ([], ["x"])
    assert [line.split(":")[0] for line in lines(second.problems)] == ["shared/broken.yaml"]
    assert names(second) == []


@pytest.mark.rule("I1")
def test_with_skip_the_valid_ones_stay():
    files = {
        "p.yaml": project("sync: {on_invalid: skip}"),
        "a.yaml": agent("a"),
        "b.yaml": agent("b", "stat: x"),
        "c.yaml": agent("c").replace("spec:", "spce:"),
        "d.yaml": "[",
    }
    found = one(files)
    assert names(found) == ["a"]
    assert found.invalid == (Key("dev", "Agent", "b"), Key("dev", "Agent", "c"))
    assert found.invalid_skipped
    assert len(found.problems) == 4


@pytest.mark.rule("I1")
def test_without_skip_nothing_stays():
    found = one({"a.yaml": agent("a"), "b.yaml": agent("b", "stat: x")})
    assert (found.resources, found.invalid_skipped) == ((), False)


@pytest.mark.rule("I5")
@pytest.mark.parametrize(("twin", "same"), [("Triage", "equal but for case"), ("triage", "the same name")])
def test_names_that_are_equal_but_for_case_are_a_problem_for_both(twin, same):
    found = one({"a.yaml": agent("triage"), "b.yaml": agent(twin), "c.yaml": agent("other")})
    first, second = lines(found.problems)
    assert first.startswith(f"a.yaml:3:18: metadata.name: Agent/{twin} in b.yaml:3:18 has ")
    assert second.startswith("b.yaml:3:18: metadata.name: Agent/triage in a.yaml:3:18 has ")
    assert same in first
    assert {key.name for key in found.invalid} == {"triage", twin}


@pytest.mark.rule("I5")
def test_two_projects_that_desire_one_name_on_one_endpoint_are_both_refused():
    files = {
        "p.yaml": project(name="one", endpoint="http://localhost/X"),
        "q.yaml": project(name="two", endpoint="http://localhost/x/"),
        "r.yaml": project(name="three", endpoint="http://localhost/other"),
        "a.yaml": agent("a"),
    }
    first, third, second = loaded(files)
    assert "the Project `two` desires Agent/a on the same endpoint" in lines(first.problems)[0]
    assert "the Project `one` desires Agent/a on the same endpoint" in lines(second.problems)[0]
    assert third.problems == ()


@pytest.mark.rule("D4")
def test_names_that_other_projects_desire_on_this_endpoint_are_known():
    files = {
        "one/p.yaml": project(name="one", endpoint="sandbox://one"),
        "one/a.yaml": agent("a"),
        "two/p.yaml": project(name="two", endpoint="sandbox://one"),
        "two/b.yaml": agent("b") + "---\n" + agent("broken").replace("spec:", "spce:"),
        "dev/p.yaml": project(name="dev", endpoint="sandbox://dev"),
        "dev/c.yaml": agent("c"),
    }
    (found,) = loaded(files, projects=["one"])
    assert found.elsewhere == {"b": "two", "broken": "two"}
    (found,) = loaded(files, scope="one")
    assert found.elsewhere == {"b": "two", "broken": "two"}


@pytest.mark.rule("D4")
def test_names_of_a_project_that_lacks_its_environment_are_known_all_the_same():
    files = {
        "one/p.yaml": project(name="one"),
        "two/p.yaml": project(
            "values_from_env: [HOST]\nresources: [b.yaml]", name="two", endpoint="{$value: HOST}"
        ),
        "two/b.yaml": agent("b"),
        "two/c.yaml": agent("c"),
    }
    (found,) = loaded(files, projects=["one"])
    assert found.elsewhere == {"b": "two"}


def test_the_folder_that_was_asked_for_says_which_projects():
    files = {
        "one/p.yaml": project("resources: ['*.yaml', ../shared/*.yaml]", name="one"),
        "two/p.yaml": project(name="two"),
        "shared/a.yaml": agent("a"),
    }
    (found,) = loaded(files, scope="one")
    assert (found.project.name, names(found)) == ("one", ["a"])


def test_projects_are_chosen_by_name():
    files = {"p.yaml": project(name="one"), "q.yaml": project(name="two", endpoint="sandbox://two")}
    assert [item.project.name for item in loaded(files, projects=["two"])] == ["two"]


def test_an_unknown_project_is_refused_with_the_nearest_name():
    files = {"p.yaml": project(name="stage"), "x/q.yaml": project(name="prod")}
    error = refused(files, projects=["stag"])
    assert (str(error), error.hint) == ("no Project `stag`", "Did you mean `stage`?")
    error = refused(files, projects=["qqq"])
    assert error.hint == "There is `prod` and `stage`."
    error = refused({**files, "y/r.yaml": project(name="dev")}, projects=["prod"], scope="y")
    assert error.hint == "It is in x/q.yaml, outside of the folder that was asked for."


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"a.yaml": agent()}, [], id="agents-only"),
        pytest.param({".hidden/p.yaml": PROJECT}, [], id="hidden"),
        pytest.param(
            {"p.yaml": PROJECT.replace("kind: Project", "kind: Projekt")},
            ["p.yaml:2:7: kind: unknown kind `Projekt` (Did you mean `Project`?)"],
            id="misspelt",
        ),
    ],
)
def test_a_source_without_a_project_is_refused(files, problems):
    error = refused(files)
    assert str(error) == "no Project in repo"
    assert lines(error.problems) == problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "apiVersion: reconciler/v1\nkind: Project\nmetadata: {name: dev}\nspec: {}\n",
            "p.yaml:4:7: spec: `endpoint` is missing (Add it.)",
            id="endpoint",
        ),
        pytest.param(
            "apiVersion: reconciler/v1\nkind: Project\nmetadata: {name: a_b}\nspec: {endpoint: sandbox://x}\n",
            "p.yaml:3:18: metadata.name: `a_b` is no name",
            id="name",
        ),
        pytest.param(
            "apiVersion: reconciler/v1\nkind: Project\nspec: {endpoint: sandbox://x}\n  bad\n",
            "p.yaml:",
            id="syntax",
        ),
        pytest.param(
            "apiVersion: reconciler/v2\nkind: Project\nmetadata: {name: dev}\nspec: {endpoint: sandbox://x}\n",
            "p.yaml:1:13: apiVersion: the version `reconciler/v2` is not known",
            id="version",
        ),
        pytest.param(
            project("values_from_env: [HOST]", endpoint="{$value: HOST}"),
            "p.yaml:5:22: spec.endpoint.$value: `HOST` comes from the environment variable HOST",
            id="environment",
        ),
        pytest.param(
            project(endpoint="{$file: endpoint.txt}"),
            "p.yaml:5:21: spec.endpoint.$file: a Project takes no files",
            id="file",
        ),
    ],
)
def test_a_broken_project_file_stops_everything(text, problem):
    error = refused({"p.yaml": text, "q.yaml": project(name="other", endpoint="sandbox://other")})
    assert str(error) == "1 problem in Project files"
    assert lines(error.problems)[0].startswith(problem)


def test_a_broken_project_that_was_not_asked_for_stops_nobody():
    files = {
        "one/p.yaml": project("onwer: x", name="one"),
        "two/p.yaml": project(name="two"),
        "two/a.yaml": agent(),
    }
    (found,) = loaded(files, projects=["two"])
    assert names(found) == ["a"]


def test_two_projects_of_one_name_are_refused():
    error = refused({"p.yaml": project(name="dev"), "q.yaml": project(name="Dev", endpoint="sandbox://q")})
    assert lines(error.problems) == [
        "q.yaml:3:18: metadata.name: the Project `dev` is already in p.yaml:3:18 (Give it another name.)"
    ]


def test_a_prompt_that_speaks_of_projects_is_no_project():
    text = agent(definition='kind: prompt\nmodel: m\ninstructions: "kind: Project"')
    assert names(one({"p.yaml": PROJECT, "a.yaml": text})) == ["a"]


@pytest.mark.rule("I6")
def test_a_project_without_agents_is_empty_and_valid():
    found = one({})
    assert (found.resources, found.problems, found.narrowed) == ((), (), False)


def test_each_content_is_parsed_once():
    files = {"p.yaml": PROJECT, "a.yaml": agent("a"), "b.yaml": agent("b")}
    earlier = Earlier()
    first = load(source(files), environ={}, kinds=KINDS, earlier=earlier)
    kept = dict(earlier.known.parsed)
    assert len(kept) == 3
    assert load(source(files), environ={}, kinds=KINDS, earlier=earlier) == first
    changed = load(source({**files, "b.yaml": agent("c")}), environ={}, kinds=KINDS, earlier=earlier)
    assert names(changed[0]) == ["a", "c"]
    assert len(earlier.known.parsed) == 4
    assert all(earlier.known.parsed[blob] is parsed for blob, parsed in kept.items())
    assert changed[0].resources[0] is first[0].resources[0]


def test_the_same_content_under_two_paths_is_two_problems():
    found = one({"a.yaml": "[", "b.yaml": "["}, earlier=Earlier())
    assert [line.split(":")[0] for line in lines(found.problems)] == ["a.yaml", "b.yaml"]
