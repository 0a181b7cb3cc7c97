"""Plan files: receipts of what was reviewed, never programs (rule P2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reconciler.errors import InvalidInput
from reconciler.options import Allow
from reconciler.report import RunReport

_FORMAT: Final = "reconciler.plan/v1"


class ReceiptProject(BaseModel):
    """One Project of a receipt: its digest, and its steps as a person read them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: str
    steps: dict[str, list[str]]


class Receipt(BaseModel):
    """What was planned from which source. Nothing in it is ever sent anywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    format: str = Field(pattern=f"^{_FORMAT}$")
    source: str
    ref: str | None = None
    selector: list[str] = []
    only: list[str] = []
    allowed: list[str] = []
    max_deletes: int | None = None
    revision: str
    projects: list[ReceiptProject]

    def digest(self, project: str) -> str | None:
        """The reviewed digest of a Project, None when the receipt does not hold it."""
        return next((item.digest for item in self.projects if item.name == project), None)


@dataclass(frozen=True)
class Origin:
    """What was planned: the source as it was named, and the flags that narrowed it and lifted guards."""

    source: str
    ref: str | None
    selector: Sequence[str]
    only: Sequence[str]
    allow: Allow
    max_deletes: int | None


def write_receipt(report: RunReport, file: str, origin: Origin) -> None:
    """Write the receipt of a plan.

    Raises:
        InvalidInput: the file cannot be written.
    """
    projects = [
        ReceiptProject(
            name=project.name,
            digest=project.digest,
            steps={change.key: [*change.now, *change.later] for change in project.changes},
        )
        for project in report.projects
    ]
    receipt = Receipt(
        format=_FORMAT,
        source=origin.source,
        ref=origin.ref,
        selector=list(origin.selector),
        only=list(origin.only),
        allowed=[name for name, given in asdict(origin.allow).items() if given],
        max_deletes=origin.max_deletes,
        revision=report.revision,
        projects=projects,
    )
    try:
        Path(file).write_bytes(orjson.dumps(receipt.model_dump(), option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise InvalidInput(f"cannot write the plan file {file}", hint="Check the folder of --out.") from error


def read_receipt(path: str) -> Receipt | None:
    """The receipt in a file; None when `path` is no plan file but a source of manifests.

    Raises:
        InvalidInput: it is a file, and no plan of this program.
    """
    file = Path(path)
    if not file.is_file():
        return None
    try:
        return Receipt.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        raise InvalidInput(
            f"{path} is no plan file of this version",
            hint="Give a folder with manifests, or a file that `reconciler plan --out FILE` wrote.",
        ) from None
