"""The files of a deployed code zip, checked before any of them is written. Bytes in, bytes out."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.ignore_rules import IgnoreRules

# Far more than the service takes as a zip; a small zip can claim to hold terabytes.
MOST_BYTES: Final = 1024 * 1024 * 1024
MOST_FILES: Final = 20_000
# What no repository may get, and what would turn it into another one.
_NEVER: Final = re.compile(r"(.*/)?(\.git(/.*)?|\.env[^/]*)")
_BAD_NAME: Final = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_IGNORE_FILE: Final = ".agentignore"


class UnsafeZip(ValueError):
    """A zip whose files must not be written; the text says which and why."""


@dataclass(frozen=True)
class Unpacked:
    """Files by their path in the zip, with `.agentignore` where one is needed, and what to know."""

    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()


def unpack(content: bytes) -> Unpacked:
    """The files of a code zip, to be written below a folder.

    Raises:
        UnsafeZip: no zip, too large, encrypted, or a name that leaves the folder, is a link, or is one file
            with another on some machines.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = _read(archive)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError) as error:
        raise UnsafeZip("it is no readable zip") from error
    except RuntimeError as error:
        raise UnsafeZip("it is encrypted") from error
    kept = {path: data for path, data in found.items() if not _NEVER.fullmatch(path)}
    notes = [f"left out of the code: {path}" for path in sorted(found.keys() - kept.keys())]
    rules = _taken_back(kept)
    if rules is not None:
        kept[_IGNORE_FILE] = rules
        notes.append(f"`{_IGNORE_FILE}` takes back files that are left out by default")
    return Unpacked(dict(sorted(kept.items())), tuple(notes))


def _read(archive: zipfile.ZipFile) -> dict[str, bytes]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > MOST_FILES:
        raise UnsafeZip(f"it holds {len(entries):,} files, more than {MOST_FILES:,}")
    found: dict[str, bytes] = {}
    folded: dict[str, str] = {}
    left = MOST_BYTES
    for entry in entries:
        path = checked_path(entry.filename)
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UnsafeZip(f"`{path}` is a symbolic link")
        other = folded.setdefault(path.casefold(), path)
        if other != path or path in found:
            raise UnsafeZip(f"`{path}` and `{other}` are one file on some machines")
        with archive.open(entry) as stream:
            # Sizes that a zip states are claims; what comes out is counted.
            data = stream.read(left + 1)
        left -= len(data)
        if left < 0:
            raise UnsafeZip(f"it holds more than {MOST_BYTES // 1024**2} MB")
        found[path] = data
    for path in found:
        folder = path.rpartition("/")[0]
        while folder:
            if folder.casefold() in folded:
                raise UnsafeZip(f"`{folder}` is a file and a folder")
            folder = folder.rpartition("/")[0]
    return found


def checked_path(name: str) -> str:
    """The name of an entry as a relative path with `/`.

    Raises:
        UnsafeZip: it is absolute, leaves the folder, or cannot be a file everywhere.
    """
    shown = name.encode("unicode_escape").decode("ascii")[:120]
    if not name or _BAD_NAME.search(name):
        raise UnsafeZip(f"`{shown}` is no name for a file")
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise UnsafeZip(f"`{shown}` leaves its folder")
    if any(part in ("", ".") or part != part.rstrip(" .") for part in parts):
        raise UnsafeZip(f"`{shown}` is no name for a file")
    return name


def _taken_back(files: Mapping[str, bytes]) -> bytes | None:
    """The ignore file that keeps every deployed file in the next zip; None when none is needed."""
    own = files.get(_IGNORE_FILE, b"")
    rules = IgnoreRules(own)
    lost = [path for path in sorted(files) if path != _IGNORE_FILE and rules.ignores(path)]
    if not lost:
        return None
    lines = ["# These were deployed, and are left out by default."]
    for path in lost:
        lines.append("!/" + "".join(f"\\{char}" if char in "\\*?[ !#" else char for char in path))
    before = own if not own or own.endswith(b"\n") else own + b"\n"
    return before + "".join(f"{line}\n" for line in lines).encode()
