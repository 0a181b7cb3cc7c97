"""Settings that come from the environment, each read once, here. Flags and manifests win over them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.errors import InvalidInput

PREFIX: Final = "RECONCILER_"
_HOSTS: Final = re.compile(r"(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)+")


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    Args:
        sandbox_state: state file of `sandbox://` (`RECONCILER_SANDBOX_STATE`).
        cache: folder for Git repositories that were fetched (`RECONCILER_CACHE`).
        concurrency: agents worked on at once, 1 to 256 (`RECONCILER_CONCURRENCY`).
        git_timeout_s: longest silence of a Git remote, in seconds (`RECONCILER_GIT_TIMEOUT`).
        log_level: debug, info, warning or error (`RECONCILER_LOG`).
        trusted_hosts: globs over hosts beside Azure's that get our token (`RECONCILER_TRUSTED_HOSTS`).
    """

    sandbox_state: Path
    cache: Path
    concurrency: int = 32
    git_timeout_s: int = 60
    log_level: str = "warning"
    trusted_hosts: tuple[str, ...] = ()


def read(environ: Mapping[str, str]) -> Settings:
    """The settings of this environment.

    Raises:
        InvalidInput: a value is not of its kind; the message names the variable.
    """
    home = Path(environ.get("HOME") or Path.home())
    state = Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "reconciler"
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "reconciler"
    level = environ.get(PREFIX + "LOG", "warning").lower()
    if level not in ("debug", "info", "warning", "error"):
        raise InvalidInput(
            f"{PREFIX}LOG is {level!r}", hint="Set it to debug, info, warning or error, or unset it."
        )
    return Settings(
        sandbox_state=Path(environ.get(PREFIX + "SANDBOX_STATE") or state / "sandbox.db"),
        cache=Path(environ.get(PREFIX + "CACHE") or cache),
        concurrency=_number(environ, "CONCURRENCY", 32, 256),
        git_timeout_s=_number(environ, "GIT_TIMEOUT", 60, 3600),
        log_level=level,
        trusted_hosts=_hosts(environ),
    )


def _hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    text = environ.get(PREFIX + "TRUSTED_HOSTS", "")
    globs = tuple(glob.strip().lower() for glob in text.split(",") if glob.strip())
    for glob in globs:
        # One that matches everything would undo what the setting is for.
        if not _HOSTS.fullmatch(glob):
            raise InvalidInput(
                f"{PREFIX}TRUSTED_HOSTS has {glob!r}",
                hint="Write names of hosts with a comma between them, such as `*.ai.example.com`.",
            )
    return globs


def _number(environ: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environ.get(PREFIX + name, "")
    if not text:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise InvalidInput(
            f"{PREFIX}{name} is {text!r}", hint=f"Set it to a whole number from 1 to {most}, or unset it."
        )
    return int(text)
