"""Which files of a code folder stay out of its zip: gitignore rules, the defaults first."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

# What no container start needs and what may hold secrets, as azd leaves out too (hosted agents docs), so
# that a folder moved from azd keeps its content. A folder's own file may take one back with `!`.
DEFAULTS: Final = (
    "agent.yaml",
    "agent.manifest.yaml",
    "azure.yaml",
    ".agentignore",
    "appPackage.zip",
    "TEAMS_APP_SETUP.md",
    ".env*",
    ".azure/",
    ".git/",
    "__pycache__/",
    ".venv/",
    "venv/",
    "*.pyc",
    ".mypy_cache/",
    ".pytest_cache/",
    "bin/",
    "obj/",
    ".vs/",
    "node_modules/",
    "Dockerfile",
    ".dockerignore",
)


class IgnoreRules:
    """Decides about paths relative to the folder.

    Args:
        content: the folder's ignore file, gitignore syntax in UTF-8; its rules come after the defaults.
    """

    def __init__(self, content: bytes = b"") -> None:
        lines = content.decode("utf-8-sig", "replace").splitlines()
        self._spec = _spec((*DEFAULTS, *lines))

    def ignores(self, path: str) -> bool:
        """Whether the file at `path`, with `/` between its parts, stays out."""
        return bool(self._spec.match_file(path))


@lru_cache(maxsize=64)
def _spec(lines: tuple[str, ...]) -> GitIgnoreSpec:
    # Here, because most runs package nothing.
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(lines)
