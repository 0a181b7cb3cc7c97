"""Stories of `import`: code, marks, files that are there, what is left out, and every message."""

from __future__ import annotations

import io
import json
import os
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_import_matrix import CLEAN, failed, imported, no_changes, rules, spec_of, v, version
from tests.world import OWNER, PREVIEWS, World, hosted, manifest, prompt

CODE = {
    "kind": "hosted",
    "cpu": "1",
    "memory": "2Gi",
    "protocol_versions": [{"protocol": "responses", "version": "2.0.0"}],
    "code_configuration": {
        "runtime": "python_3_13",
        "entry_point": ["python", "main.py"],
        "dependency_resolution": "remote_build",
    },
}


def zipped(files: dict[str, bytes | str], *, links: tuple[str, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6))
            entry.external_attr = (0o120777 if name in links else 0o100755) << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def upload(world: World, name: str, content: bytes) -> None:
    """Another tool deploys code."""
    fence = "fence"
    parts = [
        f'--{fence}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n'.encode(),
        json.dumps({"definition": CODE}).encode(),
        f'\r\n--{fence}\r\nContent-Disposition: form-data; name="code"; filename="code.zip"\r\n\r\n'.encode(),
        content,
        f"\r\n--{fence}--\r\n".encode(),
    ]
    url = f"{world.endpoint}/agents/{name}/versions?api-version=v1"
    request = urllib.request.Request(url, b"".join(parts), method="POST")
    request.add_header("Content-Type", f"multipart/form-data; boundary={fence}")
    request.add_header("Foundry-Features", PREVIEWS)
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


@pytest.fixture
def ready(bare_world: World) -> World:
    """A project where hosted versions start at once, and no folder yet."""
    bare_world.settings(provisioning={"delay_s": 0})
    return bare_world


# Code


def test_code_of_another_tool_is_pinned_since_its_zip_differs(ready: World) -> None:
    upload(ready, "coder", zipped({"main.py": "print(1)\n", "requirements.txt": "x\n", "lib/a.py": ""}))

    done = imported(ready)

    assert done.exit_code == 0, done.stdout + done.stderr
    assert "pinned by `release.version`: the zip made from this folder has other bytes" in done.stdout
    assert (ready.repo / "code/coder/main.py").read_text() == "print(1)\n"
    assert spec_of(ready, "coder")["release"] == {"version": "1"}
    assert spec_of(ready, "coder")["code"] == {"path": "../code/coder"}
    no_changes(ready)


def test_removing_the_pin_releases_the_folder(ready: World) -> None:
    upload(ready, "coder", zipped({"main.py": "print(1)\n", "requirements.txt": "x\n"}))
    imported(ready)
    enforce(ready)
    file = ready.repo / "agents/coder.yaml"
    text = file.read_text()
    file.write_text(text[: text.index("  release:")])

    done = ready.apply("--yes")

    assert done.exit_code == 0, done.stdout + done.stderr
    assert ready.numbers("coder") == ["2", "1"]
    no_changes(ready)


def test_code_that_we_deployed_needs_no_pin(world: World) -> None:
    world.settings(provisioning={"delay_s": 0})
    world.agent("coder", CODE, code={"path": "../src"})
    world.write("src/main.py", "print(1)\n")
    world.write("src/requirements.txt", "x\n")
    world.commit()
    assert world.apply("--yes").exit_code == 0
    world.repo = world.repo.parent / "fresh"

    done = imported(world)

    assert done.exit_code == 0, done.stdout + done.stderr
    assert "release" not in spec_of(world, "coder")
    assert f"carries the mark of `{OWNER}`" in done.stdout
    no_changes(world)


def test_files_that_are_left_out_by_default_are_taken_back(ready: World) -> None:
    upload(ready, "coder", zipped({"main.py": "", "requirements.txt": "", "bin/run": "x", "Dockerfile": "y"}))

    done = imported(ready)

    assert "`.agentignore` takes back files" in done.stdout
    rules = (ready.repo / "code/coder/.agentignore").read_text().splitlines()
    assert {"!/bin/run", "!/Dockerfile"} <= set(rules)
    no_changes(ready)


