"""What docs/deploy.md shows is true: its files are valid, its commands run or say what they need."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from reconciler.service.config import load_config
from tests.deploy import laws
from tests.deploy.github_action import ACTION
from tests.deploy.rendering import ROOT, VERSIONS, render, validate
from tests.deploy.test_action import actionlint
from tests.deploy.test_ci_templates import AZURE, GITLAB

PAGE: Final = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
_FENCES: Final = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
FILES: Final = {name: text for language, name, text in _FENCES if language == "yaml"}
COMMANDS: Final = [(mark, text) for language, mark, text in _FENCES if language == "sh"]


def values(*names: str) -> dict[str, Any]:
    """Files of values as Helm takes them together."""
    together: dict[str, Any] = {}
    for name in names:
        together = _merged(together, yaml.safe_load(FILES[name]))
    return together


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = _merged(one[key], other[key])
    return both


def test_every_block_says_where_it_runs() -> None:
    assert {mark for mark, _ in COMMANDS} == {"here", "docker", "cluster", "azure"}
    assert all(name for language, name, _ in _FENCES if language == "yaml")


def test_commands_for_here_run_here(tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text(FILES["service.yaml"])
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for mark, text in COMMANDS:
        if mark == "here":
            ended = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
            )
            assert ended.returncode == 0, ended.stderr

    assert load_config(tmp_path / "service.yaml", {}).spec.auth


@pytest.mark.parametrize("mark", ["here", "docker", "cluster", "azure"])
def test_commands_are_bash(mark: str) -> None:
    for text in (text for each, text in COMMANDS if each == mark):
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.xdist_group("helm")
@pytest.mark.parametrize(
    "names",
    [("values.yaml",), ("values.yaml", "identity.yaml"), ("values.yaml", "identity.yaml", "replicas.yaml")],
    ids=["one", "identity", "replicas"],
)
def test_values_can_be_installed(names: tuple[str, ...], tmp_path: Path) -> None:
    rendered = render(values(*names), name="reconciler")
    for document in rendered.documents:
        validate(document, VERSIONS[-1])

    laws.loaded(rendered, tmp_path)
    # As the federated credential and the commands name them.
    assert rendered.one("ServiceAccount")["metadata"]["name"] == "reconciler"
    assert rendered.one("Deployment")["metadata"]["name"] == "reconciler"
    assert all(job["metadata"]["name"] == "reconciler-migration" for job in rendered.of("Job"))


def test_the_copy_of_a_store_in_use_is_whole(tmp_path: Path) -> None:
    (code,) = re.findall(r"python -c \"(.*)\"$", PAGE, flags=re.MULTILINE)
    code = code.replace("/var/lib/reconciler", str(tmp_path)).replace("/tmp/copy.db", f"{tmp_path}/copy.db")
    with sqlite3.connect(tmp_path / "store.db") as used:
        used.execute("PRAGMA journal_mode = WAL")
        used.execute("CREATE TABLE run (id INTEGER)")
        used.execute("INSERT INTO run VALUES (1)")
        used.commit()
        subprocess.run([sys.executable, "-c", code], check=True)
    used.close()
    copy = sqlite3.connect(tmp_path / "copy.db")

    assert copy.execute("SELECT id FROM run").fetchall() == [(1,)]
    copy.close()


def test_the_workflow_is_linted_and_gives_known_inputs(tmp_path: Path) -> None:
    file = tmp_path / ".github" / "workflows" / "agents.yml"
    file.parent.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "action.yml").write_text((ROOT / "action.yml").read_text())
    # A local action is one whose inputs are checked.
    file.write_text(re.sub(r"acme/reconciler@\S+", "./", FILES[".github/workflows/agents.yml"]))

    assert actionlint(tmp_path) == ""


def test_every_input_of_the_action_is_documented() -> None:
    documented = re.findall(
        r"^\| `([a-z-]+)` \|(?: `?([^`|]*)`?)? \|", PAGE.split("## GitHub Actions")[1], re.MULTILINE
    )
    known = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()}

    assert [name for name, _ in documented] == list(known)
    for name, default in documented:
        assert default.strip() in (known[name], "the job's")
    for name in ACTION["outputs"]:
        assert f"`{name}`" in PAGE


def test_pipelines_give_known_parameters() -> None:
    (steps,) = [step for step in yaml.safe_load(FILES["azure-pipelines.yml"])["steps"] if "template" in step]
    required = {each["name"] for each in AZURE["parameters"] if "default" not in each}
    assert required <= steps["parameters"].keys() <= {each["name"] for each in AZURE["parameters"]}
    (included,) = yaml.safe_load(FILES[".gitlab-ci.yml"])["include"]
    needed = {name for name, each in GITLAB[0]["spec"]["inputs"].items() if "default" not in each}
    assert needed <= included["inputs"].keys() <= GITLAB[0]["spec"]["inputs"].keys()
    for template in (steps["template"].partition("@")[0], included["file"]):
        assert (ROOT / template).exists()


def test_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, anchor = link.partition("#")
        if not link.startswith("http"):
            assert not file or (ROOT / "docs" / file).exists(), link
            assert not anchor or anchor in headings, link


def test_metrics_that_are_named_exist() -> None:
    from reconciler.service.metrics import Metrics

    known = {metric.name for metric in Metrics().registry.collect()}

    for name in re.findall(r"`(reconciler_[a-z_]+)", PAGE):
        assert name.removesuffix("_total") in known
