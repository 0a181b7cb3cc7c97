"""Files of a commit, read from the object database: nothing is checked out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pygit2

from reconciler.disk import MAX_FILES, is_text, too_many_files, unreadable_name
from reconciler.errors import Place, Problem, SourceError
from reconciler.snapshot import MAX_FILE_BYTES, Revision, Snapshot, SourceFile, too_large

LINK_MODE: Final = 0o120000
SUBMODULE_MODE: Final = 0o160000
# Neighbours of the scope may be referred to, but a list of half a million files is 200 MB of memory.
MAX_FILES_IN_ALL: Final = 500_000
_LFS: Final = b"version https://git-lfs.github.com/spec/"


def open_commit(repo: Any, commit: Any, *, root: str, scope: str, origin: str, ref: str) -> Snapshot:
    """The files of one commit.

    Raises:
        SourceError: the commit has no such folder, or too many files.
    """
    index = pygit2.Index()
    index.read_tree(commit.peel(pygit2.Tree))
    look = size_in(repo)
    files: dict[str, SourceFile] = {}
    notes: list[Problem] = []
    for entry in index:
        if entry.mode == SUBMODULE_MODE:
            notes.append(submodule(entry.path))
        elif not is_text(entry.path):
            notes.append(unreadable_name(entry.path))
        else:
            link = entry.mode == LINK_MODE
            files[entry.path] = SourceFile(entry.path, look=look, blob=str(entry.id), link=link)
    files = dict(sorted(files.items()))
    check_scope(files, scope, root)
    shallow = bool(repo.is_shallow)
    return Snapshot(
        root=root,
        files=files,
        reader=lambda file: read_blob(repo, file.path, file.blob),
        scope=scope,
        origin=origin,
        revision=Revision(str(commit.id), int(commit.commit_time), ref=ref, shallow=shallow),
        notes=tuple(sorted(notes)),
        ancestry=ancestry(repo, str(commit.id)),
    )


def size_in(repo: Any) -> Callable[[SourceFile], tuple[str, int]]:
    """A look-up of (id, size) for files with a known id, by the header of the object alone."""

    def look(file: SourceFile) -> tuple[str, int]:
        try:
            return file.blob, int(repo.odb.read_header(pygit2.Oid(hex=file.blob))[1])
        except (KeyError, pygit2.GitError) as error:
            raise _missing(file.path) from error

    return look


def read_blob(repo: Any, path: str, blob: str) -> bytes:
    """The content of a blob.

    Raises:
        SourceError: the object is missing, or stands for content that Git LFS keeps elsewhere.
    """
    try:
        found = repo[blob]
        if found.size > MAX_FILE_BYTES:
            raise too_large(path, found.size)
        content = bytes(found.data)
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise _missing(path) from error
    if content.startswith(_LFS):
        raise SourceError(
            f"`{path}` is kept in Git LFS, which is not read",
            hint="Keep manifests, prompts and code in Git itself.",
        )
    return content


def ancestry(repo: Any, head: str) -> Callable[[str], bool | None]:
    """Answers whether a commit is `head` or came before it; None where a cut history hides it."""

    def is_ancestor(commit: str) -> bool | None:
        if commit == head:
            return True
        try:
            oid = pygit2.Oid(hex=commit)
        except ValueError:
            return None
        if len(commit) != 40:
            return None
        try:
            if repo.is_shallow:
                return None
            return oid in repo and bool(repo.descendant_of(head, oid))
        except (KeyError, ValueError, pygit2.GitError):
            return None

    return is_ancestor


def check_scope(files: dict[str, SourceFile], scope: str, root: str) -> None:
    """Refuse a listing that is too long.

    Raises:
        SourceError: more than 100,000 files in the scope, or 500,000 in the whole repository.
    """
    if len(files) <= MAX_FILES:
        return
    inside = sum(path.startswith(f"{scope}/") for path in files) if scope else len(files)
    if inside > MAX_FILES or len(files) > MAX_FILES_IN_ALL:
        raise too_many_files(f"{root}//{scope}" if scope else root)


def submodule(path: str) -> Problem:
    """The note about a submodule or another repository inside this one."""
    hint = "Give that repository as a source of its own if it holds manifests."
    return Problem(Place(path), "", "left out: another Git repository", hint, note=True)


def _missing(path: str) -> SourceError:
    return SourceError(
        f"the Git repository has lost the content of `{path}`",
        hint="Run `git fsck`; a partial clone needs its files checked out, or `git fetch --refetch`.",
    )
