"""One line of the table, and the table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_HEADS: Final = ("what", "limit", "measured", "against", "ratio", "met")


@dataclass(frozen=True)
class Row:
    """What was measured. `ratio` goes the way of the limit; `met` is None without one."""

    what: str
    limit: str
    measured: str
    against: str = ""
    ratio: float | None = None
    met: bool | None = None


def table(rows: Iterable[Row]) -> str:
    """The rows with a heading, columns aligned."""
    words = {True: "yes", False: "NO", None: "-"}
    lines = [
        _HEADS,
        *(
            (
                row.what,
                row.limit,
                row.measured,
                row.against or "-",
                "-" if row.ratio is None else f"{row.ratio:.2f} ×",
                words[row.met],
            )
            for row in rows
        ),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS))]
    shown = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([shown[0], "  ".join("─" * width for width in widths), *shown[1:]])
