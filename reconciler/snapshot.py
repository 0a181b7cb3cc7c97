"""What a source holds at one moment: files with content ids, a revision, folders of code."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from reconciler.errors import Place, Problem, SourceError
from reconciler.ignore_rules import IgnoreRules
from reconciler.resource import Code

# One file larger than this is no manifest, prompt or code that the service takes (its zips end at 250 MB).
MAX_FILE_BYTES: Final = 300 * 1024 * 1024


def blob_id(content: bytes) -> str:
    """The id Git gives to this content, 40 hex digits: the same in every kind of source."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class SourceFile:
    """One file: `path` from the source root, `link` for a symbolic link (listed, never read).

    `blob` and `size` (bytes) are looked up when first asked for, where listing did not tell them.
    """

    __slots__ = ("_blob", "_look", "_size", "link", "path")

    def __init__(
        self,
        path: str,
        *,
        look: Callable[[SourceFile], tuple[str, int]],
        blob: str = "",
        link: bool = False,
    ) -> None:
        self.path = path
        self.link = link
        self._look = look
        self._blob = blob
        self._size = -1

    @property
    def blob(self) -> str:
        """Git's id of the content, 40 hex digits."""
        if not self._blob:
            self._blob, self._size = self._look(self)
        return self._blob

    @property
    def size(self) -> int:
        """Length of the content in bytes."""
        if self._size < 0:
            self._size = self._look(self)[1]
        return self._size

    def __repr__(self) -> str:
        return f"SourceFile({self.path!r})"


@dataclass(frozen=True)
class Revision:
    """The commit a source stands on.

    `time` is the committer's, in Unix seconds. `dirty`: a tracked file differs from the commit, or an
    untracked one lies in the folder that was asked for. `ref` is a branch or tag, "" when detached.
    `shallow`: the history was cut, so that "is no ancestor" cannot be known.
    """

    commit: str
    time: int
    dirty: bool = False
    ref: str = ""
    shallow: bool = False

    def __str__(self) -> str:
        name = f"{self.ref}@{self.commit[:12]}" if self.ref else self.commit[:12]
        return f"{name}, with uncommitted changes" if self.dirty else name


@dataclass(frozen=True)
class Snapshot:
    """The source, listed once.

    `root` is for display. `scope` is the folder below it that was asked for, "" for all; `files` covers
    the whole root, since a manifest may refer to its neighbours, sorted by path. `notes` tell what was
    left out. `origin` is `host/path` of the Git remote, "" without one.
    """

    root: str
    files: Mapping[str, SourceFile]
    reader: Callable[[SourceFile], bytes] = field(repr=False, compare=False)
    scope: str = ""
    origin: str = ""
    revision: Revision | None = None
    notes: tuple[Problem, ...] = ()
    ancestry: Callable[[str], bool | None] = field(default=lambda _: None, repr=False, compare=False)
    trees: Callable[[str], str] = field(default=lambda _: "", repr=False, compare=False)

    def read(self, path: str) -> bytes:
        """The content of a file; its Git id is that file's `blob`.

        Raises:
            SourceError: no such file in the source, a symbolic link, larger than 300 MiB, unreadable.
        """
        file = self.files.get(path)
        if file is None:
            raise SourceError(
                f"`{path}` is not in the source {self.root}",
                hint="Paths stay inside the source; ignored files and other repositories are not part of it.",
            )
        if file.link:
            raise SourceError(f"`{path}` is a symbolic link", hint=_NO_LINKS)
        return self.reader(file)

    def is_ancestor(self, commit: str) -> bool | None:
        """Whether `commit` is the revision or one before it; None where the history does not tell."""
        return self.ancestry(commit)

    def tree(self, folder: str) -> str:
        """Git's id of everything in a folder, "" where it is not known; equal ids are equal folders."""
        return self.trees(folder.strip("/"))

    def code(self, folder: str, ignore_file: str = ".agentignore") -> tuple[Code | None, tuple[Problem, ...]]:
        """A folder of the source as a code bundle, or what is wrong with it.

        Left out is what the default rules and the folder's own `ignore_file` (gitignore syntax) say.
        """
        folder = folder.strip("/")
        prefix = f"{folder}/" if folder not in ("", ".") else ""
        paths = self._below(prefix)
        if not paths:
            return None, (_no_folder(folder, is_file=folder in self.files),)
        inner = self.files.get(prefix + ignore_file)
        rules = IgnoreRules(self.read(inner.path) if inner and not inner.link else b"")
        kept = [path for path in paths if not rules.ignores(path[len(prefix) :])]
        links = [path for path in kept if self.files[path].link]
        if links:
            return None, tuple(
                Problem(Place(path), "", f"`{path}` is a symbolic link in a code folder", _NO_LINKS)
                for path in links
            )
        tree = hashlib.sha256()
        for path in kept:
            tree.update(
                f"{path[len(prefix) :]}\0{self.files[path].blob}\n".encode("utf-8", "surrogateescape")
            )
        files = tuple((path[len(prefix) :], path) for path in kept)
        return Code(folder or ".", tree.hexdigest(), files), ()

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self.files)

    def _below(self, prefix: str) -> list[str]:
        """The paths that start with `prefix`, without a walk over all of them."""
        paths = self._sorted
        start = bisect_left(paths, prefix)
        # The code point after "/" is "0": the first path that sorts behind the whole folder.
        end = bisect_left(paths, prefix[:-1] + "0") if prefix else len(paths)
        return paths[start:end]


_NO_LINKS = "Symbolic links are not followed, they may lead out of the source; put the file itself there."


def too_large(path: str, size: int) -> SourceError:
    """The error for a file that no manifest can mean."""
    return SourceError(
        f"`{path}` has {size:,} bytes, more than {MAX_FILE_BYTES:,}",
        hint="Keep large files out of the repository, and out of code folders by `.agentignore`.",
    )


def _no_folder(folder: str, *, is_file: bool) -> Problem:
    if is_file:
        return Problem(
            Place(folder), "", f"`{folder}` is a file, not a folder", "Name the folder that holds it."
        )
    return Problem(
        Place(folder),
        "",
        f"no files in the folder `{folder}`",
        "Check the path: it is relative to the manifest and stays inside the source. What is ignored is not "
        "there.",
    )
