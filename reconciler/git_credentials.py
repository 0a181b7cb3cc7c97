"""Who we are to a Git server, from the environment; how often we say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pygit2
from pygit2.enums import CredentialType

from reconciler.errors import SourceError
from reconciler.location import GitUrl, redact

TOKEN: Final = "RECONCILER_GIT_TOKEN"
USERNAME: Final = "RECONCILER_GIT_USERNAME"
PASSWORD: Final = "RECONCILER_GIT_PASSWORD"
SSH_KEY: Final = "RECONCILER_GIT_SSH_KEY"
SSH_PASSPHRASE: Final = "RECONCILER_GIT_SSH_PASSPHRASE"
# GitHub, GitLab and Azure DevOps take any user beside a token; GitHub Apps want this one.
_TOKEN_USER: Final = "x-access-token"
# libgit2 asks again for as long as the server says 401. The second time the answer is the same.
_MOST_ATTEMPTS: Final = 2
# More than any repository of manifests; a server that sends without end must not fill the disk.
_MOST_BYTES: Final = 2 * 1024**3
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Login:
    """What to answer when the server asks. Nothing in it is ever printed."""

    user: str = ""
    secret: str = field(default="", repr=False)
    ssh_key: str = ""
    passphrase: str = field(default="", repr=False)


def login_for(url: GitUrl, environ: Mapping[str, str]) -> Login:
    """The credentials for a remote: those in its URL, else those in the environment.

    Raises:
        SourceError: a key file that is not there, or a secret for a server that is not encrypted.
    """
    if url.scheme == "ssh":
        key = environ.get(SSH_KEY, "")
        if key and not Path(key).expanduser().is_file():
            raise SourceError(f"no SSH key at {key}", hint=f"Set {SSH_KEY} to the path of a private key.")
        key = str(Path(key).expanduser()) if key else ""
        return Login(url.user or "git", ssh_key=key, passphrase=environ.get(SSH_PASSPHRASE, ""))
    secret = environ.get(TOKEN, "") or environ.get(PASSWORD, "")
    user = environ.get(USERNAME, "") or _TOKEN_USER
    if url.password:
        user, secret = url.user, url.password
    elif url.user and not secret:
        # https://TOKEN@host/…, as many CI systems write it: the token alone, with no password.
        user, secret = _TOKEN_USER, url.user
    elif url.user and not environ.get(USERNAME):
        user = url.user
    if url.scheme == "http" and secret and url.host not in _LOOPBACK:
        raise SourceError(
            f"not sending a Git password to {url.url} without encryption",
            hint=f"Use https://, or unset {TOKEN} and {PASSWORD} if the repository needs none.",
        )
    return Login(user, secret)


class Callbacks(pygit2.RemoteCallbacks):  # type: ignore[misc]
    """Answers one connection's questions. `refused` says that the server did not take what we have."""

    def __init__(self, url: GitUrl, login: Login) -> None:
        super().__init__()
        self._url = url
        self._login = login
        self._attempts = 0
        self.refused = False

    def credentials(self, url: str, username_from_url: str | None, allowed_types: CredentialType) -> Any:
        """The answer to one request, never for another host than the one that was asked for."""
        self._attempts += 1
        host = (urlsplit(url).hostname or "").lower() if "://" in url else self._url.host
        if host != self._url.host:
            raise SourceError(
                f"{self._url.url} redirects to {redact(url)}, which asks for a password",
                hint="Write the address that it redirects to.",
            )
        if self._attempts > _MOST_ATTEMPTS:
            self.refused = True
            raise pygit2.AuthError("credentials refused")
        if allowed_types & CredentialType.SSH_KEY:
            user = username_from_url or self._login.user
            if self._login.ssh_key:
                return pygit2.Keypair(user, None, self._login.ssh_key, self._login.passphrase)
            return pygit2.KeypairFromAgent(user)
        if allowed_types & CredentialType.USERNAME:
            # Asked first where the address has no user; not yet an attempt.
            self._attempts -= 1
            return pygit2.Username(self._login.user)
        if allowed_types & CredentialType.USERPASS_PLAINTEXT and self._login.secret:
            return pygit2.UserPass(self._login.user, self._login.secret)
        self.refused = True
        raise pygit2.AuthError("no credentials")

    def transfer_progress(self, stats: Any) -> None:
        """Stops a transfer that is larger than any repository of manifests."""
        if stats.received_bytes > _MOST_BYTES:
            raise SourceError(
                f"{self._url.url} sends more than {_MOST_BYTES // 1024**3} GiB",
                hint="Keep the manifests in a repository of their own.",
            )
