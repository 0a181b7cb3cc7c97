"""The chart as Helm's own engine renders it, and what Kubernetes says of it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import helm_python
import jsonschema
import yaml
from kubernetes_validate.utils import all_versions, latest_version, schema_contents
from referencing import Registry, Resource

from tests.deploy.custom_resources import SCHEMAS

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "charts" / "reconciler"
EXAMPLES: Final = tuple(sorted(file.name.removesuffix("-values.yaml") for file in (CHART / "ci").iterdir()))
# The oldest that Chart.yaml allows, and the newest that is known.
VERSIONS: Final = ("1.28", latest_version().removesuffix(".0"))
POD_KINDS: Final = ("Deployment", "Job")

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Rendered:
    """Everything that one installation makes, and what it tells."""

    documents: tuple[Document, ...]
    notes: str

    def of(self, kind: str) -> list[Document]:
        """The documents of a kind."""
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str, *, hook: bool = False) -> Document:
        """The only document of a kind, leaving out hooks or everything else."""
        (found,) = (document for document in self.of(kind) if is_hook(document) == hook)
        return found

    def named(self, kind: str, name: str) -> Document | None:
        """A document by its kind and name."""
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)

    def pods(self) -> Iterator[tuple[str, Document]]:
        """Every pod template by the kind of what makes it."""
        for document in self.documents:
            if document["kind"] in POD_KINDS:
                yield document["kind"], document["spec"]["template"]


@functools.cache
def _chart() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)


def render(values: Mapping[str, Any], name: str = "demo") -> Rendered:
    """What `helm install NAME` would send.

    Raises:
        helm_python.HelmError: the values are refused.
    """
    files = _chart().render(dict(values), name=name, namespace="agents", is_install=True)
    texts = {Path(path).name: text for path, text in files.items()}
    notes = texts.pop("NOTES.txt", "")
    loaded = (document for text in texts.values() for document in yaml.load_all(text, yaml.CSafeLoader))
    return Rendered(tuple(document for document in loaded if document), notes)


def example(name: str) -> dict[str, Any]:
    """The values of an example in `ci/`."""
    loaded: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    return loaded


def lint(values: Mapping[str, Any]) -> list[str]:
    """What `helm lint --strict` complains of."""
    report = helm_python.lint(CHART, dict(values), strict=True)
    return [message["error"] for message in report["messages"] if message["severity"] >= 2]


def is_hook(document: Document) -> bool:
    """Whether Helm runs it before the rest."""
    return "helm.sh/hook" in document["metadata"].get("annotations", {})


def validate(document: Document, version: str) -> None:
    """Refuse what an API server of this version would refuse, and fields it does not know.

    Raises:
        jsonschema.ValidationError: the first thing that is wrong.
    """
    own = SCHEMAS.get((document["apiVersion"], document["kind"]))
    if own is not None:
        jsonschema.validate(document, own)
    else:
        _validator(version, document["kind"], document["apiVersion"]).validate(document)


@functools.cache
def _validator(version: str, kind: str, api_version: str) -> jsonschema.Draft202012Validator:
    """As `kubernetes_validate.validate` makes one, which reads megabytes of definitions for each document."""
    group, _, number = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], number) if part)
    definitions, folder = _definitions(version)
    schema = schema_contents(f"{folder}/{name}.json", version)
    registry = Resource.from_contents(definitions) @ Registry()
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ registry)


@functools.cache
def _definitions(version: str) -> tuple[Any, str]:
    known = next(known for known in all_versions() if known.startswith(f"{version.removesuffix('.0')}."))
    folder = f"kubernetes-json-schema/v{known}-local-strict"
    return schema_contents(f"{folder}/_definitions.json", version), folder
