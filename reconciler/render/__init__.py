"""One file per output format. Every format sees only the report, in which everything is masked already."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from reconciler.errors import InvalidInput

if TYPE_CHECKING:
    from reconciler.report import RunReport

FORMATS: Final[tuple[str, ...]] = (
    "text",
    "json",
    "markdown",
    "github",
    "junit",
    "sarif",
    "azure-devops",
    "gitlab",
)


def check_format(format: str) -> None:
    """Nothing for a known format.

    Raises:
        InvalidInput: there is no such format; the nearest name is in the hint.
    """
    if format in FORMATS:
        return
    near = get_close_matches(format, FORMATS, n=1)
    hint = f"Did you mean `{near[0]}`? " if near else ""
    raise InvalidInput(f"there is no format {format!r}", hint=f"{hint}Formats: {', '.join(FORMATS)}.")


def render(report: RunReport, format: str, *, color: bool = False, width: int = 100) -> str:
    """The report in one format, ending with a line break; only `text` looks at `color` and `width`.

    Raises:
        InvalidInput: there is no such format.
    """
    check_format(format)
    match format:
        case "text":
            from reconciler.render.text import text

            return text(report, color=color, width=width)
        case "json":
            from reconciler.render.json import json

            return json(report)
        case "markdown":
            from reconciler.render.markdown import markdown

            return markdown(report)
        case "github":
            from reconciler.render.github import github

            return github(report)
        case "junit":
            from reconciler.render.junit import junit

            return junit(report)
        case "sarif":
            from reconciler.render.sarif import sarif

            return sarif(report)
        case "azure-devops":
            from reconciler.render.azure_devops import azure_devops

            return azure_devops(report)
    from reconciler.render.gitlab import gitlab

    return gitlab(report)