def test_secrets_in_code_stay_out_of_git(ready: World) -> None:
    upload(
        ready, "coder", zipped({"main.py": "", "requirements.txt": "", ".env": "KEY=1", ".git/config": "x"})
    )

    done = imported(ready)

    assert "left out of the code: .env" in done.stdout
    assert "left out of the code: .git/config" in done.stdout
    assert not (ready.repo / "code/coder/.env").exists()
    assert not (ready.repo / "code/coder/.git").exists()
    no_changes(ready)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        pytest.param("../evil.py", "leaves its folder", id="parent"),
        pytest.param("a/../../evil.py", "leaves its folder", id="parent-inside"),
        pytest.param("/etc/evil.py", "leaves its folder", id="absolute"),
        pytest.param("C:evil.py", "is no name for a file", id="drive"),
        pytest.param("a\\..\\evil.py", "is no name for a file", id="backslash"),
        pytest.param("evil\x1b[2J.py", "is no name for a file", id="terminal-escape"),
        pytest.param("a//evil.py", "is no name for a file", id="empty-part"),
        pytest.param("link", "is a symbolic link", id="link"),
        pytest.param("MAIN.py", "are one file on some machines", id="equal-but-for-case"),
        pytest.param("main.py/x", "is a file and a folder", id="file-as-folder"),
    ],
)
def test_a_zip_that_would_write_elsewhere_is_left_out(ready: World, name: str, why: str) -> None:
    upload(ready, "coder", zipped({"main.py": "", name: "boom"}, links=("link",)))

    done = imported(ready)

    assert done.exit_code == 4
    assert "coder: its code zip is not safe to unpack: " in done.stdout
    assert why in done.stdout
    assert "\x1b" not in done.stdout
    assert not (ready.repo / "code").exists()
    assert not list(ready.repo.parent.glob("evil*"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"no zip at all", "it is no readable zip", id="garbage"),
        pytest.param(zipped({"main.py": "x" * 50})[:-30], "it is no readable zip", id="cut-off"),
    ],
)
def test_what_is_no_zip_is_left_out(ready: World, content: bytes, why: str) -> None:
    upload(ready, "coder", content)

    done = imported(ready)

    assert done.exit_code == 4
    assert why in done.stdout


def test_code_that_cannot_be_downloaded_is_left_out(ready: World) -> None:
    ready.seed({"name": "coder", "versions": [version(CODE)]})

    done = imported(ready)

    assert done.exit_code == 4
    assert "coder: cannot download the code of agent coder version 1" in done.stdout
    assert not (ready.repo / "project.yaml").exists()


def test_files_of_somebody_in_the_code_folder_are_not_released(ready: World) -> None:
    upload(ready, "coder", zipped({"main.py": "", "requirements.txt": ""}))
    (ready.repo / "code/coder").mkdir(parents=True)
    (ready.repo / "code/coder/mine.py").write_text("secret")

    done = imported(ready)

    assert "code/coder/mine.py is not in the deployed code and would be released" in done.stdout
    assert "Move the folder away, then import again." in done.stdout


# Marks


def enforce(world: World) -> None:
    file = world.repo / "project.yaml"
    file.write_text(file.read_text().replace("mode: observe", "mode: enforce"))


@pytest.mark.rule("M4")
def test_agents_of_another_owner_plan_as_no_change_and_say_so(world: World) -> None:
    world.agent("triage")
    world.commit()
    assert world.apply("--yes").exit_code == 0
    world.repo = world.repo.parent / "other"

    done = imported(world)

    assert (
        f"carries the mark of `{OWNER}`; updates need that owner, `owner_aliases` or --take-over"
        in done.stdout
    )
    no_changes(world)


