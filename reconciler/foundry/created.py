"""What a create really did: made the next version, met another writer, or was answered with an old one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciler.fields import field_diffs
from reconciler.kinds.agent.calls import AddVersion
from reconciler.kinds.agent.normal import normal
from reconciler.resource import Done, Health, Key, Mark, Version


def judge_created(key: Key, call: AddVersion, version: Version, known: Sequence[Version]) -> Done:
    """The outcome of a create that was answered with `version` (rules C5 and P6).

    Args:
        known: the other versions of the agent, needed where the number is not the base plus one.
    """
    base = int(call.mark.base)
    outputs = {"version": version.number, "id": f"{key.name}:{version.number}"}
    if version.order == base + 1:
        return Done("created", version.number, outputs=outputs)
    if version.order <= base:
        return _old(key, call, version)
    between = [other for other in known if base < other.order < version.order]
    twin = next((other for other in reversed(between) if _twin(key, call, other)), None)
    if twin is not None:
        note = f"another run made version {twin.number} at the same time; version {version.number} is spare"
        first = {"version": twin.number, "id": f"{key.name}:{twin.number}"}
        return Done("unchanged", twin.number, note=note, reason="Raced", outputs=first)
    if between:
        other = between[0]
        paths = _paths(key, call, other)
        note = f"version {version.number} supersedes version {other.number} of somebody else"
        note += f", which differs in {paths}" if paths else ", which is equal"
        return Done("pending", version.number, note=note, reason="Superseded")
    if came_from(call, version) and _shows(key, call, version):
        # Versions after the base were deleted and their numbers are not given again. The answer carries the
        # very mark that was sent, and comparing in full will find it equal: the mark proves nothing later on.
        note = f"its number follows a gap after {base}"
        return Done("created", version.number, note=note, reason="Gap", outputs=outputs)
    note = f"version {version.number} followed a gap after {base}; it is looked at again"
    return Done("pending", version.number, note=note, reason="Gap")


def came_from(call: AddVersion, version: Version) -> bool:
    """Whether a version came from this very call."""
    return version.mark is not None and _sure(version.mark) == _sure(call.mark)


def _shows(key: Key, call: AddVersion, version: Version) -> bool:
    """Whether the answer says everything that was sent, the code by the hash of its zip, and nothing else."""
    deployed = (version.form["definition"].get("code_configuration") or {}).get("content_hash")
    coded = call.code is None or (version.mark is not None and version.mark.code_sha256 == deployed)
    return coded and not _paths(key, call, version)


def _sure(mark: Mark) -> Mark:
    """The mark but for the zip's hash, known only when sent, and for what may not have fitted."""
    return replace(mark, code_sha256="", file="", pinned="")


def _twin(key: Key, call: AddVersion, other: Version) -> bool:
    mark = other.mark
    same = mark is not None and mark.owner == call.mark.owner and mark.spec == call.mark.spec
    return same and mark is not None and mark.genuine(key, other.number)


def _old(key: Key, call: AddVersion, version: Version) -> Done:
    """The service saw no difference and answered with a version it had: nothing was created."""
    if version.health is Health.FAILED:
        note = f"the service answers with the failed version {version.number} instead of making it anew"
        hint = "Change the manifest, if only an environment variable; or delete the agent by hand and apply."
        return Done("unchanged", version.number, note=note, hint=hint, reason="NotTaken")
    paths = _paths(key, call, version)
    note = f"the service answered with version {version.number}, which it had already"
    if paths:
        ignore = ", ".join(paths.split(", "))
        note += f"; it did not take {paths}. To stop trying: `lifecycle: {{ignore: [{ignore}]}}`"
        hint = ""
    else:
        note += "; only our mark is missing on it"
        hint = f'Look at version {version.number}; `release: {{version: "{version.number}"}}` releases it.'
    return Done("unchanged", version.number, note=note, hint=hint, reason="NotTaken")


def _paths(key: Key, call: AddVersion, version: Version) -> str:
    diffs = field_diffs(normal(call.form, key.name), normal(version.form, key.name))
    return ", ".join(diff.path for diff in diffs[:10])
