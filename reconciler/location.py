"""What the text that names a source means: a path, or a Git URL with ref and folder. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from reconciler.errors import SourceError

_SCHEMES: Final = frozenset({"https", "http", "ssh", "file"})
# user@host:path, as git, GitHub and Azure DevOps print it. A user is asked for, so that "C:\x" is a path.
_SCP: Final = re.compile(
    r"(?P<user>[\w.%+-]+)@(?P<host>[\w.-]+|\[[0-9a-fA-F:]+\]):(?!//)(?P<path>.+)", re.DOTALL
)
_HINT: Final = (
    "Write a folder, https://host/path.git, ssh://git@host/path.git, git@host:path.git or file:///path.git, "
    "with //folder and ?ref=NAME behind it where needed."
)


@dataclass(frozen=True)
class GitUrl:
    """A Git remote. `url` has no credentials in it and may be shown; `user` and `password` came with it.

    `folder` is the part below the repository's root, `ref` a branch, tag or commit, "" for the default.
    """

    scheme: str
    host: str
    url: str
    folder: str = ""
    ref: str = ""
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def parse_location(text: str, ref: str | None = None) -> GitUrl | None:
    """The Git URL in `text`, None for a path on this machine.

    `https://host/repo.git//folder?ref=main`, as Terraform and Kustomize write it; `#main` works too.

    Raises:
        SourceError: a scheme that is not read, unknown query keys, two different refs.
    """
    bare = text.strip().removeprefix("git::")
    scp = _SCP.fullmatch(bare) if "://" not in bare else None
    if scp is None and "://" not in bare:
        return None
    body, asked = _ref(bare, ref)
    if scp is not None:
        match = _SCP.fullmatch(body)
        if match is None:
            raise SourceError(f"cannot read the Git URL `{redact(text)}`", hint=_HINT)
        path, folder = _split_folder(match["path"])
        url = f"{match['user']}@{match['host']}:{path}"
        return GitUrl("ssh", match["host"].lower(), url, folder, asked, user=match["user"])
    return _from_url(body, asked)


def _from_url(body: str, ref: str) -> GitUrl:
    shown = redact(body)
    try:
        parts = urlsplit(body)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise SourceError(f"cannot read the Git URL `{shown}`", hint=_HINT) from error
    scheme = parts.scheme.lower()
    if scheme not in _SCHEMES:
        raise SourceError(f"`{scheme}://` is not a way to read Git", hint=_HINT)
    path, folder = _split_folder(parts.path)
    host = (parts.hostname or "").lower()
    if not path.strip("/") or (scheme != "file" and not host):
        raise SourceError(f"the Git URL `{shown}` names no repository", hint=_HINT)
    user = unquote(parts.username or "")
    # The user of an SSH URL is part of the address; one of an HTTP URL may itself be a token.
    shown_user = f"{parts.username}@" if scheme == "ssh" and parts.username else ""
    netloc = f"{shown_user}[{host}]{port}" if ":" in host else f"{shown_user}{host}{port}"
    url = f"{scheme}://{netloc}{path}"
    return GitUrl(scheme, host, url, folder, ref, user=user, password=unquote(parts.password or ""))


def _ref(text: str, asked: str | None) -> tuple[str, str]:
    """The text without its ref, and the ref that the text and the argument agree on."""
    body, _, fragment = text.partition("#")
    body, _, query = body.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    unknown = sorted({key for key, _ in pairs} - {"ref"})
    if unknown:
        raise SourceError(
            f"unknown `{unknown[0]}` in the Git URL `{redact(body)}`", hint="Only `?ref=NAME` is understood."
        )
    found = {ref for ref in (asked or "", fragment, *(value for _, value in pairs)) if ref}
    if len(found) > 1:
        raise SourceError(
            f"two refs for one source: {', '.join(f'`{ref}`' for ref in sorted(found))}",
            hint="Give the branch, tag or commit once: in the URL or by the flag.",
        )
    return body, next(iter(found), "")


def _split_folder(path: str) -> tuple[str, str]:
    """A URL's path without the folder behind `//`, and that folder without `.` and `..`."""
    repository, found, folder = path[1:].partition("//")
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise SourceError(
            f"the folder `{folder}` leaves the repository", hint="Write the folder without `..`."
        )
    repository = path[:1] + repository
    return (repository.rstrip("/") if found or len(repository) > 1 else repository), "/".join(parts)


_USERINFO: Final = re.compile(r"(?<=://)[^/\s@]+@")
_SSH_USERINFO: Final = re.compile(r"(?i)(?<=ssh://)([^/\s:@]+):[^/\s@]*@")


def redact(text: str) -> str:
    """The text with the user and password of every URL in it left out."""
    kept = _SSH_USERINFO.sub(r"\1@", text)
    return _USERINFO.sub(lambda match: "" if not _is_ssh(kept, match.start()) else match[0], kept)


def _is_ssh(text: str, at: int) -> bool:
    return text[max(0, at - 6) : at].lower() == "ssh://"


def origin_of(url: str) -> str:
    """The name of a remote for ownership: `host/path`, the same for each way to write its address.

    No scheme, port, user or `.git`; the host in lower case. The three shapes of Azure DevOps become
    `dev.azure.com/org/project/_git/repo`. "" for a path on this machine, which means something else on
    the next one.
    """
    scp = _SCP.fullmatch(url) if "://" not in url else None
    if scp is not None:
        host, path = scp["host"], scp["path"]
    elif "://" in url:
        try:
            parts = urlsplit(url)
        except ValueError:
            return ""
        if parts.scheme.lower() == "file":
            return ""
        host, path = parts.hostname or "", parts.path
    else:
        return ""
    host = host.lower().strip("[]")
    path = quote(unquote(path.strip("/")).removesuffix(".git").rstrip("/"), safe="/~+:@,")
    return _azure(host, path) or (f"{host}/{path}" if host and path else "")


def _azure(host: str, path: str) -> str:
    """An Azure DevOps address in its https shape, "" for any other host."""
    parts = path.split("/")
    match host.split("."):
        case ["ssh", "dev", "azure", "com"] | ["vs-ssh", "visualstudio", "com"] if parts[0] == "v3":
            parts = parts[1:]
            if len(parts) == 3:
                parts.insert(2, "_git")
        case ["dev", "azure", "com"]:
            pass
        case [organisation, "visualstudio", "com"]:
            parts = [organisation, *(part for part in parts if part.lower() != "defaultcollection")]
        case _:
            return ""
    if len(parts) == 3 and parts[1] == "_git":
        # A project's first repository has its name, and the short address leaves the project out.
        parts = [parts[0], parts[2], "_git", parts[2]]
    return "/".join(["dev.azure.com", *parts])
