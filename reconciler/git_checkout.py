"""Files of a Git work tree: what is tracked or could be, with the content on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pygit2

from reconciler.disk import EXCLUDED, is_text, linked_folder, open_folder, read_disk, unreadable_name
from reconciler.errors import Problem, SourceError
from reconciler.git_objects import (
    LINK_MODE,
    SUBMODULE_MODE,
    ancestry,
    check_scope,
    open_commit,
    read_blob,
    size_in,
    submodule,
)
from reconciler.location import origin_of
from reconciler.snapshot import Revision, Snapshot, SourceFile, blob_id

_UNTRACKED: Final = int(pygit2.enums.FileStatus.WT_NEW)
_WT_DELETED: Final = int(pygit2.enums.FileStatus.WT_DELETED)
_GONE: Final = int(pygit2.enums.FileStatus.WT_DELETED | pygit2.enums.FileStatus.INDEX_DELETED)
_ON_DISK: Final = int(
    pygit2.enums.FileStatus.WT_MODIFIED
    | pygit2.enums.FileStatus.WT_TYPECHANGE
    | pygit2.enums.FileStatus.WT_NEW
    | pygit2.enums.FileStatus.CONFLICTED
)


def open_checkout(folder: Path, *, ref: str, shown: str) -> Snapshot:
    """The work tree around `folder`, with `folder` as its scope; with `ref` that commit's files instead.

    A folder that Git ignores is read as it is on disk, with the repository's origin and revision: that is
    where rendered manifests lie.

    Raises:
        SourceError: Git refuses the repository, its index cannot be read, or there is no such ref.
    """
    with _translated(folder):
        repo = _repository(folder)
        top = Path(repo.workdir).resolve()
        scope = "" if folder == top else folder.relative_to(top).as_posix()
        origin = _origin(repo)
        if ref:
            return open_commit(
                repo, _commit(repo, ref, top), root=str(top), scope=scope, origin=origin, ref=ref
            )
        status = _status(repo)
        revision = _revision(repo, _dirty(status, scope))
        if scope and repo.path_is_ignored(f"{scope}/") and not _tracks(repo, scope):
            return open_folder(folder, root=shown, origin=origin, revision=revision)
        changed = {path for path, flags in status.items() if flags & _ON_DISK}
        files, notes = _files(repo, top, status)
        committed = frozenset(files.keys() - changed)
    check_scope(files, scope, str(top))
    return Snapshot(
        root=str(top),
        files=files,
        reader=_reader(repo, top, committed),
        scope=scope,
        origin=origin,
        revision=revision,
        notes=tuple(sorted(notes)),
        ancestry=ancestry(repo, revision.commit) if revision else lambda _: None,
    )


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except (pygit2.GitError, KeyError, OSError) as error:
        raise SourceError(
            f"cannot read the Git repository of {folder}",
            hint="Check it with `git status`; to read the files without Git, copy them elsewhere.",
        ) from error


def _repository(folder: Path) -> Any:
    try:
        found = pygit2.discover_repository(str(folder))
        if found is None:
            raise SourceError(
                f"{folder} has a `.git` that is no repository",
                hint="Repair or remove it; `git status` tells more.",
            )
        repo = pygit2.Repository(found)
    except pygit2.GitError as error:
        if "not owned" not in str(error):
            raise
        # Another user's index and settings could hide manifests or put foreign ones there.
        raise SourceError(
            f"the Git repository of {folder} belongs to another user",
            hint=f"If you trust it: git config --global --add safe.directory {_top(folder)}",
        ) from error
    if repo.workdir is None:
        raise SourceError(
            f"{folder} lies in a Git folder, not in a checkout", hint="Name a folder of the work tree."
        )
    return repo


def _top(folder: Path) -> Path:
    """The folder that holds `.git`."""
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)


def _commit(repo: Any, ref: str, top: Path) -> Any:
    try:
        return repo.revparse_single(ref).peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise SourceError(
            f"no branch, tag or commit `{ref}` in {top}",
            hint="Fetch it first, or check the name with `git log`.",
        ) from error


def _origin(repo: Any) -> str:
    """The remote `origin`, or the only one there is."""
    urls = {remote.name: remote.url or "" for remote in repo.remotes}
    url = urls.get("origin") or (next(iter(urls.values())) if len(urls) == 1 else "")
    return origin_of(url)


def _revision(repo: Any, dirty: bool) -> Revision | None:
    if repo.head_is_unborn:
        return None
    commit = repo.head.peel(pygit2.Commit)
    ref = "" if repo.head_is_detached else str(repo.head.shorthand)
    shallow = bool(repo.is_shallow)
    return Revision(str(commit.id), int(commit.commit_time), dirty=dirty, ref=ref, shallow=shallow)


def _status(repo: Any) -> dict[str, int]:
    """What differs between commit, index and disk, by path; what a sparse checkout leaves out does not."""
    status = {path: int(flags) for path, flags in repo.status(untracked_files="all").items()}
    absent = [path for path, flags in status.items() if flags == _WT_DELETED]
    rules = Path(repo.path, "info", "sparse-checkout")
    if absent and rules.is_file() and _set(repo, "core.sparseCheckout"):
        from pathspec import GitIgnoreSpec

        # What the rules leave out was never checked out; taken as deleted, its agents would be deleted too.
        wanted = GitIgnoreSpec.from_lines(rules.read_text("utf-8", "replace").splitlines())
        for path in absent:
            if not wanted.match_file(path):
                del status[path]
    return status


def _set(repo: Any, name: str) -> bool:
    return name in repo.config and bool(repo.config.get_bool(name))


def _dirty(status: dict[str, int], scope: str) -> bool:
    return any(
        flags != _UNTRACKED or not scope or path.startswith(f"{scope}/") for path, flags in status.items()
    )


def _tracks(repo: Any, scope: str) -> bool:
    return any(entry.path.startswith(f"{scope}/") for entry in repo.index)


def _files(repo: Any, top: Path, status: dict[str, int]) -> tuple[dict[str, SourceFile], list[Problem]]:
    """Every file by path. Ids come from the index where the work tree is known to hold the same."""
    files: dict[str, SourceFile] = {}
    notes: list[Problem] = []
    from_index = size_in(repo)

    def from_disk(file: SourceFile) -> tuple[str, int]:
        content = read_disk(top, file.path)
        return blob_id(content), len(content)

    def listed(path: str, blob: str, link: bool) -> None:
        if not is_text(path):
            notes.append(unreadable_name(path))
            return
        files[path] = SourceFile(path, look=from_index if blob else from_disk, blob=blob, link=link)
        if link and os.path.isdir(top / path):
            notes.append(linked_folder(path))

    tracked: set[str] = set()
    for entry in repo.index:
        tracked.add(entry.path)
        flags = status.get(entry.path, 0)
        if entry.mode == SUBMODULE_MODE:
            notes.append(submodule(entry.path))
        elif flags & _ON_DISK:
            listed(entry.path, "", os.path.islink(top / entry.path))
        elif not flags & _GONE:
            listed(entry.path, str(entry.id), entry.mode == LINK_MODE)
    for path, flags in status.items():
        if path in tracked or not flags & _ON_DISK or EXCLUDED & set(path.split("/")[:-1]):
            continue
        if path.endswith("/"):
            notes.append(submodule(path.rstrip("/")))
        elif os.path.lexists(top / path):
            listed(path, "", os.path.islink(top / path))
    return dict(sorted(files.items())), notes


def _reader(repo: Any, top: Path, committed: frozenset[str]) -> Callable[[SourceFile], bytes]:
    """Reads a file from disk; where Git has its content, exactly what Git has.

    The two differ where Git changes line ends on checkout, in a sparse checkout, and when somebody
    saves the file while we read: the id and the content of a file always belong together.
    """

    def read(file: SourceFile) -> bytes:
        if file.path not in committed:
            return read_disk(top, file.path)
        try:
            content = read_disk(top, file.path)
        except SourceError:
            return read_blob(repo, file.path, file.blob)
        return content if blob_id(content) == file.blob else read_blob(repo, file.path, file.blob)

    return read
