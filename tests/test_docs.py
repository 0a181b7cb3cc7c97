"""Whatever a user can set or meet is in the README, and what the README shows is true."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel
from typer.main import get_command

from reconciler.cli import app
from reconciler.cli.starter import GITHUB
from reconciler.kinds.registry import KINDS
from reconciler.policies import rules as policy_rules
from reconciler.project_spec import ProjectSpec
from reconciler.render import FORMATS
from reconciler.report import ExitCode
from reconciler.sandbox.settings import SWITCHES
from reconciler.settings import read
from tests.rules import SEMANTICS, documented
from tests.world import World

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGE: Final = ROOT / "reconciler"


def section(title: str) -> str:
    """The text below a heading, up to the next heading of its level or above."""
    match = re.search(rf"^(#+) {re.escape(title)}$", README, flags=re.MULTILINE)
    assert match, f"README has no heading {title!r}"
    rest = README[match.end() :]
    end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, flags=re.MULTILINE)
    return rest[: end.start()] if end else rest


def commands() -> Mapping[str, Any]:
    return get_command(app).commands  # type: ignore[attr-defined, no-any-return]


def fields(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Dotted names of everything a manifest may say, as written in it; the leaves of nested models."""
    for name, field in model.model_fields.items():
        written = f"{path}{field.alias or name}"
        inner = list(models_in(field.annotation))
        if not inner:
            yield written
        for nested in inner:
            yield from fields(nested, f"{written}.")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, tuple, list, dict):
        for part in get_args(annotation):
            yield from models_in(part)


class Asked(dict[str, str]):
    """An environment without anything that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return default


def variables() -> set[str]:
    """Environment variables: those that the settings ask for, and those that modules name themselves."""
    asked = Asked()
    read(asked)
    for module in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                asked.names |= set(re.findall(r"\bRECONCILER_[A-Z_]*[A-Z]\b", node.value))
        text = module.read_text(encoding="utf-8")
        asked.names |= set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", text))
    return asked.names


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_is_documented(name: str) -> None:
    assert f"`reconciler {name}" in section("Commands")


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        (name, flag)
        for name, command in sorted(commands().items())
        for parameter in command.params
        for flag in parameter.opts
        if flag.startswith("-")
    ],
)
def test_every_flag_is_documented_for_its_command(command: str, flag: str) -> None:
    rows = [row for row in section("Commands").splitlines() if re.search(rf"`{flag}[ `]", row)]
    common = ("all with `PATH`", "the same and")

    assert any(f"`{command}`" in row or any(text in row for text in common) for row in rows), (
        f"README: {flag} of `reconciler {command}` is not in the table of flags"
    )


def test_no_flag_is_documented_that_does_not_exist() -> None:
    known = {flag for command in commands().values() for each in command.params for flag in each.opts}
    written = set(re.findall(r"`(--?[a-z][a-z-]*)", section("Commands")))

    assert written <= known | {"--version"}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_documented(name: str) -> None:
    assert f"`{name}`" in section("Commands")


@pytest.mark.parametrize("name", sorted(variables()))
def test_every_environment_variable_is_documented(name: str) -> None:
    assert re.search(rf"`{name}[`=]", section("Environment variables"))


@pytest.mark.parametrize("field", sorted(fields(ProjectSpec)))
def test_every_project_field_is_documented(field: str) -> None:
    assert f"`{field}`" in section("Project fields")


@pytest.mark.parametrize("field", sorted(fields(KINDS["Agent"].spec)))
def test_every_agent_field_is_documented(field: str) -> None:
    assert f"`{field}`" in section("Agent fields")


def test_no_field_is_documented_that_does_not_exist() -> None:
    for title, model in (("Project fields", ProjectSpec), ("Agent fields", KINDS["Agent"].spec)):
        known = set(fields(model))
        written = set(re.findall(r"^\| `([a-z_.]+)` \|", section(title), flags=re.MULTILINE))
        assert written - known <= {"patches", "patches.target"}, title


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_exit_code_is_documented(code: ExitCode) -> None:
    assert f"\n| {code.value} | " in section("Exit codes")


@pytest.mark.parametrize("name", policy_rules())
def test_every_policy_is_documented(name: str) -> None:
    assert f"`{name}`" in section("Safe by default")


@pytest.mark.parametrize("name", sorted(SWITCHES))
def test_every_switch_of_the_sandbox_is_documented(name: str) -> None:
    assert f"`{name}`" in section("The sandbox")


def test_every_refusal_is_documented() -> None:
    """The rule of each refusal, as the report prints it, is explained where a user looks for it."""
    found: set[str] = set()
    for module in PACKAGE.rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        found |= set(re.findall(r"(?:Refusal\(|Severity\.REFUSE,|_refuse\()\s*\"([a-z-]+)\"", text))
    text = README + SEMANTICS.read_text(encoding="utf-8")

    assert found
    assert not sorted(rule for rule in found if f"`{rule}`" not in text)


def test_every_reason_of_an_outcome_is_documented() -> None:
    text = "".join(
        module.read_text(encoding="utf-8")
        for module in PACKAGE.rglob("*.py")
        if relative_part(module) not in ("sandbox", "report")
    )
    found = set(re.findall(r"reason=\"([A-Z][A-Za-z]+)\"", text))

    assert found
    assert found == set(
        re.findall(r"^\| `([A-Z][A-Za-z]+)` \|", section("Reading a report"), flags=re.MULTILINE)
    )


def relative_part(module: Path) -> str:
    """The first part of a module's path in the package."""
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def test_rules_are_numbered_without_gaps() -> None:
    numbers = documented(SEMANTICS.read_text(encoding="utf-8"))
    by_letter = {letter: [number for number in numbers if number[0] == letter] for letter in "IMCRDPWV"}

    assert numbers == [f"{letter}{i}" for letter, own in by_letter.items() for i in range(1, len(own) + 1)]


