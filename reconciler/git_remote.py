"""Files of a Git URL: fetched into a bare repository of the cache, read from its object database."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import pygit2

from reconciler.errors import SourceError, SourceUnreachable
from reconciler.git_cache import alone, cache_folder, open_cache
from reconciler.git_credentials import Callbacks, Login, login_for
from reconciler.git_objects import open_commit
from reconciler.location import GitUrl, origin_of
from reconciler.snapshot import Snapshot

_COMMIT: Final = re.compile(r"[0-9a-f]{7,40}")
# How libgit2 words what it has no code for; whole phrases, since addresses are full of numbers.
_REFUSALS: Final = ("status code: 401", "status code: 403", "authenticat", "credential")
_DISTRUSTS: Final = ("certificate", "hostkey", "host key")
_ABSENCES: Final = ("status code: 404", "not found", "does not exist", "not a git", "no such file")
EVERYTHING: Final = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]


def open_url(url: GitUrl, *, environ: Mapping[str, str], cache: Path | None, timeout_s: float) -> Snapshot:
    """The files of a remote's ref, of its default branch where the URL names none.

    Over http, https and ssh only the newest commit is fetched; from a `file://` remote its history too. A
    remote that has not moved since the last time costs one question.

    Raises:
        SourceUnreachable: no answer within `timeout_s`.
        SourceError: access refused, no such repository, ref or folder, or nothing in it.
    """
    login = login_for(url, environ)
    folder = cache_folder(url.url, cache, environ)
    # Process-wide in libgit2, in milliseconds; every caller of one process sets the same.
    pygit2.settings.server_timeout = pygit2.settings.server_connect_timeout = max(1, int(timeout_s * 1000))
    with alone(folder, timeout_s):
        commit, repo, ref = _fetched(url, login, folder, proxy_for(url, environ))
    shown = f"{url.url}@{ref}" if ref else url.url
    snapshot = open_commit(repo, commit, root=shown, scope=url.folder, origin=origin_of(url.url), ref=ref)
    if url.folder and not any(path.startswith(f"{url.folder}/") for path in snapshot.files):
        raise SourceError(
            f"no folder `{url.folder}` in {shown}", hint="Check the part of the URL behind `//`, and the ref."
        )
    return snapshot


def _fetched(url: GitUrl, login: Login, folder: Path, proxy: str | None) -> tuple[Any, Any, str]:
    """The commit of the URL's ref, the repository that holds it, and the short name of the ref."""
    repo = open_cache(folder)
    try:
        return _fetch(repo, url, login, proxy)
    except _Damaged:
        # A process that was killed or a full disk left half a cache: it is only a cache.
        shutil.rmtree(folder, ignore_errors=True)
    try:
        return _fetch(open_cache(folder), url, login, proxy)
    except _Damaged as error:
        raise SourceError(
            f"{url.url} sent a commit without its files", hint="Run `git fsck` on the server's repository."
        ) from error.__cause__


class _Damaged(Exception):
    """The cached repository contradicts itself."""


def _fetch(repo: Any, url: GitUrl, login: Login, proxy: str | None) -> tuple[Any, Any, str]:
    remote = repo.remotes.create_anonymous(url.url)
    heads = heads_of(remote, url, login, proxy)
    name, wanted = wanted_in(heads, url)
    if name is None:
        return _by_id(repo, remote, url, login, proxy), repo, ""
    if not has_commit(repo, wanted):
        depth = 0 if url.scheme == "file" else 1
        with translated(url, login) as callbacks:
            remote.fetch([f"+{name}:{kept_as(name)}"], callbacks=callbacks, proxy=proxy, depth=depth)
    return _commit(repo, wanted), repo, name.removeprefix("refs/heads/").removeprefix("refs/tags/")


def kept_as(name: str) -> str:
    """The ref of the cache that holds a remote's ref: by its own name, a deleted `a` would bar `a/b`."""
    return f"refs/fetched/{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def heads_of(
    remote: Any, url: GitUrl, login: Login, proxy: str | None, callbacks: Callbacks | None = None
) -> dict[str, str]:
    """What the remote has, by full name; `HEAD` maps to the name of the default branch.

    Raises:
        SourceUnreachable: no answer.
        SourceError: access refused, no repository, or an empty one.
    """
    with translated(url, login, callbacks) as callbacks:
        found = remote.list_heads(callbacks=callbacks, proxy=proxy)
    heads = {head.name: str(head.oid) for head in found}
    head = next((head for head in found if head.name == "HEAD"), None)
    if head is not None:
        same = [
            name for name, oid in heads.items() if name.startswith("refs/heads/") and oid == heads["HEAD"]
        ]
        heads["HEAD"] = head.symref_target or next(iter(same), "")
    if not any(name.startswith("refs/") for name in heads):
        raise SourceError(f"{url.url} is empty", hint="Push a commit first.")
    return heads


