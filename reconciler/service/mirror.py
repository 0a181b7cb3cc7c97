"""A remote repository as far as the service needs it: its newest commits, in folders of this process."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pygit2
import structlog

from reconciler.errors import SourceError
from reconciler.git_credentials import login_for
from reconciler.git_objects import Listing, ancestry, list_tree, read_blob, size_in
from reconciler.git_remote import EVERYTHING, has_commit, heads_of, kept_as, proxy_for, translated, wanted_in
from reconciler.location import GitUrl, origin_of
from reconciler.service.cache_folder import own_folder
from reconciler.service.source_limits import Calls, FetchLimits, Watched
from reconciler.snapshot import Revision, Snapshot

log = structlog.get_logger("reconciler")

_DAMAGES: Final = (KeyError, ValueError, pygit2.GitError)
_WHOLE_HISTORY: Final = 2**31 - 1
# After so many fetches what is needed is copied into a new folder: each fetch keeps a whole tree (250 KB for
# 10,000 files in one folder), and libgit2 collects no garbage.
_FETCHES: Final = 50
_GROWTH_BYTES: Final = 100 * 1024 * 1024
# A push of more objects than this is most likely another history, fetched faster without its past.
_MOST_OBJECTS: Final = 20_000


class Generation:
    """A bare repository in a folder of its own, which is removed when nothing refers to it any more."""

    def __init__(self, parent: Path) -> None:
        try:
            self.folder = Path(tempfile.mkdtemp(dir=parent))
            self.repo: Any = pygit2.init_repository(str(self.folder), bare=True)
        except (OSError, pygit2.GitError) as error:
            raise SourceError(
                f"cannot write the Git cache {parent}", hint="Set RECONCILER_CACHE to a folder with room."
            ) from error
        self.look = size_in(self.repo)
        self.fetches = 0
        self.newest = ""
        self.base_bytes = 0
        remove = weakref.finalize(self, shutil.rmtree, str(self.folder), ignore_errors=True)
        # The folder of the whole process is removed at its end.
        remove.atexit = False

    def bytes(self) -> int:
        """How much its packs take on disk."""
        return sum(file.stat().st_size for file in (self.folder / "objects/pack").glob("*"))

    def rest(self) -> None:
        """Close its files; they are opened again when somebody reads.

        Reading an object holds the interpreter's lock and is safe beside this. A call to a server lets it go:
        where one is under way with this repository, the process would end with a segmentation fault.
        """
        self.repo.free()


@dataclass(frozen=True)
class Fetched:
    """A commit that is here, the full name of the ref it came by ("" for an id), and what holds it."""

    commit: Any
    name: str
    generation: Generation

    @property
    def ref(self) -> str:
        """The short name of the ref."""
        return self.name.removeprefix("refs/heads/").removeprefix("refs/tags/")


class Mirror:
    """One remote. Its methods block, and all but `head` take one caller at a time."""

    def __init__(self, url: GitUrl, environ: Mapping[str, str], cache: Path, limits: FetchLimits) -> None:
        self._url = url
        self._environ = environ
        self._limits = limits
        self._cache = cache
        self._calls = Calls(url, limits)
        self._generation: Generation | None = None
        self._renewed: Generation | None = None
        self._renewing: threading.Thread | None = None
        self._listing: tuple[Generation, Listing] | None = None

    def close(self) -> None:
        """Wait for the server no more."""
        self._calls.abandon()

    def head(self, ref: str | None = None) -> tuple[str, str]:
        """Full name and commit of a ref now, of the source's own where none is given.

        The name is "" for a commit that is named by its id, and the commit may be shortened then.

        Raises:
            SourceUnreachable: no answer in time.
            SourceError: access refused, no such repository or ref.
        """
        url = self._url if ref is None else replace(self._url, ref=ref)
        login, proxy = login_for(url, self._environ), proxy_for(url, self._environ)
        watched = Watched(url, login, self._limits)
        # In no folder, since others may close that of this mirror at the same time.
        remote = pygit2.Repository().remotes.create_anonymous(url.url)
        heads = self._calls.run(lambda: heads_of(remote, url, login, proxy, watched), watched)
        name, commit = wanted_in(heads, url)
        return name or "", commit

    def fetch(self, name: str, commit: str) -> Fetched:
        """The commit, or a newer one where the ref has moved on since `head` named it.

        Raises:
            SourceUnreachable: no answer in time.
            SourceError: it is gone, larger than the limits, or came without its files.
        """
        if self._renewed is not None:
            self._generation, self._renewed = self._renewed, None
        here = self._here()
        try:
            found = self._fetched(here, name, commit)
        except _DAMAGES:
            # A full disk, or somebody who tidied up, left half a repository: it is only a cache.
            self._generation = None
            here = self._here()
            try:
                found = self._fetched(here, name, commit)
            except _DAMAGES as error:
                raise SourceError(
                    f"{self._url.url} sent a commit without its files",
                    hint="Run `git fsck` on the server's repository.",
                ) from error
        return Fetched(found, name, here)

    def snapshot(self, fetched: Fetched) -> Snapshot:
        """The files of a commit that was fetched. What an earlier commit has in common is not read again.

        Raises:
            SourceError: no such folder, more files than the limit, or an object is missing.
        """
        commit, here = fetched.commit, fetched.generation
        root = f"{self._url.url}@{fetched.ref}" if fetched.ref else self._url.url
        before = self._listing[1] if self._listing and self._listing[0] is here else None
        listing = list_tree(here.repo, str(commit.tree_id), here.look, root=root, before=before)
        self._check(listing, root)
        self._listing = here, listing
        shallow = bool(here.repo.is_shallow)
        return Snapshot(
            root=root,
            files=listing.files,
            reader=lambda file: read_blob(here.repo, file.path, file.blob),
            scope=self._url.folder,
            origin=origin_of(self._url.url),
            revision=Revision(str(commit.id), int(commit.commit_time), ref=fetched.ref, shallow=shallow),
            notes=tuple(sorted(listing.notes.values())),
            ancestry=ancestry(here.repo, str(commit.id)),
            trees=lambda folder: listing.folders.get(folder, "") if folder else listing.tree,
        )

    def rest(self, newest: Fetched) -> None:
        """Hold no file open until the next call; copy what is needed when too much has gathered.

        Args:
            newest: the commit that the next fetch goes on from.
        """
        here = newest.generation
        here.rest()
        busy = self._renewed is not None or (self._renewing is not None and self._renewing.is_alive())
        grown = here.fetches > 1 and here.bytes() - here.base_bytes > _GROWTH_BYTES
        if (here.fetches >= _FETCHES or grown) and newest.name and not busy:
            given = (here, newest.name, str(newest.commit.id))
            self._renewing = threading.Thread(target=self._renew, args=given, name="git", daemon=True)
            self._renewing.start()

    def _here(self) -> Generation:
        """The repository to fetch into; a new one where the last has lost what it was fetched for."""
        here = self._generation
        if here is None or (here.newest and not has_commit(here.repo, here.newest)):
            here = self._generation = Generation(own_folder(self._cache))
        return here

    def _fetched(self, here: Generation, name: str, commit: str) -> Any:
        if not has_commit(here.repo, commit):
            commit = self._newest(here, name) if name else self._by_id(here, commit)
        found = here.repo.revparse_single(commit).peel(pygit2.Commit)
        found.peel(pygit2.Tree)
        return found

    def _newest(self, here: Generation, name: str) -> str:
        """The commit of a ref after fetching it.

        A first fetch, and one of another history, leave the past out; others bring what lies between, which
        costs one question less.
        """
        refspecs = [f"+{name}:{kept_as(name)}"]
        if self._url.scheme == "file":
            self._download(here, refspecs, 0)
        elif not here.fetches or not self._download(here, refspecs, 0, _MOST_OBJECTS):
            self._download(here, refspecs, 1)
        here.fetches += 1
        if here.fetches == 1:
            here.base_bytes = here.bytes()
        here.newest = str(here.repo.references[kept_as(name)].peel(pygit2.Commit).id)
        return here.newest

    def _by_id(self, here: Generation, commit: str) -> str:
        """A commit by its id, whole or shortened; only the history tells which branch holds it."""
        self._download(here, EVERYTHING, _WHOLE_HISTORY if here.repo.is_shallow else 0)
        here.fetches += 1
        if not has_commit(here.repo, commit):
            raise SourceError(
                f"no commit `{commit}` in {self._url.url}",
                hint="A force push or a deleted branch may have removed it; name a branch or a tag.",
            )
        return commit

    def _download(
        self, here: Generation, refspecs: list[str], depth: int, most_objects: int | None = None
    ) -> bool:
        """Fetch; False where the server was stopped because it sends more than `most_objects`."""
        url, login = self._url, login_for(self._url, self._environ)
        proxy = proxy_for(url, self._environ)
        watched = Watched(url, login, self._limits, most_objects)
        remote = here.repo.remotes.create_anonymous(url.url)

        def call() -> None:
            with translated(url, login, watched):
                remote.fetch(refspecs, callbacks=watched, proxy=proxy, depth=depth)

        try:
            self._calls.run(call, watched)
        except SourceError:
            if watched.given_up:
                # It may go on writing into this folder.
                self._generation = None
            if not watched.too_many:
                raise
            return False
        return True

    def _check(self, listing: Listing, root: str) -> None:
        scope, most = self._url.folder, self._limits.files
        inside = len(listing.files)
        if scope:
            inside = sum(path.startswith(f"{scope}/") for path in listing.files)
        if scope and not inside:
            raise SourceError(
                f"no folder `{scope}` in {root}",
                hint="Check `path` and `ref` of the source; it may have moved.",
            )
        if inside > most:
            raise SourceError(
                f"{inside:,} files in {root}{f'//{scope}' if scope else ''}, more than {most:,}",
                hint="Name the manifests' folder as `path` of the source, or raise its `limits.files`.",
            )

    def _renew(self, here: Generation, name: str, commit: str) -> None:
        """Copy the newest commit into a folder of its own, beside everything else that goes on."""
        try:
            new, old = Generation(here.folder.parent), pygit2.Repository(str(here.folder))
            ref = kept_as(name)
            if old.is_shallow:
                builder = pygit2.PackBuilder(old)
                builder.set_threads(1)
                builder.add_recur(pygit2.Oid(hex=commit))
                builder.write(str(new.folder / "objects/pack"))
                (new.folder / "shallow").write_text(f"{commit}\n")
                new.repo = pygit2.Repository(str(new.folder))
                new.repo.references.create(ref, pygit2.Oid(hex=commit))
            else:
                new.repo.remotes.create_anonymous(str(here.folder)).fetch([f"+{ref}:{ref}"])
            new.look = size_in(new.repo)
            new.fetches, new.newest, new.base_bytes = 1, commit, new.bytes()
            new.rest()
            self._renewed = new
        except (SourceError, OSError, KeyError, ValueError, pygit2.GitError) as error:
            log.warning("git_cache_not_renewed", url=self._url.url, error=type(error).__name__)
