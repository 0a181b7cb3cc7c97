"""The JSON Schema for editors says what the program takes, and the reference names every setting."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import jsonschema
import pytest
from pydantic import BaseModel

from reconciler.service.config_schema import config_schema
from reconciler.service.config_spec import ServiceSpec
from reconciler.service.metrics import Metrics
from reconciler.yaml_nodes import parse
from tests.service.config.files import SOURCE, loaded, secret_file
from tests.service.config.mistakes import source
from tests.service.config.test_config import ENVIRON, KEY, WHOLE

ROOT: Final = Path(__file__).resolve().parents[3]
REFERENCE: Final = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")


def valid(text: str) -> bool:
    # By our own parser: for others `on` may be a word for true.
    (document,) = parse(text.encode()).documents
    return jsonschema.Draft202012Validator(config_schema()).is_valid(document.value)


def test_the_committed_schema_is_that_of_the_program() -> None:
    """When it is not: run `script/schema` and commit the result."""
    committed = json.loads((ROOT / "docs" / "service-config.schema.json").read_text(encoding="utf-8"))

    assert committed == config_schema()


@pytest.mark.parametrize("text", [SOURCE, WHOLE])
def test_what_the_program_takes_is_valid(text: str) -> None:
    assert valid(text)


@pytest.mark.parametrize(
    "text",
    [
        SOURCE + "retenton: {}\n",
        SOURCE + "log: verbose\n",
        source("interval: 5 min"),
        source("jitter_percent: 101"),
        source("webhook: {provider: github}"),
        source("webhook: {provider: github, secret: {env: A, file: b}}"),
        source("signatures: {}"),
        SOURCE.replace("agents\n", "My Agents\n", 1),
        "store: sqlite:///x\nsources: []\n",
    ],
)
def test_what_it_refuses_by_itself_is_not_valid(text: str) -> None:
    assert not valid(text)


def fields(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of all settings with their fields; the leaves of nested parts, secrets as one."""
    for name, each in model.model_fields.items():
        inner = [part for part in models_in(each.annotation) if part.__name__ != "Secret"]
        if not inner:
            yield f"{path}{name}", each
        for nested in inner:
            yield from fields(nested, f"{path}{name}.")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, tuple, list, dict, Annotated):
        for part in get_args(annotation):
            yield from models_in(part)


@pytest.mark.parametrize(
    ("name", "setting"), [pytest.param(*each, id=each[0]) for each in fields(ServiceSpec)]
)
def test_every_setting_is_in_the_reference_with_its_default(name: str, setting: Any) -> None:
    match = re.search(rf"^\| `{re.escape(name)}` \| (.*?) \| ", REFERENCE, flags=re.MULTILINE)

    assert match, f"docs/service.md has no row for {name}"
    default = setting.get_default()
    if setting.is_required():
        assert match[1] == "required"
    elif default is None or default == () or default == "":
        assert match[1] == ""
    elif isinstance(default, bool):
        assert match[1] == f"`{str(default).lower()}`"
    elif isinstance(default, tuple):
        assert match[1] == f"`[{', '.join(json.dumps(x) if x == '*' else x for x in default)}]`"
    else:
        assert match[1] == f"`{default}`"


def test_the_reference_names_no_setting_that_does_not_exist() -> None:
    known = {name for name, _ in fields(ServiceSpec)}

    written = set(re.findall(r"^\| `((?!reconciler_)[a-z_.]+)` \| ", REFERENCE, flags=re.MULTILINE))
    assert written <= known


def test_every_metric_is_in_the_reference() -> None:
    names = {metric.name for metric in Metrics().registry.collect() if metric.name.startswith("reconciler_")}

    assert names
    missing = [name for name in sorted(names) if f"`{name}" not in REFERENCE]
    assert not missing


def test_the_examples_of_the_reference_are_valid(tmp_path: Path) -> None:
    for name in ("token", "id_ed25519"):
        secret_file(tmp_path, name, "a-secret-of-the-test")
    secret_file(tmp_path, "tokens.yaml", "ci: sha256:" + "0" * 64)
    (tmp_path / "release.pub").write_text(KEY)
    (tmp_path / "release.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----")
    names = {
        name: f"{name.lower()}-secret-value-{'x' * 32}" for name in re.findall(r"env: ([A-Z_]+)", REFERENCE)
    }
    names |= {"CHAT_URL": ENVIRON["CHAT"]}
    blocks = re.findall(r"^```yaml\n(.*?)^```", REFERENCE, flags=re.MULTILINE | re.DOTALL)
    whole = [block for block in blocks if "sources:" in block]

    assert whole
    for block in whole:
        loaded(tmp_path, block, names)