def test_our_own_agents_come_back_into_an_empty_repository(world: World) -> None:
    world.agent("triage")
    world.agent("sorter", prompt("Sort."), description="Sorts")
    world.commit()
    assert world.apply("--yes").exit_code == 0
    world.remove("agents/triage.yaml", "agents/sorter.yaml")

    done = world.run("import", str(world.repo))

    assert (done.exit_code, CLEAN in done.stdout) == (0, True), done.stdout + done.stderr
    assert "carries the mark" not in done.stdout
    world.commit()
    world.in_sync()


def test_a_newer_equal_version_of_ours_that_does_not_serve_is_not_released(world: World) -> None:
    world.agent("triage", prompt("One."))
    world.commit()
    assert world.apply("--yes").exit_code == 0
    world.agent("triage", prompt("Two."))
    world.commit()
    assert world.apply("--yes").exit_code == 0
    world.edit("triage", instructions="Two.")
    world.select("triage", v3=100)
    world.select("triage", v1=100)
    world.remove("agents/triage.yaml")

    done = world.run("import", str(world.repo))

    assert done.exit_code == 0, done.stdout + done.stderr
    assert spec_of(world, "triage")["definition"] == prompt("One.")
    world.commit()
    world.in_sync()


def test_an_agent_of_ours_that_is_left_out_and_would_be_deleted_is_told(world: World) -> None:
    world.agent("triage", prompt("One."))
    world.agent("other")
    world.commit()
    assert world.apply("--yes").exit_code == 0
    world.seed({"name": "triage", "versions": [failed(2)]})
    world.remove("agents/triage.yaml")
    world.commit()

    done = world.run("import", str(world.repo))

    assert done.exit_code == 4
    assert "Careful: `apply` would delete triage." in done.stdout
    assert "list the names under `sync.forget`" in done.stdout


@pytest.mark.rule("M5")
def test_an_imported_agent_is_adopted_by_the_first_change(ready: World) -> None:
    ready.seed({"name": "it", "versions": [v(1), v(2)], "selector": rules(v1=100)})
    imported(ready)
    enforce(ready)
    file = ready.repo / "agents/it.yaml"
    file.write_text(file.read_text().replace("Version 1.", "Version 1, better."))

    done = ready.apply("--yes")

    assert done.exit_code == 0, done.stdout + done.stderr
    assert ready.traffic("it") == [("3", 100)]
    no_changes(ready)


# Secrets


@pytest.mark.rule("P11")
def test_secrets_in_the_environment_stay_out_of_git_and_live(ready: World) -> None:
    secret = "sk-abcdefghijklmnop1234567890"
    definition = hosted(environment_variables={"OPENAI_API_KEY": secret, "LOG_LEVEL": "INFO"})
    ready.seed({"name": "it", "versions": [version(definition)]})

    done = imported(ready)

    assert "its value was left out of Git: /definition/environment_variables/OPENAI_API_KEY" in done.stdout
    assert secret not in done.stdout + (ready.repo / "agents/it.yaml").read_text()
    no_changes(ready)
    enforce(ready)
    file = ready.repo / "agents/it.yaml"
    file.write_text(file.read_text().replace("INFO", "DEBUG"))
    assert ready.apply("--yes").exit_code == 0
    live = ready.live("it")["versions"]["latest"]["definition"]["environment_variables"]  # type: ignore[index]
    assert live == {"OPENAI_API_KEY": secret, "LOG_LEVEL": "DEBUG"}
    no_changes(ready)


# Files


def test_long_prompts_become_files(ready: World) -> None:
    text = "# Rules\n" + "Be brief: ${NAME} {{x}}\n" * 60
    ready.seed({"name": "it", "versions": [version(prompt(text))]})

    done = imported(ready)

    assert "agents/it.yaml  version 1, with 1 file beside it" in done.stdout
    assert spec_of(ready, "it")["definition"]["instructions"] == {"$file": "prompts/it.md"}
    assert (ready.repo / "agents/prompts/it.md").read_bytes() == text.encode()
    no_changes(ready)


