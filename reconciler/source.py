"""Open the source of the manifests: a folder, a Git checkout or a Git URL, as one `Snapshot`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reconciler.disk import open_folder
from reconciler.errors import SourceError
from reconciler.location import parse_location
from reconciler.snapshot import Revision, Snapshot, SourceFile

__all__ = ["Revision", "Snapshot", "SourceFile", "open_source"]


def open_source(
    text: str,
    *,
    environ: Mapping[str, str],
    ref: str | None = None,
    cache: Path | None = None,
    timeout_s: float = 30.0,
) -> Snapshot:
    """List the source that `text` names: a path, or a Git URL such as `https://host/repo.git//dir?ref=main`.

    A path inside a Git work tree gives the whole work tree, with the path as `scope`. With `ref` the
    committed files of that ref are read instead of those on disk.

    Args:
        environ: credentials (`RECONCILER_GIT_*`), proxies and the place of the cache.
        cache: folder for fetched repositories; by default `reconciler/git` in the user's cache folder.
        timeout_s: how long a Git server may stay silent.

    Raises:
        SourceUnreachable: the Git server does not answer.
        SourceError: no such path or ref, no access, not a repository, more than 100,000 files.
    """
    url = parse_location(text, ref)
    if url is not None:
        from reconciler.git_remote import open_url

        return open_url(url, environ=environ, cache=cache, timeout_s=timeout_s)
    folder = _existing_folder(text)
    if any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        # Here, because a plain folder needs no Git library, which takes 40 ms to import.
        from reconciler.git_checkout import open_checkout

        return open_checkout(folder, ref=ref or "", shown=text)
    if ref:
        raise SourceError(
            f"`{text}` is no Git checkout, so there is no ref `{ref}`", hint="Leave the ref out."
        )
    return open_folder(folder, root=text)


def _existing_folder(text: str) -> Path:
    try:
        folder = Path(text).expanduser().resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceError(
            f"no folder `{text}`", hint="Check the path, or give a Git URL such as https://host/repo.git."
        ) from error
    if not folder.is_dir():
        raise SourceError(f"`{text}` is a file", hint="Name the folder that holds the manifests.")
    if (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir():
        raise SourceError(f"`{text}` is a bare repository", hint=f"Write file://{folder} to read from it.")
    return folder
