"""The folder of fetched repositories: where it is, who may write to it now."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import pygit2

from reconciler.errors import SourceError, SourceUnreachable

if sys.platform != "win32":
    import fcntl

# The layout of the cache; a change of it starts a new one beside the old.
_LAYOUT: Final = "1"


def cache_folder(url: str, cache: Path | None, environ: Mapping[str, str]) -> Path:
    """The folder of one remote: its name tells remotes apart and holds no secret.

    Args:
        url: the address without credentials.
        cache: where to look instead of `reconciler/git` in the user's cache folder.
    """
    if cache is None:
        base = environ.get("XDG_CACHE_HOME") or environ.get("LOCALAPPDATA")
        home = Path(base) if base else Path(environ.get("HOME") or Path.home()) / ".cache"
        cache = home / "reconciler" / "git"
    return cache / f"{_LAYOUT}-{hashlib.sha256(url.encode()).hexdigest()[:32]}"


def open_cache(folder: Path) -> Any:
    """The bare repository in `folder`, made where there is none or a broken one. Call it inside `alone`.

    Raises:
        SourceError: the folder cannot be written.
    """
    try:
        if (folder / "HEAD").exists():
            # Nobody else writes while we hold the lock: what is left is from a process that was killed.
            for stale in (*folder.glob("*.lock"), *folder.glob("refs/**/*.lock")):
                stale.unlink(missing_ok=True)
            return pygit2.Repository(str(folder), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
    except (pygit2.GitError, KeyError):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        return pygit2.init_repository(str(folder), bare=True)
    except (pygit2.GitError, OSError) as error:
        raise _no_cache(folder) from error


@contextmanager
def alone(folder: Path, timeout_s: float) -> Iterator[None]:
    """Holds the folder against other processes that fetch the same remote.

    Raises:
        SourceUnreachable: one of them took four times the limit for silence.
        SourceError: the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _lock_file(folder)
    except OSError as error:
        raise _no_cache(folder) from error
    with lock:
        until = time.monotonic() + 4 * timeout_s
        while not locked(lock):
            if time.monotonic() > until:
                raise SourceUnreachable(
                    f"another process has been fetching into {folder} for too long",
                    hint="Wait for it, or end it if it hangs.",
                )
            time.sleep(0.05)
        yield


def _lock_file(folder: Path) -> BinaryIO:
    return open(f"{folder}.lock", "ab")


def locked(lock: BinaryIO) -> bool:
    """Whether the lock is ours now; Windows has no such lock and libgit2's own must do."""
    if sys.platform != "win32":
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _no_cache(folder: Path) -> SourceError:
    return SourceError(
        f"cannot write the Git cache {folder.parent}",
        hint="Set XDG_CACHE_HOME to a folder that may be written.",
    )
