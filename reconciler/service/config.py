"""The service's configuration: one YAML file, checked like manifests, every problem at once."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reconciler import model_findings
from reconciler.errors import Finding, InvalidInput, Place, Problem
from reconciler.manifest import problem
from reconciler.masking import Masker
from reconciler.resource import Json
from reconciler.service.config_checks import Checked, check
from reconciler.service.config_secrets import path_of, read_secrets
from reconciler.service.config_spec import Secret, ServiceSpec, SourceSpec
from reconciler.yaml_nodes import MAX_BYTES, Document, parse


@dataclass(frozen=True)
class Config:
    """A configuration that was checked, with every secret it names already read."""

    path: Path
    spec: ServiceSpec
    secrets: Mapping[Secret, str] = field(default_factory=dict, repr=False)

    def secret(self, where: Secret) -> str:
        """The secret kept there, as read when the configuration was loaded; never empty."""
        return self.secrets[where]

    def file(self, name: str) -> Path:
        """A file that the configuration names; relative to its own folder, `~` is home."""
        return path_of(name, self.path.parent)

    def masker(self) -> Masker:
        """Hides every secret of this configuration, and what looks like one."""
        return self._masker

    @cached_property
    def _masker(self) -> Masker:
        return Masker(frozenset(self.secrets.values()))


@dataclass
class Configured:
    """The configuration in force. A reload that was refused leaves `current` and says why in `rejected`.

    So does a setting that was changed and takes a restart: the rest of the file holds then.
    """

    current: Config
    rejected: tuple[str, ...] = ()
    rejected_at: float = 0.0
    loaded_at: float = field(default_factory=time.time)


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration of a file, with its secrets read.

    Args:
        environ: where secrets of the form `{env: NAME}` come from.

    Raises:
        InvalidInput: the file cannot be read or used; every problem found is in `problems`.
    """
    try:
        with path.open("rb") as file:
            # One more than may be, so that a file that is too large is told as such.
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            f"cannot read the configuration {path}: {error.strerror}",
            hint="Name the file with --config; docs/service.md shows the least that works.",
        ) from None
    return config_of(content, path, environ)


def config_of(content: bytes, path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration of a text that was read from `path`.

    Raises:
        InvalidInput: see `load_config`.
    """
    parsed = parse(content)
    found = [
        Problem(Place(str(path), fault.line, fault.column), "", fault.message, fault.hint)
        for fault in parsed.faults
    ]
    if not found:
        found = _shape(parsed.documents, path)
    if found:
        raise _invalid(found, path)
    document = parsed.documents[0]
    secrets, findings = read_secrets(document.value, path.parent, environ)
    spec: ServiceSpec | None = None
    refused: frozenset[str | int] = frozenset()
    try:
        spec = ServiceSpec.model_validate(document.value)
    except ValidationError as error:
        findings += model_findings.findings(error, ServiceSpec)
        refused = frozenset(detail["loc"][0] for detail in error.errors() if detail["loc"])
    readable, indexes = (spec, None) if spec is not None else _readable(document.value, refused)
    if readable is not None:
        checked = Checked(readable, secrets, path.parent, indexes)
        findings += check(checked, frozenset(str(key) for key in refused))
    if findings:
        raise _invalid(_problems(findings, document, path, secrets.values()), path)
    assert spec is not None, "what is not valid has a finding"
    return Config(path, spec, secrets)


def _shape(documents: tuple[Document, ...], path: Path) -> list[Problem]:
    if not documents:
        hint = "Write at least `store` and `sources`; docs/service.md shows how."
        return [Problem(Place(str(path)), "", "the configuration is empty", hint)]
    if len(documents) > 1:
        place = Place(str(path), *documents[1].place(()))
        return [Problem(place, "", "a second document", "Keep one configuration in the file.")]
    if not isinstance(documents[0].value, dict):
        hint = "Write `store: …` and `sources: […]`; docs/service.md shows how."
        return [Problem(Place(str(path), *documents[0].place(())), "", "expected a mapping", hint)]
    return []


def _readable(
    value: Any, refused: Collection[str | int]
) -> tuple[ServiceSpec | None, tuple[int, ...] | None]:
    """What is left of a file without its wrong parts, so that all problems are told at once.

    Returns:
        The rest, and which sources of the file are in it.
    """
    kept = {
        key: item for key, item in value.items() if key in ServiceSpec.model_fields and key not in refused
    }
    sources = value.get("sources")
    indexes = tuple(
        index for index, raw in enumerate(sources if isinstance(sources, list) else ()) if _is_source(raw)
    )
    if not indexes:
        return None, None
    kept["sources"] = [sources[index] for index in indexes]
    try:
        return ServiceSpec.model_validate({"store": "sqlite:///unknown", **kept}), indexes
    except ValidationError:
        return None, None


def _is_source(raw: Json) -> bool:
    try:
        SourceSpec.model_validate(raw)
    except ValidationError:
        return False
    return True


def _problems(
    findings: Collection[Finding], document: Document, path: Path, secrets: Collection[str]
) -> list[Problem]:
    """The findings with their places; a secret that was written into the file itself is not shown again."""
    masker = Masker(frozenset(secrets))
    return [
        problem(
            str(path),
            document,
            Finding(
                finding.path, masker.text(finding.message), masker.text(finding.hint), on_key=finding.on_key
            ),
        )
        for finding in dict.fromkeys(findings)
    ]


def _invalid(problems: Collection[Problem], path: Path) -> InvalidInput:
    count = len(problems)
    return InvalidInput(
        f"{count} problem{'s' * (count != 1)} in the configuration {path}",
        tuple(problems),
        hint="Correct the file; `reconciler serve --check --config FILE` checks it without starting.",
    )