@pytest.mark.parametrize("text", ["x\r\n" * 60, "\ufeffx\n" + "y\n" * 60], ids=["crlf", "mark-at-the-start"])
def test_long_prompts_that_no_file_can_hold_stay_in_the_manifest(ready: World, text: str) -> None:
    ready.seed({"name": "it", "versions": [version(prompt(text))]})

    imported(ready)

    assert spec_of(ready, "it")["definition"]["instructions"] == text
    no_changes(ready)


def test_a_second_import_keeps_what_is_there(ready: World) -> None:
    ready.seed({"name": "it", "versions": [v(1)]})
    imported(ready)
    ready.seed({"name": "new", "versions": [v(1)]})
    file = ready.repo / "agents/it.yaml"
    file.write_text("# mine\n" + file.read_text())

    done = imported(ready)

    assert "it: is in Git already: agents/it.yaml" in done.stdout
    assert "--overwrite replaces it." in done.stdout
    assert file.read_text().startswith("# mine")
    assert (done.exit_code, "agents/new.yaml" in done.stdout) == (0, True)
    no_changes(ready)


def test_overwrite_takes_the_live_state(ready: World) -> None:
    ready.seed({"name": "it", "versions": [v(1)]})
    imported(ready)
    ready.edit("it", instructions="Edited in the portal.")
    assert ready.plan().exit_code == 2

    done = imported(ready, "--overwrite")

    assert done.exit_code == 0, done.stdout + done.stderr
    assert spec_of(ready, "it")["definition"]["instructions"] == "Edited in the portal."
    no_changes(ready)


def test_a_file_without_a_manifest_is_not_overwritten(ready: World) -> None:
    ready.seed({"name": "it", "versions": [v(1)]})
    ready.write("agents/it.yaml", "mine: true\n")

    done = imported(ready)

    assert "agents/it.yaml exists" in done.stdout
    assert (ready.repo / "agents/it.yaml").read_text() == "mine: true\n"


def test_a_symbolic_link_is_never_written_through(ready: World) -> None:
    ready.seed({"name": "it", "versions": [v(1)]})
    outside = ready.repo.parent / "outside.yaml"
    outside.write_text("precious")
    (ready.repo / "agents").mkdir(parents=True)
    (ready.repo / "agents/it.yaml").symlink_to(outside)

    kept = imported(ready)
    done = imported(ready, "--overwrite")

    assert "agents/it.yaml exists" in kept.stdout
    assert done.exit_code == 0, done.stdout + done.stderr
    assert outside.read_text() == "precious"
    no_changes(ready)


@pytest.mark.parametrize("name", ["con", "Aux", "lpt1"])
def test_names_that_windows_keeps_for_devices_get_other_files(ready: World, name: str) -> None:
    ready.seed({"name": name, "versions": [v(1)]})

    imported(ready)

    assert (ready.repo / f"agents/{name}-agent.yaml").exists()
    no_changes(ready)


def test_only_imports_what_it_names(ready: World) -> None:
    ready.seed({"name": "a", "versions": [v(1)]}, {"name": "b", "versions": [v(1)]})

    done = imported(ready, "--only", "Agent/b")

    assert os.listdir(ready.repo / "agents") == ["b.yaml"]
    assert done.exit_code == 0
    no_changes(ready)


def test_an_empty_project_writes_nothing(ready: World) -> None:
    done = imported(ready)

    assert (done.exit_code, "There is nothing to import, and nothing was written." in done.stdout) == (
        0,
        True,
    )
    assert not ready.repo.exists()


