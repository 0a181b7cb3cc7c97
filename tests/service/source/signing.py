"""People with keys who sign commits, by the programs that people use."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.source.repos import git, write

needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")
needs_gpg = pytest.mark.skipif(not shutil.which("gpg"), reason="gpg is not installed")


@dataclass(frozen=True)
class SshPerson:
    """Somebody with an SSH key; `public` is the line of the `.pub` file."""

    key: Path

    @property
    def public(self) -> str:
        return self.key.with_suffix(".pub").read_text().strip()

    @property
    def fingerprint(self) -> str:
        return _run("ssh-keygen", "-l", "-f", str(self.key) + ".pub").split()[1]

    def commit(self, folder: Path, files: dict[str, str]) -> str:
        """Commit files, signed."""
        return _signed(folder, files, "ssh", str(self.key) + ".pub")


def ssh_person(folder: Path, name: str = "ada", *options: str) -> SshPerson:
    """Somebody with a new key; `options` are of ssh-keygen."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("ssh-keygen", "-q", *(options or ("-t", "ed25519")), "-N", "", "-C", name, "-f", str(folder / name))
    return SshPerson(folder / name)


@dataclass(frozen=True)
class GpgPerson:
    """Somebody with a GPG key in a home of their own."""

    home: Path
    fingerprint: str
    program: str = "gpg"

    def gpg(self, *arguments: str, stdin: str = "") -> str:
        return _gpg(self.home, *arguments, stdin=stdin)

    def public(self, file: Path) -> Path:
        """Write the public key to a file."""
        file.write_text(self.gpg("--armor", "--export", self.fingerprint))
        return file

    def commit(self, folder: Path, files: dict[str, str]) -> str:
        """Commit files, signed."""
        return _signed(
            folder, files, "openpgp", self.fingerprint, program=self.program, GNUPGHOME=str(self.home)
        )


@contextmanager
def gpg_person(name: str = "Ada", *, past: bool = False) -> Iterator[GpgPerson]:
    """Somebody with a new key; the agent that gpg starts for them ends with the block.

    With `past` they live in the middle of 2020, and their key expires in 2021.
    """
    # A short path: the agent's socket has room for a hundred characters.
    home = Path(tempfile.mkdtemp(prefix="g"))
    program, expires, clock = "gpg", "0", ()
    if past:
        clock, expires, program = ("--faked-system-time", "20200601T000000"), "1y", str(home / "program")
        Path(program).write_text(f'#!/bin/sh\nexec gpg {" ".join(clock)} "$@"\n')
        Path(program).chmod(0o700)
    try:
        who = f"{name} <a@example.com>"
        _gpg(home, *clock, "--passphrase", "", "--quick-generate-key", who, "ed25519", "sign", expires)
        listed = _gpg(home, "--list-keys", "--with-colons")
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        yield GpgPerson(home, fingerprint, program)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def _gpg(home: Path, *arguments: str, stdin: str = "") -> str:
    command = [
        "gpg",
        "--homedir",
        str(home),
        "--batch",
        "--no-tty",
        "--pinentry-mode",
        "loopback",
        *arguments,
    ]
    return _run(*command, stdin=stdin)


def _signed(
    folder: Path, files: dict[str, str], format_: str, key: str, *, program: str = "gpg", **environ: str
) -> str:
    write(folder, files)
    git(folder, "add", "-A")
    options = ["-c", f"gpg.format={format_}", "-c", f"user.signingkey={key}", "-c", f"gpg.program={program}"]
    options += ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    _run("git", "-C", str(folder), *options, "commit", "-q", "--allow-empty", "-S", "-m", "Signed", **environ)
    return git(folder, "rev-parse", "HEAD")


def _run(*command: str, stdin: str = "", **environ: str) -> str:
    known = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **environ}
    done = subprocess.run(
        command, input=stdin, env=known, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
