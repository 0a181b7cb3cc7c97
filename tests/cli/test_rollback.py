"""`reconciler rollback`: by a service, and in Git."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.release_version import with_version
from reconciler.errors import InvalidInput
from reconciler.service.records import Pin
from tests.cli.serving import Serving, serving
from tests.service.api.world import NOW
from tests.world import World, manifest, prompt

HEAD = "apiVersion: reconciler/v1\nkind: Agent\nmetadata: {name: triage}\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


def test_a_rollback_and_its_end(service: Serving) -> None:
    done = service.run(
        "rollback", "prod/Agent/triage", "--to", "7", "--why", "nonsense", "--for", "2h", token="admin"
    )

    assert done.exit_code == 0, done.stderr
    assert "version 7 of prod/Agent/triage serves, until 2027-01-15 10:00 UTC" in done.stdout
    assert "a CI run of `reconciler apply` would undo it" in done.stdout
    (pin,) = service.do(service.front.deps.store.pins())
    assert pin == Pin("prod", "Agent/triage", "7", "token:admin", "nonsense", NOW, NOW + 7200, pin.commit)

    over = service.run("rollback", "prod/Agent/triage", "--undo")

    assert over.exit_code == 0, over.stderr
    assert "Git decides again" in over.stdout


@pytest.mark.parametrize(
    ("args", "token", "said"),
    [
        pytest.param(["prod/Agent/triage"], "root", "either --to VERSION or --undo", id="nothing"),
        pytest.param(["prod/Agent/triage", "--to", "7", "--undo"], "root", "exclude each other", id="both"),
        pytest.param(["prod/Agent/triage", "--to", "7"], "root", "Add --why", id="no-reason"),
        pytest.param(["prod", "--to", "7", "--why", "x"], "root", "Write prod/Agent/NAME", id="project"),
        pytest.param(["prod/Agent/triage", "--to", "x", "--why", "x"], "root", "is no version", id="version"),
        pytest.param(
            ["prod/Agent/triage", "--to", "7", "--why", "x", "--for", "soon"],
            "root",
            "Write 30m, 24h or 7d",
            id="span",
        ),
        pytest.param(
            ["prod/Agent/triage", "--to", "7", "--why", "x", "--for", "31d"], "root", "at most 30d", id="long"
        ),
        pytest.param(
            ["prod/Agent/triage", "--to", "7", "--why", "x"],
            "viewer",
            "the role operator is needed",
            id="role",
        ),
        pytest.param(["prod/Agent/triag", "--to", "7", "--why", "x"], "root", "`Agent/triage`", id="agent"),
        pytest.param(["prod/Agent/billing", "--undo"], "root", "no rollback holds Agent/billing", id="undo"),
    ],
)
def test_a_rollback_that_cannot_be_is_explained(
    service: Serving, args: list[str], token: str, said: str
) -> None:
    result = service.run("rollback", *args, token=token)

    assert result.exit_code == 1
    assert said in result.stderr


# In Git


def test_a_rollback_in_git_is_one_line_to_commit(world: World) -> None:
    world.write(
        "agents/triage.yaml", HEAD + "spec:\n  definition:  # short\n    kind: prompt\n    model: gpt-5\n"
    )
    world.commit()

    done = world.run(
        "rollback", "prod/Agent/triage", "--to", "7", "--why", "it's nonsense", "--in-git", str(world.repo)
    )

    assert done.exit_code == 0, done.stderr
    assert world.git("diff", "-U0").splitlines()[-1] == '+  release: {version: "7"}'
    command = shlex.split(done.last_line)
    assert command[-1] == "triage.yaml"
    assert "it's nonsense" in command
    identity = ["-c", "user.name=Dev", "-c", "user.email=dev@example.com"]
    subprocess.run([command[0], *identity, *command[1:]], check=True, capture_output=True)
    assert world.git("status", "--porcelain") == ""
    assert world.git("log", "-1", "--format=%s") == "Roll triage back to 7"

    undone = world.run("rollback", "prod/Agent/triage", "--undo", "--in-git", str(world.repo))

    assert undone.exit_code == 0, undone.stderr
    assert world.git("diff", "HEAD~1") == ""


@pytest.mark.rule("R2")
def test_what_is_rolled_back_in_git_serves_after_the_next_apply(world: World) -> None:
    world.agent("triage")
    world.commit()
    world.apply()
    world.agent("triage", prompt("Answer at length."))
    world.commit()
    world.apply()
    assert world.numbers("triage") == ["2", "1"]

    world.run("rollback", "prod/Agent/triage", "--to", "1", "--in-git", str(world.repo))
    world.commit()
    world.apply()

    assert world.traffic("triage") == [("1", 100)]
    assert world.numbers("triage") == ["2", "1"]
    world.in_sync()


def test_further_projects_of_the_same_manifest_are_named(world: World) -> None:
    world.project("stage", endpoint=world.endpoint + "-stage", owner="x#stage")
    world.agent("triage")
    world.commit()

    done = world.run("rollback", "prod/Agent/triage", "--to", "7", "--in-git", str(world.repo))

    assert "The same manifest serves the Projects stage: they change too." in done.stdout


@pytest.mark.parametrize(
    ("change", "target", "said"),
    [
        pytest.param({}, "prd/Agent/triage", "prod", id="project"),
        pytest.param({}, "prod/Agent/triag", "triag", id="agent"),
        pytest.param({"path": "nowhere"}, "prod/Agent/triage", "is no folder", id="folder"),
        pytest.param({"agent": "kind: ["}, "prod/Agent/triage", "triage.yaml:", id="broken"),
        pytest.param(
            {"release": {"version": "7"}}, "prod/Agent/triage", "has version 7 already", id="the-same"
        ),
        pytest.param(
            {"release": {"strategy": "manual"}, "endpoint": {"version_selector": {}}},
            "prod/Agent/triage",
            "version",
            id="manual",
        ),
    ],
)
def test_a_manifest_that_cannot_say_it_stays_as_it_was(
    world: World, change: dict[str, object], target: str, said: str
) -> None:
    spec = {"definition": prompt(), **{key: change[key] for key in ("release", "endpoint") if key in change}}
    world.write("agents/triage.yaml", manifest("Agent", "triage", spec))
    if "agent" in change:
        world.write("agents/triage.yaml", str(change["agent"]))
    world.commit()

    path = str(world.repo / str(change.get("path", "")))
    done = world.run("rollback", target, "--to", "7", "--in-git", path)

    assert done.exit_code == 1
    assert said in done.stderr
    assert world.git("status", "--porcelain") == ""


@pytest.mark.parametrize("version", ["abc", "0", "v7", '7"}, x: {"', "1" * 11])
def test_what_is_no_version_never_gets_into_a_manifest(world: World, version: str) -> None:
    world.agent("triage")
    world.commit()

    done = world.run("rollback", "prod/Agent/triage", "--to", version, "--in-git", str(world.repo))

    assert done.exit_code == 1
    assert "is no version" in done.stderr
    assert "Write the number of a version, such as 7." in done.stderr
    assert world.git("status", "--porcelain") == ""


def test_a_patch_that_decides_the_version_is_not_fought(world: World) -> None:
    patch = {"target": {"kind": "Agent", "name": "triage"}, "merge": {"spec": {"release": {"version": "3"}}}}
    world.project("prod", patches=[patch])
    world.agent("triage")
    world.commit()

    done = world.run("rollback", "prod/Agent/triage", "--to", "7", "--in-git", str(world.repo))

    assert done.exit_code == 1
    assert "would still say version '3'" in done.stderr
    assert world.git("status", "--porcelain") == ""


# A manifest below its head, lines parted by `|`, and the same with version 7.
EDITS = {
    "block-text": (
        "spec:|  d:|    a: >|      x||# end|",
        "spec:|  d:|    a: >|      x||  release: {}|# end|",
    ),
    "block-release": (
        "spec:|  release:|    keep: 3 # k|  # why|  b: 2|",
        "spec:|  release:|    keep: 3 # k|    version: <>|  # why|  b: 2|",
    ),
    "replaced": (
        "spec:|  release:|    version: 6   # because|",
        "spec:|  release:|    version: <>   # because|",
    ),
    "braces": ("spec:|  release: {keep: 3}|", "spec:|  release: {version: <>, keep: 3}|"),
    "empty-braces": ("spec:|  release: { }|  a: 1|", "spec:|  release: {}|  a: 1|"),
    "nothing": ("spec:|  release:|  a: 1|", "spec:|  release: {}|  a: 1|"),
    "null": ("spec:|  release: ~|", "spec:|  release: {}|"),
    "spec-in-braces": ("spec: {a: 1}|", "spec: {release: {}, a: 1}|"),
    "no-line-end": ("spec:|  a: 1", "spec:|  a: 1|  release: {}|"),
    "two-lines": ("spec:|  a: 'x|     y'  # c|", "spec:|  a: 'x|     y'  # c|  release: {}|"),
    "list": ("spec:|  t:|  - x|  -  y: 1|", "spec:|  t:|  - x|  -  y: 1|  release: {}|"),
    "documents": ("spec:|    a: 1|...|---|kind: X|", "spec:|    a: 1|    release: {}|...|---|kind: X|"),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("case", EDITS)
def test_only_the_version_changes_in_the_text(case: str, newline: str) -> None:
    before, after = (HEAD.replace("\n", "|") + text for text in EDITS[case])
    after = after.replace("{}", "{version: <>}").replace("<>", '"7"')

    edited = with_version(before.replace("|", newline), "Agent", "triage", "7")

    assert edited == after.replace("|", newline)


def test_json_stays_json() -> None:
    text = '{"kind": "Agent", "metadata": {"name": "triage"}, "spec": {"a": 1}}'

    assert with_version(text, "Agent", "triage", "7") == text.replace(
        '{"a"', '{"release": {"version": "7"}, "a"'
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(HEAD.replace("triage", "other"), "no document in it is Agent/triage", id="other"),
        pytest.param(HEAD, "it has no `spec`", id="no-spec"),
        pytest.param(HEAD + "spec: [1]\n", "it has no `spec`", id="list"),
        pytest.param(HEAD + "spec: {release: pinned}\n", "`release` is no mapping", id="text"),
        pytest.param("a: &x 1\nb: *x\n", "", id="alias"),
    ],
)
def test_a_layout_that_is_not_known_is_left_alone(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be edited safely") as caught:
        with_version(text, "Agent", "triage", "7")

    assert said in str(caught.value)
    assert "by hand" in caught.value.hint


WORDS = st.text("ab #:-'\"|>\n{}[],&*!%@`\t", max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
RELEASES = st.fixed_dictionaries({}, optional={"keep": st.integers(1, 9), "version": st.just("3")})


@given(
    st.dictionaries(st.sampled_from("abcd"), VALUES, min_size=1, max_size=3),
    st.none() | RELEASES,
    st.sampled_from([True, False, None]),
    st.sampled_from([None, '"', "'", "|", ">"]),
    st.booleans(),
)
def test_whatever_is_written_around_it_stays(
    spec: dict[str, object],
    release: dict[str, object] | None,
    flow: bool | None,
    style: str | None,
    first: bool,
) -> None:
    whole = {"release": release, **spec} if first else {**spec, "release": release}
    body = {"kind": "Agent", "metadata": {"name": "triage"}, "spec": spec if release is None else whole}
    text = yaml.safe_dump(body, default_flow_style=flow, default_style=style, sort_keys=False)  # type: ignore[arg-type]

    try:
        edited = with_version(text, "Agent", "triage", "7")
    except InvalidInput:
        return
    wanted = {**body["spec"], "release": {**(release or {}), "version": "7"}}  # type: ignore[dict-item]
    assert yaml.safe_load(edited) == {**body, "spec": wanted}
    back = with_version(edited, "Agent", "triage", None)
    rest = {key: value for key, value in (release or {}).items() if key != "version"}
    kept = {**spec, **({"release": rest} if rest else {})}
    assert yaml.safe_load(back) == {**body, "spec": kept}
