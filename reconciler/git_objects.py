"""Files of a commit, read from the object database: nothing is checked out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pygit2

from reconciler.disk import MAX_FILES, is_text, too_many_files, unreadable_name
from reconciler.errors import Place, Problem, SourceError
from reconciler.snapshot import MAX_FILE_BYTES, Revision, Snapshot, SourceFile, too_large

LINK_MODE: Final = 0o120000
SUBMODULE_MODE: Final = 0o160000
# Neighbours of the scope may be referred to, but a list of half a million files is 200 MB of memory.
MAX_FILES_IN_ALL: Final = 500_000
# As a tree object has them; those for the index, above, are numbers.
_TREE_MODE: Final = b"40000"
_LINK_MODE: Final = b"120000"
_SUBMODULE_MODE: Final = b"160000"
_ENTRY: Final = re.compile(rb"0*([1-7][0-7]*) ([^\0]+)\0(.{20})", re.DOTALL)
# Room for half a million names; a tree object is read whole.
_MOST_TREE_BYTES: Final = 64 * 1024 * 1024
# No system can check out a longer one.
_MOST_PATH_CHARS: Final = 4096
_LFS: Final = b"version https://git-lfs.github.com/spec/"


# Tells id and size (bytes) of a file.
Look = Callable[[SourceFile], tuple[str, int]]


@dataclass(frozen=True)
class Listing:
    """What a commit holds: the id of its tree, its files by path, its folders with theirs, what was left out.

    `files` is sorted; `folders` has no entry for the root.
    """

    tree: str
    files: Mapping[str, SourceFile]
    folders: Mapping[str, str] = field(repr=False)
    notes: Mapping[str, Problem] = field(repr=False)


def open_commit(repo: Any, commit: Any, *, root: str, scope: str, origin: str, ref: str) -> Snapshot:
    """The files of one commit.

    Raises:
        SourceError: the commit has no such folder, or too many files.
    """
    listing = list_tree(repo, str(commit.tree_id), size_in(repo), root=root)
    check_scope(listing.files, scope, root)
    shallow = bool(repo.is_shallow)
    return Snapshot(
        root=root,
        files=listing.files,
        reader=lambda file: read_blob(repo, file.path, file.blob),
        scope=scope,
        origin=origin,
        revision=Revision(str(commit.id), int(commit.commit_time), ref=ref, shallow=shallow),
        notes=tuple(sorted(listing.notes.values())),
        ancestry=ancestry(repo, str(commit.id)),
        trees=lambda folder: listing.folders.get(folder, "") if folder else listing.tree,
    )


def list_tree(repo: Any, tree: str, look: Look, *, root: str = "", before: Listing | None = None) -> Listing:
    """Everything below a tree. With an earlier listing only the folders that differ are read.

    Raises:
        SourceError: an object is missing, or more than 500,000 files and folders.
    """
    if before is not None and before.tree == tree:
        return before
    walk = _Walk(repo, look, root, before or Listing("", {}, {}, {}))
    walk.replace("", before.tree if before else "", tree)
    files = walk.files
    # Only new paths can be out of order.
    if walk.added:
        files = dict(sorted(files.items()))
    return Listing(tree, files, walk.folders, walk.notes)


class _Walk:
    """One walk over a tree, or over what differs between two. Entries are told apart by mode and id."""

    def __init__(self, repo: Any, look: Look, root: str, before: Listing) -> None:
        self._repo = repo
        self._look = look
        self._root = root
        self.files = dict(before.files)
        self.folders = dict(before.folders)
        self.notes = dict(before.notes)
        self.added = False

    def replace(self, prefix: str, old: str, new: str) -> None:
        """Put the tree `new` in place of `old` below `prefix`; "" for none."""
        pending = [(prefix, old, new)]
        while pending:
            prefix, old, new = pending.pop()
            before, after = self._entries(old, prefix), self._entries(new, prefix)
            for mode, name, _ in before - after:
                if mode == _TREE_MODE:
                    self.folders.pop(prefix + os.fsdecode(name), None)
                self._remove(prefix + os.fsdecode(name))
            trees = {name: oid for mode, name, oid in before - after if mode == _TREE_MODE}
            for mode, name, oid in after - before:
                path = prefix + os.fsdecode(name)
                if mode == _TREE_MODE:
                    self.folders[path] = oid.hex()
                    pending.append((f"{path}/", trees.pop(name, b"").hex(), oid.hex()))
                else:
                    self._add(path, mode, oid.hex())
            for name, oid in trees.items():
                pending.append((f"{prefix}{os.fsdecode(name)}/", oid.hex(), ""))
            # A small pack can hold a tree that contains itself a billion times over.
            if len(self.files) + len(self.folders) + len(self.notes) > MAX_FILES_IN_ALL:
                raise too_many_files(self._root, MAX_FILES_IN_ALL)
            if len(prefix) > _MOST_PATH_CHARS:
                raise SourceError(
                    f"folders without end in {self._root}", hint="Check the repository with `git fsck`."
                )

    def _entries(self, tree: str, prefix: str) -> set[tuple[bytes, bytes, bytes]]:
        """The (mode, name, id) of each entry of a tree object, as Git writes them."""
        if not tree:
            return set()
        oid = pygit2.Oid(hex=tree)
        try:
            if self._repo.odb.read_header(oid)[1] > _MOST_TREE_BYTES:
                raise too_many_files(f"{self._root}//{prefix}", MAX_FILES_IN_ALL)
            return set(_ENTRY.findall(self._repo.odb.read(oid)[1]))
        except (KeyError, pygit2.GitError) as error:
            raise _missing(prefix or ".") from error

    def _remove(self, path: str) -> None:
        self.files.pop(path, None)
        self.notes.pop(path, None)

    def _add(self, path: str, mode: bytes, oid: str) -> None:
        if mode == _SUBMODULE_MODE:
            self.notes[path] = submodule(path)
        elif not is_text(path):
            self.notes[path] = unreadable_name(path)
        else:
            self.added = self.added or path not in self.files
            self.files[path] = SourceFile(path, look=self._look, blob=oid, link=mode == _LINK_MODE)


def size_in(repo: Any) -> Look:
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
        oid = pygit2.Oid(hex=blob)
        # Asked first: a few bytes of a pack can stand for gigabytes.
        size = int(repo.odb.read_header(oid)[1])
        if size > MAX_FILE_BYTES:
            raise too_large(path, size)
        content = bytes(repo.odb.read(oid)[1])
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


def check_scope(files: Mapping[str, SourceFile], scope: str, root: str, most: int = MAX_FILES) -> None:
    """Refuse a listing that is too long.

    Raises:
        SourceError: more than `most` files in the scope, or 500,000 in the whole repository.
    """
    if len(files) <= most:
        return
    inside = sum(path.startswith(f"{scope}/") for path in files) if scope else len(files)
    if inside > most or len(files) > MAX_FILES_IN_ALL:
        raise too_many_files(f"{root}//{scope}" if scope else root, most)


def submodule(path: str) -> Problem:
    """The note about a submodule or another repository inside this one."""
    hint = "Give that repository as a source of its own if it holds manifests."
    return Problem(Place(path), "", "left out: another Git repository", hint, note=True)


def _missing(path: str) -> SourceError:
    return SourceError(
        f"the Git repository has lost the content of `{path}`",
        hint="Run `git fsck`; a partial clone needs its files checked out, or `git fetch --refetch`.",
    )
