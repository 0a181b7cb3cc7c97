"""The envelope, files that are not ours, files that cannot be read, and code folders."""

from __future__ import annotations

import os

import pytest

from reconciler.desired import load
from reconciler.source import open_source
from tests.manifest.sources import KINDS, PROJECT, agent, lines, one, project

CODED = agent(
    "coded",
    "code: {path: CODE}",
    definition="kind: hosted\ncpu: '1'\nmemory: 2Gi\nprotocol_versions: []\n"
    "code_configuration: {runtime: python_3_13, entry_point: [python, main.py]}",
)


def problems(text: str | bytes) -> list[str]:
    return lines(one({"a.yaml": text}).problems)


def names(files: dict[str, str]) -> list[str]:
    found = one(files)
    assert lines(found.problems) == []
    return [desired.key.name for desired in found.resources]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "/v1", "/v2", "1:13: apiVersion: the version `reconciler/v2` is not known", id="version"
        ),
        pytest.param(
            "kind: Agent", "kind: Agnet", "2:7: kind: unknown kind `Agnet` (Did you mean `Agent`?)", id="kind"
        ),
        pytest.param(
            "kind: Agent", "kind: agent", "2:7: kind: unknown kind `agent` (Did you mean `Agent`?)", id="case"
        ),
        pytest.param(
            "kind: Agent\n", "", "1:1: `kind` is missing (Write one of `Agent` and `Project`.)", id="no-kind"
        ),
        pytest.param("kind: Agent", "kind: 3", "1:1: `kind` is missing", id="kind-of-another-type"),
        pytest.param("spec:", "spce:", "4:1: spce: unknown key `spce` (Did you mean `spec`?)", id="key"),
        pytest.param(
            "name: a", "nmae: a", "3:12: metadata.nmae: unknown key `nmae` (Did you mean `name`?)", id="meta"
        ),
        pytest.param(
            "name: a", "name: a_b", "3:18: metadata.name: `a_b` is no name (Use 1 to 63 letters", id="name"
        ),
        pytest.param("name: a", "name: -a", "3:18: metadata.name: `-a` is no name", id="hyphen-first"),
        pytest.param("name: a", f"name: {'a' * 64}", "3:18: metadata.name: `aaaa", id="name-too-long"),
        pytest.param(
            "name: a", "name: 7", "3:18: metadata.name: expected a name (Quote it.)", id="name-number"
        ),
        pytest.param("name: a, ", "", "3:11: metadata.name: `name` is missing (Add it.)", id="no-name"),
        pytest.param("labels: {}", "labels: []", "3:29: metadata.labels: expected a mapping", id="labels"),
        pytest.param(
            "labels: {}",
            "labels: {x: 1}",
            "3:33: metadata.labels.x: the value of a label is text",
            id="label",
        ),
        pytest.param(
            "labels: {}",
            "owner: me",
            "3:21: metadata.owner: unknown key `owner` (Known here",
            id="annotation",
        ),
    ],
)
def test_a_wrong_envelope_is_told_with_its_place(old, new, expected):
    text = agent().replace(old, new)
    assert text != agent()
    assert any(line.startswith(f"a.yaml:{expected}") for line in problems(text)), problems(text)


@pytest.mark.parametrize("spec", ["spec: []", "spec: text", "spec:", ""])
def test_a_manifest_has_a_spec(spec):
    (line,) = problems(f"apiVersion: reconciler/v1\nkind: Agent\nmetadata: {{name: a}}\n{spec}\n")
    assert "`spec` is missing" in line or "spec: expected a mapping" in line


def test_a_schema_line_for_editors_is_no_problem():
    text = (
        "# yaml-language-server: $schema=./manifest.schema.json\n$schema: ./manifest.schema.json\n" + agent()
    )
    assert names({"a.yaml": text}) == ["a"]


def test_one_file_may_hold_many_manifests_and_the_project():
    assert names({"all.yaml": f"{PROJECT}---\n{agent('a')}---\n{agent('b')}"}) == ["a", "b"]


def test_an_empty_file_is_no_problem():
    assert names({"a.yaml": agent(), "empty.yaml": "", "comment.yaml": "# nothing yet\n"}) == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "kind: Agent\nmetadata: {name: a}\nspec: {}\n", "`apiVersion` is missing", id="no-version"
        ),
        pytest.param(
            "apiVersion: v1\nkind: Pod\nmetadata: {}\nspec: {}\n", "`apiVersion: v1` is another", id="k8s"
        ),
        pytest.param("jobs: {}\n", "looks like a CI pipeline", id="ci"),
        pytest.param("name: x\ntemplate: {kind: hosted}\n", "Azure Developer CLI", id="azd"),
        pytest.param("kind: hosted\nname: x\n", "definition of another tool", id="agent-yaml"),
        pytest.param("- a\n- b\n", "the document is no mapping", id="list"),
        pytest.param("just text\n", "the document is no mapping", id="text"),
        pytest.param("x: 1\n", "no `apiVersion: reconciler/v1`", id="other"),
    ],
)
def test_a_file_that_is_not_ours_is_named(text, message):
    (line,) = problems(text)
    assert line.startswith("a.yaml:1:1")
    assert message in line
    assert "exclude the file" in line


