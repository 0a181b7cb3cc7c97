"""Read the secrets that the configuration names; messages name the variable or file and never its content."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from reconciler.errors import Finding
from reconciler.resource import Json
from reconciler.service.config_spec import Secret

# Keys and tokens are far shorter; more is another file.
_MOST_BYTES: Final = 64 * 1024
# Container platforms mount secrets readable for everybody: nobody else is in the container.
_MOUNTS: Final = (Path("/run/secrets"), Path("/var/run/secrets"))


class Unreadable(Exception):
    """A secret that cannot be used. The message and `hint` hold nothing of it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def secrets_in(
    value: Json, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Secret]]:
    """Every secret of a configuration as it was written, valid or not, with its path."""
    if isinstance(value, dict):
        secret = _secret(value)
        if secret is not None:
            yield path, secret
            return
        for key, item in value.items():
            yield from secrets_in(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from secrets_in(item, (*path, index))


def _secret(value: Mapping[str, Json]) -> Secret | None:
    if not value or not value.keys() <= {"env", "file"}:
        return None
    try:
        return Secret.model_validate(value)
    except ValidationError:
        return None


def read_secrets(
    value: Json, folder: Path, environ: Mapping[str, str]
) -> tuple[dict[Secret, str], list[Finding]]:
    """Every secret that could be read, and why the others could not.

    Args:
        folder: where relative names of files start: the folder of the configuration file.
    """
    known: dict[Secret, str] = {}
    found: list[Finding] = []
    for path, secret in secrets_in(value):
        try:
            known[secret] = read_secret(secret, folder, environ)
        except Unreadable as error:
            found.append(Finding((*path, "env" if secret.env else "file"), str(error), error.hint))
    return known, found


def read_secret(secret: Secret, folder: Path, environ: Mapping[str, str]) -> str:
    """The secret without line ends around it; never empty.

    Raises:
        Unreadable: not set, not there, empty, or open to everybody.
    """
    if secret.env is not None:
        text = environ.get(secret.env)
        if text is None:
            raise Unreadable(f"the variable {secret.env} is not set", "Set it where the service starts.")
        if not text.strip():
            raise Unreadable(f"the variable {secret.env} is empty", "Put the secret into it.")
        return text.strip("\r\n")
    return _from_file(path_of(secret.file or "", folder))


def path_of(name: str, folder: Path) -> Path:
    """The file of this name; a relative one starts at the folder of the configuration, `~` at home."""
    try:
        return folder / Path(name).expanduser()
    except RuntimeError:
        return folder / name


def _from_file(path: Path) -> str:
    try:
        check_private(path)
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"cannot read {path}: {error.strerror}", "Check its owner and mode.") from error
    if len(content) > _MOST_BYTES:
        raise Unreadable(
            f"{path} has more than {_MOST_BYTES // 1024} KiB", "Name the file of the secret alone."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable(f"{path} is not UTF-8 text", "Keep the secret as text.") from None
    if not text.strip():
        raise Unreadable(f"{path} is empty", "Put the secret into it.")
    return text.strip("\r\n")


def check_private(path: Path) -> None:
    """Refuse a file that everybody on this machine can read or change.

    Raises:
        Unreadable: it is no file, or open to everybody.
        OSError: it cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise Unreadable(f"there is no file {path}", "Make it, or correct the name.") from None
    if not stat.S_ISREG(mode):
        raise Unreadable(f"{path} is no file", "Name a file that holds the secret.")
    if mode & stat.S_IWOTH:
        raise Unreadable(f"everybody may change {path}", f"Run `chmod 600 {path}`.")
    if mode & stat.S_IROTH and not _mounted(path):
        raise Unreadable(f"everybody may read {path}", f"Run `chmod 600 {path}`.")


def _mounted(path: Path) -> bool:
    """Whether a container platform put the file there: Kubernetes keeps a link `..data` beside it."""
    return (path.parent / "..data").is_symlink() or any(path.is_relative_to(mount) for mount in _MOUNTS)
