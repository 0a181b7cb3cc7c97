"""Whether what `signatures` of a source names are public keys: told when the file is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reconciler.errors import Finding, SourceError
from reconciler.service.config_secrets import path_of
from reconciler.service.config_spec import SignaturesSpec
from reconciler.service.signatures_ssh import keys_in

_MOST_BYTES: Final = 1024 * 1024
# How a public key begins where it is written out instead of the name of its file.
_KEY_TYPES: Final = ("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-")
_ARMOUR: Final = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
# Every packet of OpenPGP begins with a byte that has this bit.
_PACKET: Final = 0x80


def key_findings(keys: SignaturesSpec, folder: Path) -> Iterator[Finding]:
    """Everything wrong with the keys, at paths below `signatures`.

    Args:
        folder: where relative names of files start.
    """
    for kind, names in (("ssh", keys.ssh), ("gpg", keys.gpg)):
        for number, name in enumerate(names):
            problem = _problem(kind, name, folder)
            if problem is not None:
                yield Finding((kind, number), *problem)


def _problem(kind: str, name: str, folder: Path) -> tuple[str, str] | None:
    """What is wrong and the remedy, None where these are keys."""
    if kind == "gpg" or not name.startswith(_KEY_TYPES):
        path, content = path_of(name, folder), b""
        try:
            if path.exists() and not path.is_file():
                return f"{path} is no file", "Name a file with public keys."
            with path.open("rb") as file:
                content = file.read(_MOST_BYTES)
        except OSError as error:
            return f"cannot read the key {path}: {error.strerror}", "Name a file with public keys."
        if not content.strip():
            return f"the key {path} is empty", "Name a file with public keys."
        if kind == "gpg" and _ARMOUR not in content and not content[0] & _PACKET:
            return f"no GPG public key in {path}", "Export it by `gpg --armor --export KEY > FILE`."
    try:
        if kind == "ssh":
            keys_in(name, lambda entry: path_of(entry, folder))
    except SourceError as error:
        return str(error), error.hint
    return None
