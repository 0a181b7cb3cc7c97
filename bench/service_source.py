"""A working copy of a repository, as a developer has one: write, commit, push."""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
import time
from pathlib import Path
from typing import Final

_WHO: Final = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false")


class Clone:
    """A clone of `url` in `folder`, on the branch `main`."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", url)

    def git(self, *args: str) -> str:
        """What a Git command prints.

        Raises:
            RuntimeError: it failed; the message has what it said.
        """
        environ = {
            **{name: text for name, text in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
        }
        done = subprocess.run(
            ["git", *_WHO, *args], cwd=self.folder, env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"git {args[0]} failed: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        """A file with this text."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))

    def copy(self, folder: Path) -> None:
        """Every file of a folder."""
        shutil.copytree(folder, self.folder, dirs_exist_ok=True)

    def commit(self, message: str) -> str:
        """All of it as a commit; its id."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def push(self, *, force: bool = False) -> float:
        """Push `main`; the seconds it took, the webhook included."""
        started = time.monotonic()
        self.git("push", "-q", *(("--force",) if force else ()), "origin", "HEAD:main")
        return time.monotonic() - started
