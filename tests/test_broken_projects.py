"""Project files with errors, for a caller to whom each is the trouble of its own Project alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.desired import Earlier, Found, load_each
from reconciler.errors import InvalidInput
from reconciler.loading import Loaded, inputs_of
from reconciler.options import Allow
from reconciler.settings import read
from tests.manifest.sources import KINDS, agent, lines, loaded, project, source

GOOD = project("resources: [good/*.yaml]", name="good", endpoint="sandbox://good")
AGENTS = {"good/a.yaml": agent("a"), "bad/b.yaml": agent("b"), "bad/c.yaml": agent("c")}


def each(files, handles=lambda _: True, earlier=None, **place) -> Found:
    """What a service finds in these files."""
    return load_each(
        source(files, **place), environ={}, kinds=KINDS, earlier=earlier or Earlier(), handles=handles
    )


def bad(spec: str = "", **options) -> str:
    return project(f"resources: [bad/*.yaml]\n{spec}", name="bad", **options)


def told(found: Found) -> dict[str, list[str]]:
    return {one.name: lines(one.problems) for one in found.broken}


@pytest.mark.rule("I1", "V2")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(bad("sync: {prun: true}"), "bad.yaml:7:10: spec.sync.prun: unknown key", id="typo"),
        pytest.param(
            bad("values_from_env: [HOST]", endpoint="{$value: HOST}"),
            "bad.yaml:5:22: spec.endpoint.$value: `HOST` comes from the environment variable HOST",
            id="no-value",
        ),
        pytest.param(
            bad().replace("reconciler/v1", "reconciler/v2"),
            "bad.yaml:1:13: apiVersion: the version `reconciler/v2`",
            id="version",
        ),
        pytest.param(bad().replace("spec:", "spce:"), "bad.yaml:4:1: spce: unknown key", id="envelope"),
        pytest.param(bad("sync: {}\nsync: {}"), "bad.yaml:8:3: the key `sync` is here twice", id="twice"),
    ],
)
def test_a_broken_project_is_told_by_name_and_the_others_are_whole(text, problem):
    found = each({"bad.yaml": text, "good.yaml": GOOD, **AGENTS})
    assert [one.project.name for one in found.projects] == ["good"]
    assert [desired.key.name for desired in found.projects[0].resources] == ["a"]
    assert list(told(found)) == ["bad"]
    assert any(line.startswith(problem) for line in told(found)["bad"]), told(found)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("apiVersion: reconciler/v1\nkind: Project\nspec: {oops\n", id="syntax"),
        pytest.param('{"apiVersion": "reconciler/v1", "kind": "Project", "metadata": {', id="cut-off"),
        pytest.param("kind: Project\nspec: {oops\n", id="no-version"),
        pytest.param(bad().replace("name: bad", "name: b_d"), id="name"),
        pytest.param(b"apiVersion: reconciler/v1\nkind: Project\n# \xff\n", id="not-utf-8"),
    ],
)
def test_what_cannot_be_named_may_be_any_project(text):
    found = each({"bad.yaml": text, "good.yaml": GOOD, **AGENTS})
    (one,) = found.broken
    assert one.name == ""
    assert one.problems[0].place.file == "bad.yaml"
    snapshot = source({"good.yaml": GOOD})
    whole = Loaded(snapshot, found.projects, read({}), "", found.broken)
    assert whole.broken_as("anything") == one
    assert whole.broken_as("good") is None


@pytest.mark.rule("I5")
def test_of_two_projects_with_one_name_none_is_taken():
    twin = bad().replace("name: bad", "name: Bad")
    found = each({"bad.yaml": bad(), "twin.yaml": twin, "good.yaml": GOOD, **AGENTS})
    assert [one.project.name for one in found.projects] == ["good"]
    problem = "twin.yaml:3:18: metadata.name: the Project `bad` is already in bad.yaml:3:18"
    assert told(found) == {name: [f"{problem} (Give it another name.)"] for name in ("Bad", "bad")}


@pytest.mark.rule("I5")
def test_a_name_that_a_broken_project_has_too_is_not_taken():
    twin = bad().replace("spec:", "spce:")
    found = each({"bad.yaml": bad(), "twin.yaml": twin, "good.yaml": GOOD, **AGENTS})
    assert [one.project.name for one in found.projects] == ["good"]
    assert any("is already in bad.yaml:3:18" in line for line in told(found)["bad"])


def test_projects_beside_a_broken_one_in_the_same_file_go_on():
    text = "---\n".join((bad().replace("spec:", "spce:"), GOOD))
    found = each({"all.yaml": text, **AGENTS})
    assert [one.project.name for one in found.projects] == ["good"]
    assert list(told(found)) == ["bad"]


def test_projects_in_a_file_that_cannot_be_read_to_its_end_are_broken():
    found = each({"all.yaml": f"{bad()}---\nspec: {{oops\n", "good.yaml": GOOD, **AGENTS})
    assert list(told(found)) == ["", "bad"], "another one may follow"


def test_a_project_of_others_is_not_told_and_counts_all_the_same():
    files = {"bad.yaml": bad("sync: 1"), "good.yaml": GOOD, **AGENTS}
    found = each(files, handles=lambda name: name == "good")
    assert found.broken == ()
    assert found.projects[0].elsewhere == {"b": "bad", "c": "bad"}
    found = each({f"x/{path}": text for path, text in files.items()} | {"y/p.yaml": GOOD}, scope="y")
    assert found.broken == ()
    assert found.projects[0].elsewhere["b"] == "bad"


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"bad.yaml": bad("sync: 1")}, id="settings"),
        pytest.param({"bad.yaml": "kind: Project\nspec: {oops\n"}, id="syntax"),
        pytest.param({"bad.yaml": bad(), "twin.yaml": bad()}, id="twins"),
    ],
)
def test_a_source_without_any_readable_project_is_refused(files):
    with pytest.raises(InvalidInput, match="in Project files") as raised:
        each({**files, **AGENTS})
    assert raised.value.problems
    assert raised.value.hint


def test_a_source_without_a_project_says_so():
    with pytest.raises(InvalidInput, match="no Project in repo"):
        each(AGENTS)


@pytest.mark.rule("D4")
def test_names_of_a_broken_project_are_known_where_its_manifests_are():
    found = each({"bad.yaml": bad("sync: {prun: true}"), "good.yaml": GOOD, **AGENTS})
    assert (found.projects[0].elsewhere, found.projects[0].unread) == ({"b": "bad", "c": "bad"}, ())
    found = each({"bad.yaml": bad(), "twin.yaml": bad("selector: {x: y}"), "good.yaml": GOOD, **AGENTS})
    assert found.projects[0].elsewhere == {}, "their endpoint is read, and another one"


@pytest.mark.rule("D4")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("apiVersion: reconciler/v1\nkind: Project\nspec: {oops\n", id="syntax"),
        pytest.param(bad().replace("resources:", "resource:"), id="misspelt"),
        pytest.param(bad().replace("[bad/*.yaml]", "7"), id="globs"),
        pytest.param(bad().replace("[bad/*.yaml]", "[{$value: GLOB}]"), id="no-value"),
        pytest.param(bad("selector: 7"), id="selector"),
        pytest.param(bad().replace("reconciler/v1", "reconciler/v2"), id="version"),
        pytest.param(bad("sync: {}\nsync: {}"), id="fault"),
    ],
)
def test_nothing_is_deleted_while_nobody_knows_what_a_broken_project_desires(text):
    snapshot = source({"bad.yaml": text, "good.yaml": GOOD, **AGENTS})
    found = load_each(snapshot, environ={}, kinds=KINDS, earlier=Earlier(), handles=lambda _: True)
    (good,) = found.projects
    (place,) = good.unread
    assert place.file == "bad.yaml"
    inputs = inputs_of(Loaded(snapshot, found.projects, read({}), ""), good, Allow())
    assert not inputs.scope.prune
    assert str(place) in inputs.scope.kept_because
    (said,) = [verdict for verdict in inputs.verdicts if verdict.rule == "unread-manifest"]
    assert (str(said.severity), said.place) == ("info", place)
    assert "bad.yaml" in said.message
    assert "Correct" in said.hint


@pytest.mark.rule("D4")
def test_who_never_deletes_is_told_nothing_of_it():
    quiet = GOOD + "  sync: {prune: false}\n"
    snapshot = source({"bad.yaml": "kind: Project\nspec: {oops\n", "good.yaml": quiet, **AGENTS})
    found = load_each(snapshot, environ={}, kinds=KINDS, earlier=Earlier(), handles=lambda _: True)
    inputs = inputs_of(Loaded(snapshot, found.projects, read({}), ""), found.projects[0], Allow())
    assert inputs.scope.kept_because == "`sync.prune` is off"
    assert inputs.verdicts == ()


@pytest.mark.rule("D4")
def test_a_run_for_one_project_deletes_nothing_that_a_broken_one_may_want():
    files = {"bad.yaml": bad().replace("resources:", "resource:"), "good.yaml": GOOD, **AGENTS}
    (good,) = loaded(files, projects=["good"])
    assert [place.file for place in good.unread] == ["bad.yaml"]


@pytest.mark.rule("D4")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(agent("b") + "  oops: [\n", id="syntax"),
        pytest.param(agent("b").replace("kind: Agent", "kind: Agnet"), id="kind"),
        pytest.param(agent("b").replace("name: b,", "nmae: b,"), id="name"),
        pytest.param(agent("b").replace("apiVersion: reconciler/v1\n", ""), id="version"),
    ],
)
def test_nothing_is_deleted_while_a_manifest_of_another_project_here_does_not_say_what_it_is(text):
    files = {"good.yaml": GOOD, **AGENTS, "bad/b.yaml": text}
    beside = each({**files, "bad.yaml": bad(endpoint="sandbox://good")}).projects
    assert [place.file for place in beside[1].unread] == ["bad/b.yaml"]
    assert beside[0].problems
    assert beside[0].unread == (), "it does not wait for itself"
    apart = each({**files, "bad.yaml": bad()}).projects
    assert apart[1].unread == (), "on another endpoint the same name is another agent"


def test_many_files_that_cannot_be_read_are_one_remark():
    files = {"bad.yaml": bad(endpoint="sandbox://good"), "good.yaml": GOOD, **AGENTS}
    snapshot = source(files | {"bad/b.yaml": "{oops", "bad/c.yaml": "{oops"})
    found = load_each(snapshot, environ={}, kinds=KINDS, earlier=Earlier(), handles=lambda _: True)
    inputs = inputs_of(Loaded(snapshot, found.projects, read({}), ""), found.projects[1], Allow())
    (said,) = inputs.verdicts
    assert said.message.startswith("bad/b.yaml:2:1 and 1 more cannot be read")


@pytest.mark.rule("I5")
def test_one_name_on_one_endpoint_is_refused_though_the_other_project_is_broken():
    files = {
        "bad.yaml": project("resources: [good/*.yaml]\nsync: 1", name="bad", endpoint="sandbox://GOOD/"),
        "far.yaml": project("resources: [good/*.yaml]\nsync: 1", name="far", endpoint="sandbox://far"),
        "lost.yaml": project("resources: [good/*.yaml]", name="lost", endpoint="7"),
        "good.yaml": GOOD,
        **AGENTS,
    }
    (good,) = each(files).projects
    (line,) = lines(good.problems)
    assert "the Project `bad` desires Agent/a on the same endpoint" in line


def test_a_project_that_is_right_again_is_the_very_same():
    earlier = Earlier()
    files = {"bad.yaml": bad(), "good.yaml": GOOD, **AGENTS}
    before = each(files, earlier=earlier)
    wrong = each({**files, "bad.yaml": bad("sync: 1")}, earlier=earlier)
    assert [one.project.name for one in wrong.projects] == ["good"]
    after = each(files, earlier=earlier)
    assert after == before
    assert after.projects[0].resources[0] is before.projects[0].resources[0]
    assert replace(wrong.projects[0], elsewhere={}) == after.projects[1]


def test_an_agent_that_speaks_of_projects_is_no_project_while_it_can_be_read():
    text = agent("d", definition='kind: prompt\nmodel: m\ninstructions: "kind: Project"')
    found = each({"good.yaml": GOOD, **AGENTS, "good/d.yaml": text, "other.yaml": "kind: Project\n{{ x }}"})
    assert [one.name for one in found.broken] == [""], "this one may be ours"
    found = each({"good.yaml": GOOD, **AGENTS, "good/d.yaml": text, "other.yaml": "kind: Project\n"})
    assert (found.broken, found.projects[0].problems) == ((), ())
