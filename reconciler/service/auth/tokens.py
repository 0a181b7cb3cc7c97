"""Tokens for scripts and people: a file holds their hashes by name; the configuration gives roles.

One token a line, `NAME: sha256:HEX` for a random token or `NAME: scrypt:SALT:HEX` for a passphrase.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from reconciler.errors import InvalidInput, Place, Problem
from reconciler.yaml_nodes import parse

log = structlog.get_logger("reconciler")

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_FORM: Final = re.compile(r"sha256:[0-9a-f]{64}|scrypt:[0-9a-f]{32}:[0-9a-f]{64}")
LEAST_PASSPHRASE: Final = 16
_PREFIX: Final = "rct_"
# Whoever can guess among these never finishes: 256 bits.
_RANDOM_BYTES: Final = 32
# 2^15 · 8 · 128 bytes = 32 MiB and about 80 ms for each guess (OWASP's least for interactive use).
_SCRYPT: Final = {"n": 2**15, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024, "dklen": 32}
# Each wrong guess costs one of these calculations for each passphrase in the file.
_MOST_PASSPHRASES: Final = 20
_MOST_BYTES: Final = 1024 * 1024
_MOST_TOKEN_CHARS: Final = 1024
_MOST_REMEMBERED: Final = 1000
_HINT: Final = "`reconciler token NAME` makes a token and its line."


def new_token() -> str:
    """A random token."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_of(token: str) -> str:
    """The line's value for a random token."""
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()


def hash_of_passphrase(passphrase: str) -> str:
    """The line's value for words that a person chose."""
    salt = os.urandom(16)
    return f"scrypt:{salt.hex()}:{_scrypt(passphrase, salt).hex()}"


def _scrypt(passphrase: str, salt: bytes) -> bytes:
    return hashlib.scrypt(passphrase.encode(), salt=salt, **_SCRYPT)


def read_tokens(content: bytes, name: str) -> Mapping[str, str]:
    """The hashes of a token file by their names.

    Raises:
        InvalidInput: a line cannot be used; every such line is in `problems`, and no hash.
    """
    parsed = parse(content)
    found = [Problem(Place(name, f.line, f.column), "", f.message, f.hint) for f in parsed.faults]
    hashes: dict[str, str] = {}
    for document in parsed.documents if not found else ():
        if not isinstance(document.value, dict):
            hint = f"Write one token a line: `NAME: sha256:HEX`. {_HINT}"
            found.append(Problem(Place(name, *document.place(())), "", "expected names and hashes", hint))
            continue
        for key, value in document.value.items():
            problem = _problem(key, value)
            if problem:
                found.append(Problem(Place(name, *document.place((key,), on_key=True)), "", problem, _HINT))
            hashes[str(key)] = str(value)
    passphrases = sum(value.startswith("scrypt:") for value in hashes.values())
    if passphrases > _MOST_PASSPHRASES:
        message = f"{passphrases} passphrases, at most {_MOST_PASSPHRASES} can be tried for each sign-in"
        found.append(Problem(Place(name), "", message, "Give most of them a random token."))
    if found:
        raise InvalidInput(f"cannot use the token file {name}", found, hint=_HINT)
    return hashes


def _problem(name: object, value: object) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return "a name has letters, digits and `._@-`, at most 63"
    if not isinstance(value, str) or not _FORM.fullmatch(value):
        # Not shown: it may be the token itself.
        return f"the value of `{name}` is no hash `sha256:HEX` or `scrypt:SALT:HEX`"
    return ""


@dataclass(frozen=True)
class _Stamp:
    """What tells that a file is another one."""

    inode: int
    size: int
    mtime_ns: int


class TokenFile:
    """The tokens of a file, read again when it changes. A file that cannot be used keeps the last good state;
    one that is gone has no tokens."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._stamp: _Stamp | None = None
        self._hashes: Mapping[str, str] = {}
        self._known: OrderedDict[bytes, tuple[str, str]] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()
        self.problem = ""

    def hashes(self, path: Path) -> Mapping[str, str]:
        """The hashes by name as the file is now."""
        try:
            status = path.stat()
            stamp = _Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
            if path == self._path and stamp == self._stamp:
                return self._hashes
            with path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError as error:
            self._gone(path, error)
            return self._hashes
        if path != self._path:
            self._hashes = {}
        self._path, self._stamp = path, stamp
        if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
            log.warning("token_file_open_to_all", file=str(path), hint=f"Run `chmod 600 {path}`.")
        try:
            self._hashes, self.problem = read_tokens(content[:_MOST_BYTES], str(path)), ""
            log.info("token_file_read", file=str(path), tokens=len(self._hashes))
        except InvalidInput as error:
            self.problem = "; ".join(map(str, error.problems)) or str(error)
            log.error("token_file_unusable", file=str(path), problem=self.problem)
        return self._hashes

    def _gone(self, path: Path, error: OSError) -> None:
        problem = f"cannot read the token file {path}: {error.strerror}"
        if problem != self.problem:
            log.error("token_file_unreadable", file=str(path), problem=problem)
        self._path, self._stamp, self._hashes, self.problem = path, None, {}, problem

    def by_hash(self, path: Path, token: str) -> str:
        """The name of a token whose plain hash is in the file, or that was found before; "" for none."""
        hashes = self.hashes(path)
        if not token or len(token) > _MOST_TOKEN_CHARS:
            return ""
        digest = hash_of(token)
        found = ""
        # All of them, so that the time tells nothing about where it stands.
        for name, value in hashes.items():
            if hmac.compare_digest(value, digest):
                found = name
        if not found:
            name, value = self._known.get(digest.encode(), ("", ""))
            found = name if name and hashes.get(name) == value else ""
        return found

    async def by_passphrase(self, path: Path, token: str) -> str:
        """The name of a passphrase; "" for none. Takes about 80 ms for each passphrase of the file."""
        slow = [(name, value) for name, value in self.hashes(path).items() if value.startswith("scrypt:")]
        if not slow or not token or len(token) > _MOST_TOKEN_CHARS:
            return ""
        # One at a time: each takes 32 MiB, and strangers may ask.
        async with self._one_at_a_time:
            for name, value in slow:
                if await asyncio.to_thread(_matches, token, value):
                    self._known[hash_of(token).encode()] = (name, value)
                    if len(self._known) > _MOST_REMEMBERED:
                        self._known.popitem(last=False)
                    return name
        return ""


def _matches(token: str, value: str) -> bool:
    _, salt, digest = value.split(":")
    return hmac.compare_digest(_scrypt(token, bytes.fromhex(salt)), bytes.fromhex(digest))
