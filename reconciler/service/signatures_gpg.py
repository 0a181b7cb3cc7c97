"""GPG signatures of commits, verified by the `gpg` program with a home of its own."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from reconciler.errors import SourceError

# Verifying takes milliseconds; a gpg that hangs must not hold a source for ever.
_TIMEOUT_S: Final = 20
_STATUS: Final = re.compile(r"^\[GNUPG:\] ([A-Z_]+)(?: (.*))?$", re.MULTILINE)
# What gpg says beside a signature that it could check, and what it means.
_BAD: Final = {
    "BADSIG": "has a signature of the GPG key {key} that does not fit the commit",
    "EXPSIG": "has a signature of the GPG key {key} that has expired",
    "EXPKEYSIG": "is signed by the GPG key {key}, which has expired",
    "REVKEYSIG": "is signed by the GPG key {key}, which was revoked",
    "NO_PUBKEY": "is signed by the GPG key {key}, which is not trusted",
    "ERRSIG": "has a signature of the GPG key {key} that cannot be checked",
}


class Keyring:
    """The GPG keys of some files, in a folder that nothing else uses; nobody's own keys are looked at."""

    def __init__(self, files: Sequence[Path], folder: Callable[[], Path]) -> None:
        self._files = files
        self._folder = folder
        self._digest = ""
        self._home: _Home | None = None
        self.known: tuple[str, ...] = ()

    def signer(self, signature: bytes, payload: bytes) -> str:
        """The fingerprint of the key that signed the payload.

        Exactly one good signature counts, of a key that was imported and is neither expired nor revoked.

        Raises:
            ValueError: what is wrong, as the end of a sentence about the commit.
            SourceError: gpg or a key file cannot be used.
        """
        home = self._imported()
        (home.path / "signature").write_bytes(signature)
        code, said = home.run("--verify", str(home.path / "signature"), "-", stdin=payload)
        by_word = dict(reversed(said))
        for word, meaning in _BAD.items():
            if word in by_word:
                raise ValueError(meaning.format(key=by_word[word].split(" ", 1)[0]))
        valid = [rest.split() for word, rest in said if word == "VALIDSIG"]
        good = [word for word, _ in said if word == "GOODSIG"]
        if code != 0 or len(good) != 1 or len(valid) != 1:
            raise ValueError("has a GPG signature that cannot be checked")
        # The last is the primary key's; a signature may be by a subkey of it.
        if valid[0][-1] not in self.known:
            raise ValueError(f"is signed by the GPG key {valid[0][-1]}, which is not trusted")
        return valid[0][-1]

    def _imported(self) -> _Home:
        """The home with the keys as the files are now."""
        try:
            contents = [file.read_bytes() for file in self._files]
        except OSError as error:
            raise SourceError(
                f"cannot read the GPG key {error.filename}",
                hint="Check the files that `signatures.gpg` names.",
            ) from error
        digest = hashlib.sha256(repr(contents).encode()).hexdigest()
        if self._home is None or digest != self._digest or not self._home.path.is_dir():
            home = _Home(self._folder())
            known: list[str] = []
            for file, content in zip(self._files, contents, strict=True):
                _, said = home.run("--import", stdin=content)
                found = [rest.split()[-1] for word, rest in said if word == "IMPORT_OK"]
                if not found:
                    raise SourceError(
                        f"no GPG public key in {file}", hint="Export it by `gpg --armor --export KEY > FILE`."
                    )
                known += found
            self._home, self._digest, self.known = home, digest, tuple(dict.fromkeys(known))
        return self._home


class _Home:
    """A GNUPGHOME, removed when nothing refers to it any more."""

    def __init__(self, parent: Path) -> None:
        self._program = shutil.which("gpg")
        if self._program is None:
            raise SourceError(
                "cannot verify a GPG signature: the program gpg is not installed",
                hint="Install GnuPG (on Debian: apt-get install gpg), or trust SSH keys instead.",
            )
        self.path = Path(tempfile.mkdtemp(prefix="gpg-", dir=parent))
        weakref.finalize(self, shutil.rmtree, str(self.path), ignore_errors=True)

    def run(self, *arguments: str, stdin: bytes) -> tuple[int, list[tuple[str, str]]]:
        """The exit code and the status lines, as word and rest."""
        assert self._program is not None
        command = [self._program, "--homedir", str(self.path), "--no-options", "--batch", "--no-tty"]
        # No agent is left running, nothing is fetched, and SHA-1 proves nothing any more.
        command += ["--no-autostart", "--no-auto-key-retrieve", "--weak-digest", "SHA1"]
        command += ["--trust-model", "always", "--status-fd", "1", *arguments]
        environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(self.path)}
        try:
            done = subprocess.run(
                command, input=stdin, env=environ, capture_output=True, timeout=_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SourceError(
                "cannot verify a GPG signature: gpg did not run to its end",
                hint="Check that `gpg --version` works for the user of the service.",
            ) from error
        said = done.stdout.decode("utf-8", "replace")
        return done.returncode, [(match[1], match[2] or "") for match in _STATUS.finditer(said)]