def test_markers_name_rules_that_exist() -> None:
    known = set(documented(SEMANTICS.read_text(encoding="utf-8")))
    for file in (ROOT / "tests").rglob("test_*.py"):
        for arguments in re.findall(r"mark\.rule\(([^)]*)\)", file.read_text(encoding="utf-8")):
            assert set(re.findall(r"\"([^\"]+)\"", arguments)) <= known, f"{file.name}: rule({arguments})"


def examples() -> list[str]:
    """The manifests that the README shows."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "apiVersion: reconciler/" in block]


def test_the_manifests_of_the_readme_are_valid(bare_world: World) -> None:
    world = bare_world
    world.repo.mkdir()
    for index, block in enumerate(examples()):
        project = yaml.safe_load(block.split("---")[0])["kind"] == "Project"
        world.write("project.yaml" if project else f"agents/{index}.yaml", block)
    world.write("agents/prompts/triage.md", "Sort the mail.")
    world.write("agents/workflows/onboarding.workflow", "kind: workflow\n")
    world.write("code/refunds/main.py", "print('refunds')\n")
    world.write("code/refunds/requirements.txt", "")
    world.environ["DIGEST"] = "0" * 64

    result = world.run("validate", str(world.repo), "--format", "json")

    problems = [project["failed"] for project in result.report["projects"] if project.get("failed")]
    assert not problems, result.stdout
    # The example of a workflow agent is refused once the service has retired them.
    assert {row["rule"] for row in result.report["projects"][0]["verdicts"]} <= {"workflow-retirement"}


PAGES: Final = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "charts" / "reconciler" / "README.md"]
)


def anchors(page: Path) -> set[str]:
    """What a forge makes of the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_the_documents_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = link.partition("#")
        if not link.startswith("https://"):
            assert not file or (page.parent / file).exists(), link
            assert not anchor or anchor in anchors(page.parent / file if file else page), link


def test_workflows_use_actions_that_run_on_a_node_that_is_not_retired() -> None:
    shown = [README, *(file.read_text(encoding="utf-8") for file in (ROOT / "docs").glob("*.md")), GITHUB]
    used = set(re.findall(r"uses: ((?:actions|azure)/\S+)", "\n".join(shown)))

    assert used == {"actions/checkout@v6", "actions/setup-python@v6", "azure/login@v3"}