@pytest.mark.rule("I1")
def test_all_problems_of_all_files_are_told_at_once_in_order():
    found = one(
        {
            "a.yaml": agent("a", "stat: enabled"),
            "b.yaml": "x: [\n",
            "c.yaml": agent("c", "state: enbled")
            + "---\n"
            + agent("d").replace("kind: prompt", "kind: promt"),
            "good.yaml": agent("good"),
        }
    )
    assert [line.split(": ")[0] for line in lines(found.problems)] == [
        "a.yaml:8:3",
        "b.yaml:2:1",
        "c.yaml:8:10",
        "c.yaml:15:11",
    ]
    assert found.resources == ()
    assert [key.name for key in found.invalid] == ["a", "c", "d"]


def test_a_file_that_is_too_large_is_named_and_not_parsed():
    (line,) = problems("# " + "x" * 1_100_000)
    assert line.startswith("a.yaml:1:1: 1,100,002 bytes")


def test_a_linked_manifest_is_a_problem(tmp_path):
    (tmp_path / "project.yaml").write_text(PROJECT)
    (tmp_path / "real.txt").write_text(agent())
    os.symlink(tmp_path / "real.txt", tmp_path / "a.yaml")
    (found,) = load(open_source(str(tmp_path), environ={}), environ={}, kinds=KINDS)
    (line,) = lines(found.problems)
    assert line.startswith("a.yaml:1:1: `a.yaml` is a symbolic link (")


def test_hidden_files_and_folders_are_not_read():
    files = {"a.yaml": agent(), ".github/workflows/ci.yaml": "jobs: {}\n", ".hidden.yaml": "["}
    assert names(files) == ["a"]


def test_what_lies_in_a_code_folder_is_no_manifest():
    files = {
        "project.yaml": PROJECT,
        "agents/coded.yaml": CODED.replace("CODE", "../code"),
        "code/main.py": "",
        "code/compose.yaml": "services: {}\n",
        "code/chart/values.yaml": "a: {{ .Values.x }}\n",
        "code/examples/project.yaml": project(name="example"),
    }
    assert names(files) == ["coded"]


def test_a_manifest_in_the_code_of_another_agent_is_a_problem():
    """Taking it could deploy an example; dropping it could delete an agent."""
    files = {"coded.yaml": CODED.replace("CODE", "code"), "code/main.py": "", "code/x.yaml": agent("x")}
    (line,) = lines(one(files).problems)
    assert line.startswith("code/x.yaml:3:18: Agent/x lies in a folder that is another agent's code (")


def test_a_manifest_may_lie_beside_its_code():
    files = {
        "project.yaml": PROJECT,
        "desk/agent.yaml": CODED.replace("CODE", "."),
        "desk/main.py": "",
        "desk/compose.yaml": "services: {}\n",
        "desk/second.yaml": agent("second"),
    }
    assert names(files) == ["coded", "second"]


@pytest.mark.rule("P11")
def test_a_text_is_read_from_a_file_beside_the_manifest_whatever_its_line_ends():
    spec = "definition: {kind: prompt, model: m, instructions: {$file: ../prompts/p.md}}"
    head = "apiVersion: reconciler/v1\nkind: Agent\nmetadata: {name: a}\nspec:\n  "
    forms = []
    for content in (b"one\ntwo\n", b"\xef\xbb\xbfone\r\ntwo\r\n"):
        found = one({"agents/a.yaml": head + spec, "prompts/p.md": content})
        assert lines(found.problems) == []
        forms.append(found.resources[0].form["definition"]["instructions"])
    assert forms == ["one\ntwo\n", "one\ntwo\n"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("../out.md", "`../out.md` leaves the source", id="out-of-the-root"),
        pytest.param("/etc/passwd", "`/etc/passwd` leaves the source", id="absolute"),
        pytest.param("promt.md", "no file `promt.md` in the source (Did you mean `prompt.md`?)", id="typo"),
        pytest.param("latin.md", "`latin.md` is not UTF-8 text (Save it as UTF-8.)", id="encoding"),
        pytest.param("large.md", "`large.md` has 1,100,000 bytes", id="size"),
    ],
)
def test_a_text_that_cannot_be_read_is_a_problem(path, message):
    text = agent(definition=f"kind: prompt\nmodel: m\ninstructions: {{$file: {path}}}")
    files = {"a.yaml": text, "prompt.md": "p", "latin.md": b"\xe9", "large.md": b"x" * 1_100_000}
    (line,) = lines(one(files).problems)
    assert line.startswith("a.yaml:8:27: spec.definition.instructions.$file: " + message)


def test_a_link_is_not_followed_out_of_the_source(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (root / "project.yaml").write_text(PROJECT)
    (root / "a.yaml").write_text(agent(definition="kind: prompt\nmodel: m\ninstructions: {$file: p.md}"))
    os.symlink(tmp_path / "secret.txt", root / "p.md")
    (found,) = load(open_source(str(root), environ={}), environ={}, kinds=KINDS)
    (line,) = lines(found.problems)
    assert "`p.md` is a symbolic link" in line
    assert "secret" not in line
