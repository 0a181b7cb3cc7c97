"""The code zip of a hosted agent: its bytes, and what would stop it from starting. Pure."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Final

from reconciler.errors import Finding, InvalidInput
from reconciler.resource import Code, Json, JsonObject

# The service's limit for the upload (azure-ai-projects 2.10).
MAX_ZIP_BYTES: Final = 250 * 1024 * 1024
# Zips know no earlier time; a real one would give every checkout another hash.
_TIME: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_MODE: Final = 0o100644 << 16
# Part of what is hashed: another level makes new bytes, and adopted agents new versions.
_LEVEL: Final = 6

_PATH: Final = ("code", "path")
_CONFIGURATION: Final = ("definition", "code_configuration")


def build(code: Code, read: Callable[[str], bytes]) -> bytes:
    """The zip of a code folder, flat at its root: the same bytes for the same files, wherever it is made.

    Args:
        read: the content of a file by its path in the source.

    Raises:
        InvalidInput: the zip has more than 250 MB.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for inside, path in sorted(code.files):
            entry = zipfile.ZipInfo(inside, _TIME)
            entry.create_system = _UNIX
            entry.external_attr = _MODE
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, read(path), compresslevel=_LEVEL)
            # Here and not at the end, so that a folder of gigabytes does not fill the memory first.
            if buffer.tell() > MAX_ZIP_BYTES:
                raise oversized(code)
    return buffer.getvalue()


def oversized(code: Code) -> InvalidInput:
    """The error for a folder whose zip the service would refuse."""
    most = f"{MAX_ZIP_BYTES // 1024**2} MB"
    return InvalidInput(
        f"the code zip of `{code.folder}` has more than the {most} that the service takes",
        hint="List in `.agentignore` what the agent does not need, or deploy it as an image.",
    )


def check(code: Code, configuration: JsonObject, size: Callable[[str], int]) -> tuple[Finding, ...]:
    """What is wrong with a code folder, with paths inside the Agent's spec; notes are advice.

    Args:
        configuration: the definition's `code_configuration`.
        size: the length in bytes of a file by its path in the source.
    """
    if not code.files:
        message = f"every file of `{code.folder}` is ignored"
        return (Finding(_PATH, message, "Look at `.agentignore`; a rule with `!` takes files back."),)
    names = frozenset(inside for inside, _ in code.files)
    dotnet = str(configuration.get("runtime", "")).startswith("dotnet")
    remote = configuration.get("dependency_resolution") == "remote_build"
    found = [*_entry_findings(code, names, configuration.get("entry_point"), built=dotnet and remote)]
    if remote:
        found += _remote_findings(code, names, dotnet)
    elif not dotnet:
        found += _bundled_findings(names)
    total = sum(size(path) for _, path in code.files)
    if total > MAX_ZIP_BYTES:
        message = f"the files of `{code.folder}` have {total:,} bytes; their zip may have {MAX_ZIP_BYTES:,}"
        found.append(
            Finding(_PATH, message, "List in `.agentignore` what the agent does not need.", note=True)
        )
    return tuple(found)


def _entry_findings(code: Code, names: frozenset[str], entry: Json, *, built: bool) -> Iterator[Finding]:
    """The file that the service starts; one that a remote build makes cannot be looked for."""
    if not isinstance(entry, list) or not all(isinstance(part, str) for part in entry) or built:
        return
    wanted = _started(entry)
    if not wanted or any(str(PurePosixPath(name)) in names for name in wanted):
        return
    same = sorted(name for name in names if PurePosixPath(name).name == PurePosixPath(wanted[0]).name)
    if same:
        hint = f"Did you mean `{same[0]}`? The entry point is relative to the folder."
    else:
        hint = "Correct the entry point, or check `.agentignore`."
    message = f"no file `{wanted[0]}` in the code folder `{code.folder}`"
    yield Finding((*_CONFIGURATION, "entry_point"), message, hint)


def _started(entry: list[str]) -> list[str]:
    """The files of which the entry point needs one; [] where that cannot be told."""
    if "-m" in entry[:-1]:
        module = entry[entry.index("-m") + 1].replace(".", "/")
        return [f"{module}.py", f"{module}/__main__.py"]
    return [part for part in entry if part.endswith((".py", ".dll"))][:1]


def _remote_findings(code: Code, names: frozenset[str], dotnet: bool) -> Iterator[Finding]:
    """The file from which the service learns the dependencies."""
    if dotnet and not any(name.endswith(".csproj") for name in names):
        message = f"`remote_build` needs a `.csproj` in `{code.folder}`"
        yield Finding(_PATH, message, "Add the project file, or use `dependency_resolution: bundled`.")
    if not dotnet and "requirements.txt" not in names:
        message = f"`remote_build` needs `requirements.txt` at the top of `{code.folder}`"
        yield Finding(_PATH, message, "Add it (it may be empty), or use `dependency_resolution: bundled`.")


def _bundled_findings(names: frozenset[str]) -> Iterator[Finding]:
    """Python packages must lie unpacked, for Linux, in `packages/`."""
    hint = (
        "Unpack wheels for Linux: pip install --target packages --platform manylinux2014_x86_64 "
        "--only-binary=:all: -r requirements.txt"
    )
    wrong = sorted(name for name in names if name.lower().endswith((".whl", ".pyd", ".dll")))
    for name in wrong[:3]:
        what = "a packed wheel" if name.lower().endswith(".whl") else "for Windows"
        more = f", and {len(wrong) - 3} more like it" if len(wrong) > 3 and name == wrong[2] else ""
        yield Finding(_PATH, f"`{name}` is {what}{more}", hint)
    if "requirements.txt" in names and not any(name.startswith("packages/") for name in names):
        message = "`requirements.txt` is not installed for bundled code, and there is no `packages/`"
        hint += "; what Git ignores is not part of the source. Or use `dependency_resolution: remote_build`."
        yield Finding(_PATH, message, hint, note=True)
