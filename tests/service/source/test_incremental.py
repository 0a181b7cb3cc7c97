"""What is kept from commit to commit changes nothing: each load equals one from scratch."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pygit2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.desired import Earlier, load
from reconciler.errors import InvalidInput
from reconciler.git_objects import Listing, list_tree, size_in
from reconciler.snapshot import Snapshot, SourceFile, blob_id
from tests.manifest.sources import KINDS, agent, project, source

# Values that Python takes for equal and the service does not are among them.
VALUES = ["1", "true", "1.0", "'1'", "[1, {a: 1}]", "[1, {a: true}]"]
PATCHES = [
    "",
    "patches: [{merge: {description: patched}}]",
    "patches: [{target: {labels: {team: a}}, merge: {definition: {model: other}}}]",
    "patches: [{target: {name: b}, patch: [{op: add, path: /spec/description, value: {$value: V}}]}]",
    "patches: [{target: {name: a}, patch: [{op: remove, path: /spec/nothing}]}]",
]
SETTINGS = {
    "resources": ["'agents/**/*.yaml'", "'agents/*.yaml', '!agents/b.yaml'", "'**/*.yaml'"],
    "rest": ["", "", "selector: {team: a}", "schema: warn", "sync: {on_invalid: skip}", "owner: {"],
    "value": VALUES,
    "patches": PATCHES,
    "secret": ["", "values_from_env: [SECRET]"],
    "name": ["dev", "prod"],
}


def written_project(given: dict[str, str]) -> str:
    name = given.get("name", "dev")
    spec = f"resources: [{given.get('resources', SETTINGS['resources'][0])}]\n{given.get('rest', '')}\n"
    spec += f"values: {{V: {given.get('value', '1')}}}\n{given.get('patches', '')}\n{given.get('secret', '')}"
    return project(spec, name=name, endpoint=f"sandbox://{name}")


HOSTED = (
    "kind: hosted\ncpu: '1'\nmemory: 2Gi\nprotocol_versions: [{protocol: responses, version: 2.0.0}]\n"
    "code_configuration: {runtime: python_3_13, entry_point: [python, main.py]}"
)
# A place for values of any type.
FREE = "{type: object, properties: {x: {default: {$value: V}}}}"
TOOL = f"{{type: function, name: f, parameters: {FREE}, strict: false}}"
SPECS = [
    {},
    {"definition": "kind: prompt\nmodel: m\ninstructions: {$file: ../prompts/x.md}"},
    {"definition": "kind: prompt\nmodel: m\ninstructions: {$file: ../prompts/x.md, substitute: true}"},
    {"definition": f"kind: prompt\nmodel: m\ntools: [{TOOL}]"},
    {"definition": "kind: prompt\nmodel: {$text: 'm-${SECRET}'}"},
    {"spec": "metadata: {x: {$text: '${V}'}}"},
    {"definition": HOSTED, "spec": "code: {path: ../code}"},
    {"definition": HOSTED, "spec": "code: {path: ..}"},
    {"definition": "kind: prompt\nmodel: m\nmodle: x"},
    {"spec": "endpoint: {protocols: [responses]}\nstate: disabled"},
]
agents = st.builds(
    lambda name, given, labels: agent(
        name, given.get("spec", ""), definition=given.get("definition", ""), labels=labels
    ),
    st.sampled_from(["a", "b", "B", "c"]),
    st.sampled_from(SPECS),
    st.sampled_from(["{}", "{team: a}"]),
)
texts = st.one_of(
    agents, st.lists(agents, min_size=2, max_size=3).map("---\n".join), st.sampled_from(["[", "a: 1"])
)
edits = st.one_of(
    st.tuples(st.sampled_from(["agents/a.yaml", "agents/b.yaml", "agents/x/c.yaml", "code/m.yaml"]), texts),
    # One setting of a Project, which keeps its others.
    st.sampled_from([(key, value) for key, values in SETTINGS.items() for value in values]),
    st.tuples(st.just("envs/p.yaml"), st.just(written_project({"name": "prod", "rest": "schema: warn"}))),
    st.tuples(st.sampled_from(["prompts/x.md"]), st.sampled_from(["one", "two ${V}", "${NO}", b"\xff"])),
    st.tuples(st.sampled_from(["code/main.py", "code/lib/x.py"]), st.sampled_from(["1", "2"])),
    st.tuples(st.just("code/.agentignore"), st.sampled_from(["lib/", "*.md"])),
    # Away, or elsewhere.
    st.tuples(st.sampled_from(["agents/a.yaml", "envs/p.yaml", "prompts/x.md", "code/main.py"]), st.none()),
    st.tuples(st.sampled_from(["agents/a.yaml", "prompts/x.md"]), st.just("agents/b.yaml")),
)


def with_trees(snapshot: Snapshot) -> Snapshot:
    """The source with ids of its folders, as Git has them."""

    def tree(folder: str) -> str:
        below = [
            f"{file.path} {file.blob}"
            for file in snapshot.files.values()
            if file.path.startswith(f"{folder}/" if folder else "")
        ]
        return hashlib.sha1("\n".join(below).encode()).hexdigest() if below else ""

    return replace(snapshot, trees=tree)


def found(files, environ, earlier=None):
    """Everything that a load says, with the texts that tell 1 from true."""
    try:
        result = load(with_trees(source(files)), environ=environ, kinds=KINDS, earlier=earlier)
    except InvalidInput as error:
        return str(error), error.problems
    return repr(result), result


STRAY = agent("c", definition=SPECS[-2]["definition"])
environs = st.sampled_from([{}, {"SECRET": "geheim1"}, {"SECRET": "geheim2"}])


@settings(max_examples=60, deadline=None)
@example([(("value", "true"), {}), (("value", "1.0"), {}), (("value", "1"), {})])
@example([(("prompts/x.md", None), {}), (("prompts/x.md", "one"), {}), (("prompts/x.md", "two"), {})])
@example([(("code/lib/x.py", "1"), {}), (("code/.agentignore", "lib/"), {}), (("code/main.py", None), {})])
@example([(("agents/x/c.yaml", STRAY), {}), (("rest", "schema: warn"), {}), (("rest", ""), {})])
@example([(("patches", PATCHES[index]), {}) for index in (1, 2, 0, 3, 1)])
@example([(("patches", PATCHES[4]), {}), (("code/main.py", "2"), {})])
@example([(("secret", SETTINGS["secret"][1]), {"SECRET": text}) for text in ("geheim1", "geheim2", "")])
@given(st.lists(st.tuples(edits, environs), min_size=2, max_size=12))
def test_a_load_that_knows_the_one_before_equals_one_from_scratch(pushes):
    files: dict[str, str | bytes] = {
        "project.yaml": written_project({}),
        "agents/a.yaml": agent("a", **{"definition": SPECS[1]["definition"]}),
        "agents/b.yaml": agent("b", definition=HOSTED, spec="code: {path: ../code}"),
        "agents/v.yaml": agent("v", definition=SPECS[3]["definition"]),
        "prompts/x.md": "one",
        "code/main.py": "1",
    }
    earlier, settings_ = Earlier(), dict[str, str]()
    for (path, what), environ in pushes:
        if path in SETTINGS:
            settings_[path] = what
            files["project.yaml"] = written_project(settings_)
        elif what is None:
            files.pop(path, None)
        elif what in files:
            files[str(what)] = files.get(path, "")
        else:
            files[path] = what
        fork = earlier.fork()
        expected = found(files, environ)
        assert found(files, environ, earlier) == expected
        assert found(files, environ, fork) == expected


names = st.sampled_from(["a", "b", "a.b", "a-b", "ü", "x y", "\udcff"])
trees = st.recursive(
    st.sampled_from([b"1", b"2", "link", "submodule"]),
    lambda inner: st.dictionaries(names, inner, min_size=1, max_size=4),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, dict))


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    return pygit2.init_repository(str(tmp_path_factory.mktemp("trees")), bare=True)


def written(repo, tree) -> str:
    """The tree as an object of the repository."""
    entries = []
    for name, what in tree.items():
        match what:
            case dict():
                mode, oid = b"40000", bytes.fromhex(written(repo, what))
            case "link":
                mode, oid = b"120000", repo.create_blob(b"target").raw
            case "submodule":
                mode, oid = b"160000", b"\x11" * 20
            case _:
                mode, oid = b"100644", repo.create_blob(what).raw
        raw = name.encode("utf-8", "surrogateescape")
        entries.append((raw + b"/" * (mode == b"40000"), mode + b" " + raw + b"\0" + oid))
    return str(repo.write(pygit2.enums.ObjectType.TREE, b"".join(entry for _, entry in sorted(entries))))


def shown(listing: Listing):
    files = [(path, file.blob, file.link) for path, file in listing.files.items()]
    return listing.tree, files, dict(sorted(listing.folders.items())), sorted(listing.notes.items())


@settings(max_examples=100, deadline=None)
@given(history=st.lists(trees, min_size=2, max_size=4))
def test_a_listing_that_knows_the_one_before_equals_one_from_scratch(repo, history):
    before, look = None, size_in(repo)
    for tree in history:
        root = written(repo, tree)
        before = list_tree(repo, root, look, before=before)
        assert shown(before) == shown(list_tree(repo, root, look))
        index = pygit2.Index()
        index.read_tree(repo[root])
        plain = [entry.path for entry in index if entry.mode != 0o160000]
        assert sorted(before.files) == list(before.files)
        assert set(before.files) == {path for path in plain if "\udcff" not in path}


def test_what_did_not_change_is_the_same_value(repo):
    """A near-miss: a new file must not make its neighbours new."""
    first = list_tree(repo, written(repo, {"a": {"x": b"1", "y": b"2"}, "b": {"z": b"1"}}), size_in(repo))
    second = list_tree(
        repo,
        written(repo, {"a": {"x": b"1", "y": b"1"}, "b": {"z": b"1"}, "c": b"2"}),
        size_in(repo),
        before=first,
    )
    same = {path for path, file in second.files.items() if file is first.files.get(path)}
    assert same == {"a/x", "b/z"}


def test_a_file_that_becomes_a_link_is_read_no_more():
    earlier = Earlier()
    files = {"p.yaml": project(), "a.yaml": agent("a")}
    snapshot = source(files)
    (first,) = load(snapshot, environ={}, kinds=KINDS, earlier=earlier)
    content = snapshot.read("a.yaml")
    linked = dict(snapshot.files)
    linked["a.yaml"] = SourceFile("a.yaml", look=lambda file: (blob_id(content), 1), link=True)
    (second,) = load(replace(snapshot, files=linked), environ={}, kinds=KINDS, earlier=earlier)
    assert len(first.resources) == 1
    assert "symbolic link" in str(second.problems)