# What is left out


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        pytest.param(
            {"versions": [v(1), failed(2)]},
            "version 2 takes its traffic and is failed, so that nothing serves",
            id="failed-latest-serves",
        ),
        pytest.param(
            {"versions": [v(1), {**v(2), "status": "creating"}]},
            "version 2 is still being made",
            id="creating-latest-serves",
        ),
        pytest.param(
            {"versions": [failed(1), failed(2)], "selector": rules(v1=50, v2=50)},
            "version 1:50,2:50 takes its traffic and is failed",
            id="split-of-failed-versions",
        ),
        pytest.param(
            {"versions": [version(prompt(structured_inputs={"x": {"default_value": {"$value": "Y"}}}))]},
            "`/definition/structured_inputs/x/default_value` holds a key that manifests read as their own",
            id="literal-value",
        ),
        pytest.param(
            {"versions": [version(prompt(structured_inputs={"x": {"default_value": {"$file": "it.yaml"}}}))]},
            "holds a key that manifests read as their own",
            id="literal-file",
        ),
        pytest.param(
            {"versions": [version({"kind": "robot", "model": "m"})]},
            "definition.kind: unknown `kind` `robot`",
            id="unknown-kind",
        ),
        pytest.param(
            {"versions": [version(prompt(temperature="hot"))]},
            "definition.temperature",
            id="wrong-type",
        ),
    ],
)
def test_what_cannot_plan_as_no_change_is_left_out_with_a_reason(
    ready: World, live: dict[str, Any], reason: str
) -> None:
    ready.seed({"name": "it", **live}, {"name": "good", "versions": [v(1)]})

    done = imported(ready)

    assert done.exit_code == 4
    assert "- it: " in done.stdout
    assert reason in done.stdout
    assert done.stdout.split("- it: ")[1].splitlines()[1].strip().startswith("→ ")
    assert not (ready.repo / "agents/it.yaml").exists()
    no_changes(ready)


@pytest.mark.rule("I5")
def test_names_equal_but_for_case_are_not_both_imported(ready: World) -> None:
    ready.seed({"name": "Triage", "versions": [v(1)]}, {"name": "triage", "versions": [v(2)]})

    done = imported(ready)

    assert done.exit_code == 4
    assert "triage: differs only by case from Triage" in done.stdout
    assert os.listdir(ready.repo / "agents") == ["Triage.yaml"]
    no_changes(ready)


# Which Project


def test_the_project_file_of_the_folder_names_the_endpoint(world: World) -> None:
    world.seed({"name": "it", "versions": [v(1)]})

    done = world.run("import", str(world.repo), "--project-file", str(world.repo / "prod.yaml"))

    assert done.exit_code == 0, done.stdout + done.stderr
    assert not (world.repo / "project.yaml").exists()
    world.commit()
    world.in_sync()


def test_a_selector_of_the_project_becomes_labels(bare_world: World) -> None:
    bare_world.start(selector={"team": "support"})
    bare_world.seed({"name": "it", "versions": [v(1)]})

    done = bare_world.run("import", str(bare_world.repo))

    assert done.exit_code == 0, done.stdout + done.stderr
    assert "labels: {team: support}" in (bare_world.repo / "agents/it.yaml").read_text()
    bare_world.commit()
    bare_world.in_sync()


def test_the_owner_is_written_out_from_the_remote(bare_world: World) -> None:
    bare_world.repo.mkdir()
    bare_world.git("init", "-q", "-b", "main")
    bare_world.git("remote", "add", "origin", "https://token@github.com/acme/agents.git")
    bare_world.seed({"name": "it", "versions": [v(1)]})

    imported(bare_world, "--name", "prod")

    assert "owner: github.com/acme/agents#prod\n" in (bare_world.repo / "project.yaml").read_text()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        pytest.param([], ("which project shall be imported?", "--endpoint https://"), id="no-endpoint"),
        pytest.param(
            ["--endpoint", "ftp://x"], ("--endpoint 'ftp://x': ", "Write https://"), id="no-endpoint-form"
        ),
        pytest.param(
            ["--endpoint", "http://10.0.0.1/api/projects/x"],
            ("plain http would send the token in the open", ""),
            id="plain-http",
        ),
        pytest.param(
            ["--endpoint", "sandbox://x", "--project-file", "p.yaml"],
            ("both --endpoint and --project-file", "one of the two"),
            id="both",
        ),
        pytest.param(["--project-file", "no.yaml"], ("no file no.yaml", "kind: Project"), id="no-file"),
        pytest.param(
            ["--endpoint", "sandbox://x", "--name", "a b"],
            ("`a b` is no name for a Project", "letters, digits and hyphens"),
            id="no-name",
        ),
    ],
)
def test_flags_that_name_no_project(tmp_path: Path, args: list[str], said: tuple[str, str]) -> None:
    done = World("http://127.0.0.1:9", "x", tmp_path / "repo").run("import", str(tmp_path / "repo"), *args)

    assert done.exit_code == 1
    assert all(part in done.stderr for part in said), done.stderr


