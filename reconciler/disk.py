"""Files of a folder as they are on disk, without Git."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reconciler.errors import Place, Problem, SourceError
from reconciler.snapshot import MAX_FILE_BYTES, Revision, Snapshot, SourceFile, blob_id, too_large

# Never part of a source unless Git tracks them: large, made by tools, and full of foreign YAML.
EXCLUDED: Final = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache"}
    | {".ruff_cache", ".tox", ".terraform", ".azure"}
)
# A listing this long is a wrong folder (`/`, a home) far more often than a wish.
MAX_FILES: Final = 100_000
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def open_folder(folder: Path, *, root: str, origin: str = "", revision: Revision | None = None) -> Snapshot:
    """The files below a folder; ids are computed when asked for, so that a large folder lists fast."""

    def look(file: SourceFile) -> tuple[str, int]:
        content = read_disk(folder, file.path)
        return blob_id(content), len(content)

    files: dict[str, SourceFile] = {}
    notes: list[Problem] = []
    for path, link in _walk(folder):
        if not is_text(path):
            notes.append(unreadable_name(path))
            continue
        files[path] = SourceFile(path, look=look, link=link)
        if len(files) > MAX_FILES:
            raise too_many_files(root)
        if link and os.path.isdir(folder / path):
            notes.append(linked_folder(path))
    return Snapshot(
        root=root,
        files=dict(sorted(files.items())),
        reader=lambda file: read_disk(folder, file.path),
        origin=origin,
        revision=revision,
        notes=tuple(sorted(notes)),
    )


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """Paths of files and links below a folder, links not followed; sockets and the like left out."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            entries = list(os.scandir(os.path.join(folder, prefix)))
        except OSError as error:
            raise SourceError(f"cannot list `{prefix or '.'}`", hint="Check who may read it.") from error
        for entry in entries:
            path = prefix + entry.name
            if entry.is_symlink():
                yield path, True
            elif entry.is_dir(follow_symlinks=False):
                if entry.name not in EXCLUDED:
                    pending.append(path + "/")
            elif entry.is_file(follow_symlinks=False):
                yield path, False


def read_disk(folder: Path, path: str) -> bytes:
    """The content of one file below a folder, never through a symbolic link in its last part.

    Raises:
        SourceError: it went away, may not be read, or has more than 300 MiB.
    """
    try:
        with open(os.open(f"{folder}/{path}", _FLAGS), "rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise too_large(path, size)
            return stream.readall()
    except OSError as error:
        raise SourceError(
            f"cannot read `{path}`", hint="Check that it still exists and who may read it."
        ) from error


def is_text(path: str) -> bool:
    """Whether the name is UTF-8, as every report and every zip needs it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def unreadable_name(path: str) -> Problem:
    """The note about a file that is left out because of its name."""
    shown = path.encode("utf-8", "backslashreplace").decode()
    return Problem(Place(shown), "", "left out: its name is not UTF-8", "Rename the file.", note=True)


def linked_folder(path: str) -> Problem:
    """The note about a symbolic link to a folder: what lies behind it is not read."""
    hint = "Put the folder itself there if it holds manifests."
    return Problem(Place(path), "", "left out: a symbolic link to a folder", hint, note=True)


def too_many_files(root: str, most: int = MAX_FILES) -> SourceError:
    """The error for a listing without end."""
    return SourceError(
        f"more than {most:,} files below {root}", hint="Name the folder that holds the manifests."
    )