def wanted_in(heads: Mapping[str, str], url: GitUrl) -> tuple[str | None, str]:
    """The full name and commit of the URL's ref; None as the name for the id of a commit.

    Raises:
        SourceError: there is no such ref, or no default branch.
    """
    if url.ref in ("", "HEAD"):
        name = heads.get("HEAD", "")
        if name not in heads:
            raise SourceError(
                f"{url.url} has no default branch",
                hint="Name a branch: `?ref=main` behind the URL, or `ref` of the source.",
            )
        return name, heads[name]
    for name in (url.ref, f"refs/heads/{url.ref}", f"refs/tags/{url.ref}"):
        if name.startswith("refs/") and name in heads:
            return name, heads.get(f"{name}^{{}}", heads[name])
    if _COMMIT.fullmatch(url.ref.lower()):
        return None, url.ref.lower()
    names = [name.split("/", 2)[2] for name in heads if name.count("/") >= 2 and not name.endswith("^{}")]
    near = get_close_matches(url.ref, names, n=1)
    meant = f"Did you mean `{near[0]}`?" if near else "It may have been deleted; check the name."
    raise SourceError(f"no branch or tag `{url.ref}` in {url.url}", hint=meant)


def _by_id(repo: Any, remote: Any, url: GitUrl, login: Login, proxy: str | None) -> Any:
    """A commit by its id, whole or shortened; only the history tells which branch holds it."""
    if not has_commit(repo, url.ref):
        with translated(url, login) as callbacks:
            remote.fetch(
                EVERYTHING, callbacks=callbacks, proxy=proxy, depth=2**31 - 1 if repo.is_shallow else 0
            )
    if not has_commit(repo, url.ref):
        raise SourceError(
            f"no commit `{url.ref}` in {url.url}",
            hint="A force push or a deleted branch may have removed it; name a branch or a tag.",
        )
    return _commit(repo, url.ref)


def has_commit(repo: Any, commit: str) -> bool:
    """Whether the repository holds a commit, given by its id or the start of it."""
    try:
        return repo.revparse_single(commit).peel(pygit2.Commit) is not None
    except (KeyError, ValueError, pygit2.GitError):
        return False


def _commit(repo: Any, commit: str) -> Any:
    try:
        found = repo.revparse_single(commit).peel(pygit2.Commit)
        found.peel(pygit2.Tree)
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise _Damaged from error
    return found


@contextmanager
def translated(url: GitUrl, login: Login, callbacks: Callbacks | None = None) -> Iterator[Callbacks]:
    """Errors of libgit2 as ours: who refused, who did not answer."""
    callbacks = callbacks or Callbacks(url, login)
    try:
        yield callbacks
    except pygit2.AuthError as error:
        raise _refused(url, login) from error
    except (pygit2.GitError, KeyError, ValueError, OSError) as error:
        text = str(error).lower()
        if callbacks.refused or any(words in text for words in _REFUSALS):
            raise _refused(url, login) from error
        if any(words in text for words in _DISTRUSTS):
            raise SourceError(
                f"cannot trust the Git server of {url.url}",
                hint="Add the server's key to ~/.ssh/known_hosts, or its authority to SSL_CERT_FILE.",
            ) from error
        if any(words in text for words in _ABSENCES):
            raise SourceError(
                f"no Git repository at {url.url}",
                hint="Check the address; a private one may hide without a token.",
            ) from error
        raise SourceUnreachable(
            f"cannot read {url.url}", hint="Check the address, the network and the proxy, then try again."
        ) from error


def _refused(url: GitUrl, login: Login) -> SourceError:
    if url.scheme == "ssh":
        hint = (
            "Set RECONCILER_GIT_SSH_KEY to a key that may read the repository, or load it into the SSH agent."
        )
    elif login.secret:
        hint = "The token or password is wrong, has expired, or may not read this repository."
    else:
        hint = (
            "Set RECONCILER_GIT_TOKEN, or RECONCILER_GIT_USERNAME and RECONCILER_GIT_PASSWORD; a source of "
            "`serve` may name `credentials` of its own."
        )
    return SourceError(f"{url.url} refuses access", hint=hint)


def proxy_for(url: GitUrl, environ: Mapping[str, str]) -> str | None:
    """The proxy that the environment names for this remote, None for none."""
    names = {name.lower(): value for name, value in environ.items() if name.lower().endswith("_proxy")}
    proxy = names.get(f"{url.scheme}_proxy") or names.get("all_proxy")
    skipped = [
        part.strip().lower().lstrip("*.") for part in names.get("no_proxy", "").split(",") if part.strip()
    ]
    if not proxy or any(f".{url.host}".endswith(f".{part}") for part in skipped):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