def test_an_unknown_name_in_only_is_an_error(ready: World) -> None:
    ready.seed({"name": "triage", "versions": [v(1)]})

    done = imported(ready, "--only", "Agent/triagee")

    assert done.exit_code == 1
    assert "no live agent `Agent/triagee`" in done.stderr
    assert "Did you mean `Agent/triage`?" in done.stderr


def test_a_project_that_takes_other_files_is_an_error(bare_world: World) -> None:
    bare_world.start(resources=["elsewhere/*.yaml"])

    done = bare_world.run("import", str(bare_world.repo))

    assert done.exit_code == 1
    assert "the Project `prod` does not take files from" in done.stderr
    assert "`resources`" in done.stderr


def test_another_project_that_would_take_the_files_too_is_an_error(world: World) -> None:
    done = world.run("import", str(world.repo), "--endpoint", "sandbox://other")

    assert done.exit_code == 1
    assert "the Project `prod` takes every file of" in done.stderr
    assert "narrow the `resources` in prod.yaml" in done.stderr


def test_two_projects_of_a_folder_need_a_name(bare_world: World) -> None:
    bare_world.start(resources=["agents/*.yaml"])
    bare_world.project("stage", resources=["stage/*.yaml"])

    done = bare_world.run("import", str(bare_world.repo))

    assert done.exit_code == 1
    assert "several Projects fit" in done.stderr
    assert "prod in prod.yaml, stage in stage.yaml" in done.stderr
    assert "Choose one with --name, or with --project-file FILE." in done.stderr


def test_a_project_file_outside_of_the_folder_is_an_error(world: World, tmp_path: Path) -> None:
    file = str(world.repo / "prod.yaml")

    done = world.run("import", str(tmp_path / "elsewhere"), "--project-file", file)

    assert done.exit_code == 1
    assert "is not in the source of" in done.stderr


def test_a_folder_below_the_project_is_fine(world: World) -> None:
    world.seed({"name": "it", "versions": [v(1)]})

    done = world.run("import", str(world.repo / "teams/a"), "--project-file", str(world.repo / "prod.yaml"))

    assert done.exit_code == 0, done.stdout + done.stderr
    assert (world.repo / "teams/a/agents/it.yaml").exists()
    world.commit()
    world.in_sync()


def test_files_that_git_ignores_are_told(world: World) -> None:
    world.seed({"name": "it", "versions": [v(1)]})
    world.write(".gitignore", "agents/\n")

    done = world.run("import", str(world.repo))

    assert done.exit_code == 4
    assert "would still change: it." in done.stdout


def test_a_service_that_refuses_is_an_error(ready: World) -> None:
    ready.own("PUT", "faults", [{"match": {"path": "/agents"}, "action": {"status": 403}}])

    done = imported(ready)

    assert done.exit_code == 1
    assert "cannot list the agents" in done.stderr
    assert not ready.repo.exists()


def test_a_folder_that_cannot_be_made_is_an_error(ready: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ready.repo = tmp_path / "file" / "below"

    done = imported(ready)

    assert done.exit_code == 1
    assert f"cannot make the folder {ready.repo}" in done.stderr
    assert "Who may write there?" in done.stderr


def test_a_manifest_elsewhere_in_the_project_counts(world: World) -> None:
    world.seed({"name": "it", "versions": [v(1)]})
    world.write("mine/it.yaml", manifest("Agent", "it", {"definition": prompt("Version 1.")}))

    done = world.run("import", str(world.repo), "--overwrite")

    assert "it: is in Git already: mine/it.yaml" in done.stdout
    assert "Remove it there first" in done.stdout
    assert not (world.repo / "agents").exists()
