"""Whether the newest commit was signed by somebody the configuration trusts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reconciler.errors import SourceError
from reconciler.service.config_spec import SignaturesSpec
from reconciler.service.signatures_gpg import Keyring
from reconciler.service.signatures_ssh import SshKey, keys_in, read_signature

_SSH: Final = b"-----BEGIN SSH SIGNATURE-----"
_GPG: Final = (b"-----BEGIN PGP SIGNATURE-----", b"-----BEGIN PGP MESSAGE-----")
_X509: Final = b"-----BEGIN SIGNED MESSAGE-----"
# More would not be read by anybody.
_MOST_SHOWN: Final = 5


class Unsigned(SourceError):
    """A commit without a signature that counts; nothing of it is used."""


@dataclass(frozen=True)
class SignedCommit:
    """A commit's signature, b"" for none, and what was signed: the commit without it."""

    signature: bytes
    payload: bytes


class Signatures:
    """The keys that one source trusts.

    Args:
        file: where a file that the configuration names is.
        folder: a folder of this process, for GPG's own files.
    """

    def __init__(self, spec: SignaturesSpec, file: Callable[[str], Path], folder: Callable[[], Path]) -> None:
        self._spec = spec
        self._file = file
        self._keyring = Keyring([file(name) for name in spec.gpg], folder) if spec.gpg else None

    def check(self, commit: Any, url: str) -> str:
        """Who signed the commit, as a fingerprint. Keys are read anew, so that one taken out counts no more.

        Args:
            commit: the commit as pygit2 gives it.
            url: where it came from, for messages.

        Raises:
            Unsigned: not signed, by a key that is not trusted, or the signature does not hold.
            SourceError: a key file cannot be used, or GPG is missing.
        """
        what, ssh = f"commit {str(commit.id)[:12]} of {url}", self._ssh_keys()
        try:
            signed = signed_commit(bytes(commit.read_raw()))
            if signed.signature.startswith(_SSH):
                if not ssh:
                    raise ValueError("is signed by SSH, and no SSH key is trusted")
                return read_signature(signed.signature).by(ssh, signed.payload, int(commit.commit_time))
            if signed.signature.startswith(_GPG):
                if self._keyring is None:
                    raise ValueError("is signed by GPG, and no GPG key is trusted")
                return self._keyring.signer(signed.signature, signed.payload)
            if signed.signature.startswith(_X509):
                raise ValueError("is signed by an X.509 certificate, which is not verified here")
            raise ValueError("has a signature of an unknown format" if signed.signature else "is not signed")
        except ValueError as error:
            raise Unsigned(f"{what} {error}", hint=self._hint(ssh)) from None

    def _ssh_keys(self) -> Sequence[SshKey]:
        found: list[SshKey] = []
        for entry in self._spec.ssh:
            found += keys_in(entry, self._file)
        return found

    def _hint(self, ssh: Sequence[SshKey]) -> str:
        trusted = [str(key) for key in ssh]
        if self._keyring is not None:
            trusted += self._keyring.known or [f"GPG keys in {name}" for name in self._spec.gpg]
        shown = ", ".join(trusted[:_MOST_SHOWN]) + (" and more" if len(trusted) > _MOST_SHOWN else "")
        return (
            f"Sign the newest commit by a trusted key ({shown}), or add its signer's key to `signatures` of "
            "the source. Nothing of this commit is used."
        )


def signed_commit(raw: bytes) -> SignedCommit:
    """A commit object taken apart as Git does before it verifies.

    Raises:
        ValueError: more than one signature, of which any could be meant.
    """
    head, blank, message = raw.partition(b"\n\n")
    kept: list[bytes] = []
    signatures: list[list[bytes]] = []
    inside = False
    for line in head.split(b"\n"):
        if line.startswith(b" ") and inside:
            signatures[-1].append(line[1:])
            continue
        inside = line.startswith(b"gpgsig ")
        if inside:
            signatures.append([line.removeprefix(b"gpgsig ")])
        else:
            kept.append(line)
    if len(signatures) > 1:
        raise ValueError("has two signatures")
    signature = b"\n".join(signatures[0]) + b"\n" if signatures else b""
    return SignedCommit(signature, b"\n".join(kept) + blank + message)
