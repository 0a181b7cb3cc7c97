"""What the operator does about an error of the service: the table in `remedies.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

_UNKNOWN: Final = (
    "Read the service's message; `reconciler doctor` checks the endpoint, the token and the roles."
)


@dataclass(frozen=True)
class Remedy:
    """One row. `source` is where the meaning comes from; `retryable` says that waiting may help."""

    remedy: str
    source: str
    retryable: bool = False


def remedy(code: str, status: int | None = None) -> str:
    """What to do about an error, never empty.

    Args:
        code: the service's own code in any case, "" where it gave none.
        status: HTTP status, for codes that the table does not know.
    """
    row = row_for(code, status)
    return row.remedy if row else _UNKNOWN


def row_for(code: str, status: int | None = None) -> Remedy | None:
    """The row of a code, else that of the status, else that of its class (`5xx`)."""
    codes, statuses = table()
    found = codes.get(code.strip().casefold())
    if found is None and status is not None:
        found = statuses.get(str(status)) or statuses.get(f"{status // 100}xx")
    return found


@cache
def table() -> tuple[Mapping[str, Remedy], Mapping[str, Remedy]]:
    """Every row: by code in lower case, and by status as text. Read once, when first needed."""
    # Here, because a run without an error needs neither the parser nor the table.
    import yaml

    content = yaml.load(files("reconciler").joinpath("remedies.yaml").read_bytes(), yaml.CSafeLoader)
    codes = {str(code).casefold(): Remedy(**row) for code, row in content["codes"].items()}
    statuses = {str(status): Remedy(**row) for status, row in content["statuses"].items()}
    return codes, statuses
