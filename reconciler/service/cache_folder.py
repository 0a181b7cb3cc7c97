"""The folder that this process keeps fetched repositories in; those of processes that died are removed."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO, Final

from reconciler.errors import SourceError
from reconciler.git_cache import alone, locked

_LOCK: Final = "in-use"
_PATIENCE_S: Final = 5
_held: dict[tuple[Path, int], tuple[Path, BinaryIO]] = {}
_guard: Final = threading.Lock()


def own_folder(cache: Path) -> Path:
    """A folder below `cache/service` that no other process uses, the same for the whole life of this one.

    Raises:
        SourceError: it cannot be written.
    """
    # A process that was forked from this one is another process.
    key = (cache, os.getpid())
    with _guard:
        if key not in _held or not _held[key][0].is_dir():
            parent = cache / "service"
            try:
                parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                # A folder that was just made is not locked yet: nobody else may tidy up meanwhile.
                with alone(parent / "folders", _PATIENCE_S):
                    _sweep(parent)
                    folder = Path(tempfile.mkdtemp(dir=parent))
                    lock = open(folder / _LOCK, "wb")  # noqa: SIM115 - held until the process ends
                    locked(lock)
            except OSError as error:
                raise SourceError(
                    f"cannot write the Git cache {parent}", hint="Set RECONCILER_CACHE to a folder with room."
                ) from error
            atexit.register(_leave, folder, lock, os.getpid())
            _held[key] = folder, lock
        return _held[key][0]


def _leave(folder: Path, lock: BinaryIO, pid: int) -> None:
    """Tidy up at the end of the process, and of no other that was forked from it."""
    lock.close()
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what processes left that were killed: nobody holds their lock."""
    for folder in [entry for entry in parent.iterdir() if entry.is_dir()]:
        try:
            with open(folder / _LOCK, "r+b") as lock:
                free = locked(lock)
        except OSError:
            # On its way out already.
            continue
        if free:
            shutil.rmtree(folder, ignore_errors=True)
