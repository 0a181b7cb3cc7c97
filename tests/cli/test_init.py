"""`init` writes what works at once, and never over anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.world import Result, World

IN_SYNC = "No changes. Live agents match the manifests."


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty folder, and a sandbox state of its own."""
    return World("", "x", tmp_path / "my agents_2", {"RECONCILER_SANDBOX_STATE": str(tmp_path / "state.db")})


def init(world: World, *args: str) -> Result:
    return world.run("init", str(world.repo), *args)


def project(world: World) -> dict[str, object]:
    spec: dict[str, object] = yaml.safe_load((world.repo / "project.yaml").read_text())["spec"]
    return spec


def test_init_plan_apply_works_at_once(world: World) -> None:
    written = init(world)

    assert written.exit_code == 0, written.stderr
    assert world.run("validate", str(world.repo)).exit_code == 0
    assert world.plan().exit_code == 2
    assert world.apply("--yes").last_line == "Apply complete! Resources: 1 added, 0 changed, 0 destroyed."
    assert world.plan().last_line == IN_SYNC


def test_it_prints_the_next_three_commands(world: World) -> None:
    next_lines = init(world).stdout.split("Next:\n")[1].splitlines()

    assert [line.split("  ")[1].split(str(world.repo))[0].strip("' ") for line in next_lines] == [
        "reconciler validate",
        "reconciler plan",
        "reconciler apply",
    ]


def test_the_owner_is_written_out_from_the_remote(world: World) -> None:
    world.repo.mkdir()
    world.git("init", "-q", "-b", "main")
    world.git("remote", "add", "origin", "git@github.com:acme/agents.git")

    init(world, "--name", "prod")

    assert project(world)["owner"] == "github.com/acme/agents#prod"


def test_the_owner_outside_of_git_says_so(world: World) -> None:
    init(world)

    assert project(world)["owner"] == "local#my-agents-2"


def test_the_project_says_that_removed_manifests_delete(world: World) -> None:
    init(world)
    text = (world.repo / "project.yaml").read_text()

    assert project(world)["sync"] == {"mode": "enforce", "prune": True}
    assert "an agent whose manifest is removed from here is deleted" in text
    assert project(world)["endpoint"] == "sandbox://my-agents-2"


def test_a_real_endpoint_is_taken(world: World) -> None:
    endpoint = "https://acct.services.ai.azure.com/api/projects/prod"

    init(world, "--endpoint", endpoint)

    assert project(world)["endpoint"] == endpoint
    assert world.run("validate", str(world.repo)).exit_code == 0


def test_a_workflow_is_written_only_when_asked_for(world: World) -> None:
    assert not (init(world) and (world.repo / ".github").exists())
    world.repo = world.repo.parent / "other"

    init(world, "--github")

    steps = yaml.safe_load((world.repo / ".github/workflows/reconciler.yml").read_text())["jobs"]["agents"][
        "steps"
    ]
    runs = [step["run"] for step in steps if "run" in step]
    # Never a name of a public index: whoever registers it there would get the job's token.
    assert runs[0] == 'pip install "$RECONCILER"'
    assert [step["env"] for step in steps if "env" in step] == [{"RECONCILER": "${{ vars.RECONCILER }}"}]
    assert runs[-3:] == [
        "reconciler validate .",
        "reconciler plan . || test $? -eq 2",
        "reconciler apply . --yes",
    ]
    assert world.run("validate", str(world.repo)).exit_code == 0


@pytest.mark.parametrize("there", ["project.yaml", "agents/hello.yaml"])
def test_nothing_is_overwritten(world: World, there: str) -> None:
    world.write(there, "mine")

    done = init(world)

    assert done.exit_code == 1
    assert f"{world.repo / there} exists, so nothing was written" in done.stderr
    assert "init never overwrites" in done.stderr
    assert [path.name for path in world.repo.rglob("*") if path.is_file()] == [Path(there).name]


def test_a_dangling_link_is_not_written_through(world: World) -> None:
    world.repo.mkdir()
    (world.repo / "project.yaml").symlink_to(world.repo.parent / "outside.yaml")

    done = init(world)

    assert done.exit_code == 1
    assert not (world.repo.parent / "outside.yaml").exists()


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        pytest.param(["--name", "a b"], "`a b` is no name for a Project", "letters, digits", id="name"),
        pytest.param(
            ["--endpoint", "https://x.example.com"],
            "--endpoint 'https://x.example.com': this is not the endpoint of a project",
            "/api/projects/NAME",
            id="no-project-path",
        ),
        pytest.param(
            ["--endpoint", "https://me:hunter22@x.example.com/api/projects/p"],
            "an endpoint has no login",
            "",
            id="login",
        ),
    ],
)
def test_flags_that_make_no_project(world: World, args: list[str], message: str, hint: str) -> None:
    done = init(world, *args)

    assert done.exit_code == 1
    assert message in done.stderr
    assert hint in done.stderr
    assert "hunter22" not in done.stderr
    assert not world.repo.exists()


def test_a_folder_that_cannot_be_made_is_an_error(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    world.repo = tmp_path / "file" / "below"

    done = init(world)

    assert done.exit_code == 1
    assert "cannot write" in done.stderr
    assert "who may write there?" in done.stderr
